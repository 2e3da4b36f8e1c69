"""What is stored of a frozen encoder: its hidden states, and what they depend on.

The encoders themselves lie in `models`, which this package does not know: whoever describes
hidden states also says how they are computed (see `mmer_tf.hidden_states`).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mmer_tf.data.features import Layout
from mmer_tf.registry import Registry
from mmer_tf.text.normalise import Style

ENCODERS: Registry[str] = Registry(
    "encoder with hidden states",
    {
        "hubert": "facebook/hubert-base-ls960",
        "wav2vec2": "facebook/wav2vec2-base",
        "wavlm": "microsoft/wavlm-base",
        "whisper": "openai/whisper-base",
        "bert": "google-bert/bert-base-uncased",
    },
)
"""The weights that are taken where none are named."""

STATES_PER_SECOND = 50
"""Of every speech encoder here: one state for 320 samples."""


@dataclass(frozen=True)
class TextInput:
    """How the words reach an encoder of text.

    Args:
        cleaning: of the transcript.
        max_tokens: longest row of tokens.
        tokenizer: digest of the tokenizer.
    """

    cleaning: Style
    max_tokens: int
    tokenizer: str


@dataclass(frozen=True)
class StatesFeature:
    """Hidden states of a frozen encoder, a feature like any other.

    Args:
        encoder: its name, as `hubert`.
        source: folder (absolute, as it is read from anywhere) or hub name of its weights.
        digest: SHA-256 of the weights.
        layers: numbers of the hidden states, 0 being what enters the first layer; None is the
            encoder's answer, alone.
        dim: width of a state.
        make: builds the extractor in the process that needs it: a function of a module's top
            level, given this object. The extractor takes a waveform, float32 (samples,) in [-1, 1],
            or a cleaned transcript, and gives float16 (steps, layers, dim).
        settings: the encoder's sizes and what else, besides its weights, determines its states,
            as plain values by the names of its arguments.
        text: how the words reach it; None for an encoder of speech.
    """

    encoder: str
    source: str
    digest: str
    layers: tuple[int, ...] | None
    dim: int
    make: Callable[["StatesFeature"], Callable[[Any], np.ndarray]]
    settings: Mapping[str, Any] = field(default_factory=dict, hash=False)
    text: TextInput | None = None

    @property
    def name(self) -> str:
        """Name of the feature, and of its family of shards."""
        return f"{self.encoder}_states"

    @property
    def shape(self) -> tuple[int, int]:
        """(layers, dim) of one step."""
        return (1 if self.layers is None else len(self.layers), self.dim)

    @property
    def layout(self) -> Layout:
        """How the states of one utterance are stored."""
        of_recording = self.text is None
        rate = STATES_PER_SECOND if of_recording else None
        return Layout(self.shape, "float16", rate, of_recording=of_recording)

    def parameters(self) -> dict[str, Any]:
        """What determines the values, and where the weights came from."""
        values = {
            "encoder": self.encoder,
            "source": self.source,
            "sha256": self.digest,
            "layers": self.layers,
            "dim": self.dim,
            "settings": dict(self.settings),
        }
        return values if self.text is None else values | vars(self.text)
