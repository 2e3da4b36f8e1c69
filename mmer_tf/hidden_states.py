"""Hidden states of frozen encoders: described for the shards, and computed from raw input.

The one place where encoders and stored data meet: `data` writes what it is given a description
of, `models` holds the encoders, and neither knows the other.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import tensorflow as tf

from mmer_tf.data.states import ENCODERS, StatesFeature, TextInput
from mmer_tf.hub import HubError
from mmer_tf.models.encoders import SPEECH_ENCODERS, TEXT_ENCODERS
from mmer_tf.models.weights.bert import bert_sizes
from mmer_tf.models.weights.checkpoint import Checkpoint
from mmer_tf.models.weights.speech_transformer import PREPROCESSOR, sizes_of
from mmer_tf.models.weights.whisper import published_sizes
from mmer_tf.registry import Registry
from mmer_tf.text.normalise import Style
from mmer_tf.text.tokenizer import Tokenizer
from mmer_tf.types import SAMPLE_RATE

MAX_TOKENS = 128
"""Longest row of tokens, unless told otherwise."""


SIZES: dict[str, Callable[[Checkpoint], Mapping[str, Any]]] = {
    "hubert": sizes_of,
    "wav2vec2": sizes_of,
    "wavlm": sizes_of,
    "whisper": published_sizes,
    "bert": bert_sizes,
}
"""How an encoder's sizes are read from its configuration."""


def describe_states(
    encoder: str,
    source: str | None = None,
    layers: Sequence[int] | None = None,
    *,
    cleaning: Style = "sentences",
    max_tokens: int = MAX_TOKENS,
) -> StatesFeature:
    """Describe hidden states as a feature that `ensure_features` and `prepare_dataset` take.

    The weights are found and hashed, but not loaded.

    Args:
        encoder: a name in `data.states.ENCODERS`.
        source: folder or hub name of the weights; None is that of `data.states.ENCODERS`.
        layers: numbers of the hidden states, 0 being what enters the first layer; None is the
            encoder's answer.
        cleaning: of the transcripts, for an encoder of text.
        max_tokens: longest row of tokens, for an encoder of text.

    Raises:
        UnknownNameError: no such encoder, or one without hidden states.
        HubError: the weights cannot be had, are of another model, or have no such layer.
        TokenizerError: an encoder of text whose vocabulary cannot be read.
    """
    published = ENCODERS[encoder]
    source = source or published
    checkpoint = Checkpoint.find(source, optional=(PREPROCESSOR,))
    checkpoint.require_type(encoder)
    sizes = SIZES[encoder](checkpoint)
    highest = sizes["num_layers"]
    if layers is not None:
        layers = tuple(layers)
        for layer in layers:
            if not 0 <= layer <= highest:
                raise HubError(
                    f"'{source}' has the hidden states 0 to {highest} and no {layer}; "
                    f"name others of {encoder}."
                )
        if not layers or len(set(layers)) < len(layers):
            raise HubError(f"{encoder}: name each of its hidden states once, and one at least.")
    text = None
    if encoder in TEXT_ENCODERS:
        if max_tokens > sizes["max_tokens"]:
            raise HubError(
                f"'{source}' has positions for {sizes['max_tokens']} tokens, not {max_tokens}; "
                "lower `max_tokens`."
            )
        tokenizer = Tokenizer.from_pretrained(source, max_tokens)
        text = TextInput(cleaning, max_tokens, tokenizer.digest)
    return StatesFeature(
        encoder, source, checkpoint.digest, layers, sizes["hidden_dim"], extractor_of, text
    )


@dataclass(frozen=True)
class FrozenEncoder:
    """An encoder that answers hidden states, and is not trained.

    Args:
        feature: what it computes.
    """

    feature: StatesFeature

    @property
    def name(self) -> str:
        """Name of the states in a batch, as `hubert_states`."""
        return self.feature.name

    @property
    def digest(self) -> str:
        """SHA-256 of the weights."""
        return self.feature.digest

    @property
    def shape(self) -> tuple[int, int]:
        """(layers, dim) of one step."""
        return self.feature.shape

    def extract(self, one: np.ndarray | str) -> np.ndarray:
        """Hidden states of one utterance, as they are stored.

        Args:
            one: a waveform, float32 (samples,) in [-1, 1] at 16 kHz, or a cleaned transcript.

        Returns:
            float16 (steps, layers, dim); what float16 cannot hold is cut to its range.
        """
        return self._run(one)

    @cached_property
    def _run(self) -> Callable[[Any], np.ndarray]:
        return self._reader() if self.feature.text is not None else self._listener()

    def _listener(self) -> Callable[[np.ndarray], np.ndarray]:
        encoder = self._load(SPEECH_ENCODERS)

        @tf.function(input_signature=[tf.TensorSpec((1, None)), tf.TensorSpec((1,), tf.int32)])
        def encode(waveform: tf.Tensor, num_samples: tf.Tensor) -> tf.Tensor:
            return self._stored(*encoder(waveform, num_samples))

        # An encoder that reads a window, as Whisper, hears a longer clip window by window.
        window = getattr(encoder, "window_seconds", None)
        longest = round(window * SAMPLE_RATE) if window else None

        def listen(waveform: np.ndarray) -> np.ndarray:
            piece = longest or len(waveform)
            starts = range(0, len(waveform), piece)
            pieces = [waveform[start : start + piece] for start in starts]
            return np.concatenate([encode(p[None], np.int32([len(p)])).numpy() for p in pieces])

        return listen

    def _reader(self) -> Callable[[str], np.ndarray]:
        assert self.feature.text is not None
        encoder = self._load(TEXT_ENCODERS)
        tokenizer = Tokenizer.from_pretrained(self.feature.source, self.feature.text.max_tokens)

        @tf.function(input_signature=[tf.TensorSpec((1,), tf.string)])
        def encode(transcript: tf.Tensor) -> tf.Tensor:
            return self._stored(*encoder(*tokenizer(transcript)))

        return lambda transcript: encode(tf.constant([transcript])).numpy()

    def _load(self, table: Registry):
        feature = self.feature
        return table[feature.encoder].from_pretrained(
            feature.source, layers=feature.layers, frozen=True
        )

    def _stored(self, states: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
        """The real steps of the one row: (1, steps, [layers,] dim) -> float16."""
        states = tf.reshape(states[0][mask[0]], (-1, *self.shape))
        return tf.cast(tf.clip_by_value(states, tf.float16.min, tf.float16.max), tf.float16)


def load_frozen(
    encoder: str,
    source: str | None = None,
    layers: Sequence[int] | None = None,
    **settings: Any,
) -> FrozenEncoder:
    """An encoder that turns raw input into the hidden states that shards store.

    The weights are loaded at the first utterance.

    Args:
        encoder, source, layers, settings: as of `describe_states`, with its errors.
    """
    return FrozenEncoder(describe_states(encoder, source, layers, **settings))


def extractor_of(feature: StatesFeature) -> Callable[[Any], np.ndarray]:
    """What computes described states, in whatever process.

    Raises:
        HubError: the weights are no longer those that were described.
    """
    if Checkpoint.find(feature.source).digest != feature.digest:
        raise HubError(f"The weights of '{feature.source}' change while they are read; try again.")
    return FrozenEncoder(feature).extract
