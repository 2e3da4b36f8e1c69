"""Hidden states of frozen encoders: described for the shards, and computed from raw input.

The one place where encoders and stored data meet: `data` writes what it is given a description
of, `models` holds the encoders, and neither knows the other.
"""

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from mmer_tf.data.families import FeatureFamily, same_values
from mmer_tf.data.states import ENCODERS, StatesFeature, TextInput
from mmer_tf.hub import HubError
from mmer_tf.models.creation import check_options
from mmer_tf.models.encoders import SPEECH_ENCODERS, TEXT_ENCODERS
from mmer_tf.models.weights.bert import bert_sizes
from mmer_tf.models.weights.checkpoint import Checkpoint
from mmer_tf.models.weights.speech_transformer import PREPROCESSOR, normalises, sizes_of
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

WITHOUT_INFLUENCE = ("layers", "frozen", "dropout")
"""Options of published weights that change nothing in a state: a frozen encoder drops nothing."""


def describe_states(
    encoder: str,
    source: str | None = None,
    layers: Sequence[int] | None = None,
    *,
    options: Mapping[str, Any] | None = None,
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
        options: arguments of the encoder; its sizes are those of the weights, whatever these say.
        cleaning: of the transcripts, for an encoder of text.
        max_tokens: longest row of tokens, for an encoder of text.

    Raises:
        UnknownNameError: no such encoder, or one without hidden states.
        HubError: the weights cannot be had, are of another model, or have no such layer.
        TokenizerError: an encoder of text whose vocabulary cannot be read.
        ValueError: an option that the encoder does not take.
    """
    published = ENCODERS[encoder]
    options = options or {}
    check_options(_table_of(encoder), encoder, options)
    layers = options.get("layers") if layers is None else layers
    source = absolute_source(source or published)
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
        encoder,
        source,
        checkpoint.digest,
        layers,
        sizes["hidden_dim"],
        extractor_of,
        _settings(encoder, checkpoint, sizes, options),
        text,
    )


def absolute_source(source: str) -> str:
    """The same weights from any working directory: a folder's whole path, a hub name as it is."""
    folder = Path(source).expanduser()
    return str(folder.resolve()) if folder.is_dir() else source


def _table_of(encoder: str) -> Registry:
    return TEXT_ENCODERS if encoder in TEXT_ENCODERS else SPEECH_ENCODERS


def _settings(
    encoder: str, checkpoint: Checkpoint, sizes: Mapping[str, Any], options: Mapping[str, Any]
) -> dict[str, Any]:
    """Sizes, and options of the encoder with what their defaults stand for."""
    encoder_class = _table_of(encoder)[encoder]
    chosen = {
        parameter.name: options.get(parameter.name, parameter.default)
        for parameter in inspect.signature(encoder_class.from_pretrained).parameters.values()
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY
        and parameter.name not in WITHOUT_INFLUENCE
    }
    if chosen.get("normalise", True) is None:
        default = encoder_class.normalises_by_default(sizes)
        chosen["normalise"] = normalises(checkpoint, default)
    return {**sizes, **{name: value for name, value in chosen.items() if value is not None}}


@dataclass(frozen=True)
class FrozenEncoder:
    """An encoder that answers hidden states, and is not trained.

    Args:
        feature: what it computes.
    """

    feature: StatesFeature

    @property
    def shape(self) -> tuple[int, int]:
        """(layers, dim) of one step."""
        return self.feature.shape

    @property
    def tokenizer(self) -> Tokenizer:
        """Of an encoder of text."""
        assert self.feature.text is not None
        return Tokenizer.from_pretrained(self.feature.source, self.feature.text.max_tokens)

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
        encoder = self.load()

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
        encoder = self.load()
        tokenizer = self.tokenizer

        @tf.function(input_signature=[tf.TensorSpec((1,), tf.string)])
        def encode(transcript: tf.Tensor) -> tf.Tensor:
            return self._stored(*encoder(*tokenizer(transcript)))

        return lambda transcript: encode(tf.constant([transcript])).numpy()

    def load(self):
        """The encoder as a layer, its weights read.

        Raises:
            HubError: the weights cannot be had, or do not fit.
        """
        feature = self.feature
        encoder_class = _table_of(feature.encoder)[feature.encoder]
        free = inspect.signature(encoder_class.from_pretrained).parameters
        options = {name: value for name, value in feature.settings.items() if name in free}
        try:
            return encoder_class.from_pretrained(
                feature.source, layers=feature.layers, frozen=True, **options
            )
        except HubError:
            raise
        except (TypeError, ValueError) as error:  # options are plain values, of whatever type
            raise HubError(f"{feature.encoder}: {error}") from error

    def _stored(self, states: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
        """The real steps of the one row: (1, steps, [layers,] dim) -> float16."""
        states = tf.reshape(states[0][mask[0]], (-1, *self.shape))
        return tf.cast(tf.clip_by_value(states, tf.float16.min, tf.float16.max), tf.float16)


def find_again(
    trained: Mapping[str, Any], options: Mapping[str, Any] | None = None
) -> FrozenEncoder:
    """The encoder whose stored hidden states a model was trained on.

    Args:
        trained: the states' parameters, as of `StatesFeature`; their `source` says where the
            weights are looked for.
        options: of the encoder, as they were given for the training.

    Raises:
        HubError: the weights cannot be had, or they, their configuration or their tokenizer are
            not those of the training.
    """
    encoder, source = trained["encoder"], trained["source"]
    how = {name: trained[name] for name in ("cleaning", "max_tokens") if name in trained}
    try:
        feature = describe_states(encoder, source, trained["layers"], options=options, **how)
    except ValueError as error:
        raise HubError(_why_not(trained, error)) from error
    found = FeatureFamily(feature).parameters()
    if not same_values(found, trained):
        raise HubError(_not_those(trained, _difference(found, trained)))
    return FrozenEncoder(feature)


def _why_not(trained: Mapping[str, Any], error: Exception) -> str:
    """Why weights that cannot be described are not those of the training."""
    encoder, source, digest = trained["encoder"], trained["source"], trained["sha256"]
    expected = f"the weights of {encoder} that the model was trained on (SHA-256 {digest[:8]}…)"
    if Path(source).is_absolute() and not Path(source).is_dir():
        return (
            f"{expected} are expected in {source}, which does not exist; "
            f"say where they are with --weights {encoder}=DIR"
        )
    cause = str(error).rstrip(".")
    try:
        checkpoint = Checkpoint.find(source)
    except HubError:
        return f"{cause}; --weights {encoder}=DIR names another place for {expected}"
    if checkpoint.digest != digest:
        return _not_those(trained, _other_digest(checkpoint.digest, digest))
    return _not_those(trained, cause)


def _not_those(trained: Mapping[str, Any], difference: str) -> str:
    return (
        f"{trained['source']}: not the weights that the model was trained on ({difference}); put "
        f"those back, say where they are with --weights {trained['encoder']}=DIR, or train anew"
    )


def _difference(found: Mapping[str, Any], trained: Mapping[str, Any]) -> str:
    """The first difference of two families' parameters, in words."""
    if found["sha256"] != trained["sha256"]:
        return _other_digest(found["sha256"], trained["sha256"])
    settings = found["settings"], trained.get("settings", {})
    for now, before in (settings, (found, trained)):
        for name in now:
            if now[name] != before.get(name):
                return f"{name} {now[name]!r} instead of {before.get(name)!r}"
    return "other settings"


def _other_digest(found: str, trained: str) -> str:
    return f"SHA-256 {found[:8]}… instead of {trained[:8]}…"


def extractor_of(feature: StatesFeature) -> Callable[[Any], np.ndarray]:
    """What computes described states, in whatever process.

    Raises:
        HubError: the weights are no longer those that were described.
    """
    if Checkpoint.find(feature.source).digest != feature.digest:
        raise HubError(f"The weights of '{feature.source}' change while they are read; try again.")
    return FrozenEncoder(feature).extract
