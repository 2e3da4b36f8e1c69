"""The encoder of Whisper, from scratch or from published weights."""

import math
from collections.abc import Sequence

import keras
import keras_hub
import numpy as np
from keras import ops

from mmer_tf.audio.layer import before
from mmer_tf.audio.spectrum import DFT
from mmer_tf.audio.whisper_mel import WhisperMel
from mmer_tf.models.encoders.encoder import Encoder, checked_layers
from mmer_tf.models.weights.checkpoint import Checkpoint
from mmer_tf.models.weights.whisper import (
    ignored_names,
    published_sizes,
    whisper_targets,
)
from mmer_tf.types import Seconds

LAYER_NORM_EPSILON = 1e-5
LONGEST_PERIOD = 10_000


@keras.saving.register_keras_serializable("mmer_tf")
class Whisper(Encoder):
    """Encode a waveform with Whisper's encoder, its log-mel front end included.

    Radford et al. 2023, "Robust speech recognition via large-scale weak supervision" (arXiv
    2212.04356). As published, the clip stands in a window filled up with zeros, and the encoder
    reads the whole window; the steps behind the clip are then left out. Clips longer than the
    window are cut. Its keys have a bias here, as keras-hub's layers have, of which the answer does
    not depend: softmax ignores it.

    Args:
        hidden_dim: width of the states, an even multiple of `num_heads`.
        num_layers: transformer layers.
        num_heads: attention heads per layer.
        intermediate_dim: width of the feed-forward part.
        num_mels: bands of the front end.
        window_seconds: what the encoder reads, a multiple of 0.02; less than the 30 s that the
            published models were trained on is faster, and differs slightly.
        dropout: after the positions and inside the transformer.
        layers: hidden states to answer: 0 enters the first transformer layer, N leaves layer N,
            with the final layer norm where N is the last, as in transformers. Layers above the
            highest of them are not built. None is the last alone.
        dft: how the spectrum is computed, "fft" or "factored" (see `PowerSpectrum`).

    Call: waveform (batch, samples) float32 in [-1, 1], num_samples (batch,) int32
        -> (batch, steps, hidden_dim), or with `layers` (batch, steps, len(layers), hidden_dim),
        and the mask (batch, steps); a step is 320 samples, and there are no more than the window's

    Raises:
        ValueError: an argument out of range.
    """

    inputs = "waveform"
    samples_per_step = WhisperMel.SAMPLES_PER_STEP

    def __init__(
        self,
        hidden_dim: int = 512,
        num_layers: int = 6,
        num_heads: int = 8,
        intermediate_dim: int = 2048,
        num_mels: int = 80,
        window_seconds: Seconds = 30.0,
        dropout: float = 0.0,
        layers: Sequence[int] | None = None,
        dft: DFT = "fft",
        **kwargs,
    ):
        # A waveform loses its quiet half in half precision, so it is not cast on the way in.
        super().__init__(**kwargs, autocast=False)
        if num_layers < 1:
            raise ValueError(f"`num_layers` must be >= 1. Received: num_layers={num_layers}.")
        if hidden_dim % num_heads or hidden_dim % 2:
            raise ValueError(
                "`hidden_dim` must be even and a multiple of `num_heads`. "
                f"Received: hidden_dim={hidden_dim}, num_heads={num_heads}."
            )
        self.hidden_dim = hidden_dim
        self.num_layers = num_layers
        self.num_heads = num_heads
        self.intermediate_dim = intermediate_dim
        self.num_mels = num_mels
        self.window_seconds = window_seconds
        self.dropout = dropout
        self.layers = checked_layers(layers, num_layers)
        self.dft = dft
        self.highest_layer = num_layers if self.layers is None else max(self.layers)
        # Names as in `keras_hub.models.WhisperBackbone`.
        shared = {"dtype": self.dtype_policy}
        self.mel = WhisperMel(num_mels, window_seconds, dft, name="mel")
        self.conv_layer_1 = keras.layers.Conv1D(
            hidden_dim, 3, padding="same", name="conv_layer_1", **shared
        )
        self.conv_layer_2 = keras.layers.Conv1D(
            hidden_dim, 3, strides=2, name="conv_layer_2", **shared
        )
        self.embeddings_dropout = keras.layers.Dropout(dropout, name="embeddings_dropout", **shared)
        self.transformer_layers = [
            keras_hub.layers.TransformerEncoder(
                intermediate_dim,
                num_heads,
                dropout=dropout,
                activation="gelu",
                layer_norm_epsilon=LAYER_NORM_EPSILON,
                kernel_initializer=keras.initializers.TruncatedNormal(stddev=0.02),
                normalize_first=True,
                name=f"transformer_layer_{index}",
                **shared,
            )
            for index in range(self.highest_layer)
        ]
        self.layer_norm = None
        if self.highest_layer == num_layers:
            self.layer_norm = keras.layers.LayerNormalization(
                epsilon=LAYER_NORM_EPSILON, name="layer_norm", **shared
            )

    @classmethod
    def from_pretrained(
        cls,
        weights: str,
        *,
        layers: Sequence[int] | None = None,
        frozen: bool = False,
        window_seconds: Seconds | None = None,
        dropout: float = 0.0,
        dft: DFT = "fft",
        **kwargs,
    ) -> "Whisper":
        """Whisper's encoder with published weights, and of their size.

        Args:
            weights: folder in Hugging Face layout (`config.json`, `model.safetensors`), or a hub
                name such as `openai/whisper-base`; the decoder is not read.
            layers: hidden states to answer, as of the class.
            frozen: not trained, and run as in inference.
            window_seconds: what the encoder reads; None is what it was trained on.
            dropout: as of the class.
            dft: as of the class.
            kwargs: of the Keras layer.

        Raises:
            HubError: the weights cannot be had, or are not those of a Whisper.
            ValueError: an argument out of range.
        """
        checkpoint = Checkpoint.find(weights)
        sizes = published_sizes(checkpoint)
        longest = sizes.pop("window_seconds")
        window_seconds = longest if window_seconds is None else window_seconds
        if window_seconds > longest:
            raise ValueError(
                f"`window_seconds` must be <= {longest:g}, for which '{weights}' has positions. "
                f"Received: window_seconds={window_seconds}."
            )
        encoder = cls(
            **sizes,
            window_seconds=window_seconds,
            dropout=dropout,
            layers=layers,
            dft=dft,
            frozen=frozen,
            **kwargs,
        )
        encoder.build((None, None))
        checkpoint.assign(
            whisper_targets(encoder),
            prefixes=("model.encoder.", "encoder."),
            ignored=ignored_names(encoder),
        )
        return encoder

    @property
    def output_dim(self) -> int:
        """Width of one step of the answer."""
        return self.hidden_dim

    @property
    def window_steps(self) -> int:
        """Steps of a whole window."""
        return self.mel.window_samples // self.samples_per_step

    def num_steps(self, num_samples):
        """Count the steps of clips: integer tensor -> integer tensor of the same shape."""
        steps = (num_samples + self.samples_per_step - 1) // self.samples_per_step
        return ops.minimum(steps, self.window_steps)

    def build(self, waveform_shape, num_samples_shape=None):
        """Create the weights."""
        states_shape = (None, self.window_steps, self.hidden_dim)
        self.conv_layer_1.build((None, 2 * self.window_steps, self.num_mels))
        self.conv_layer_2.build((None, 2 * self.window_steps + 2, self.hidden_dim))
        self.position_embedding = self.add_weight(
            shape=states_shape[1:],
            initializer=lambda shape, dtype: ops.convert_to_tensor(_sinusoids(*shape), dtype),
            trainable=False,  # as published
            name="position_embedding",
        )
        for layer in self.transformer_layers:
            layer.build(states_shape)
        if self.layer_norm is not None:
            self.layer_norm.build(states_shape)

    def call(self, waveform, num_samples, training=None):
        """Encode (batch, samples); see the class."""
        num_samples = ops.cast(num_samples, "int32")
        log_mel, _ = self.mel(waveform, num_samples)  # (batch, 2 * window_steps, num_mels)
        sequence = ops.gelu(self.conv_layer_1(log_mel), approximate=False)
        sequence = ops.pad(sequence, ((0, 0), (1, 1), (0, 0)))
        sequence = ops.gelu(self.conv_layer_2(sequence), approximate=False)
        # (batch, window_steps, hidden_dim)
        sequence = sequence + ops.cast(self.position_embedding, sequence.dtype)
        sequence = self.embeddings_dropout(sequence, training=training)
        states = [sequence]
        for layer in self.transformer_layers:
            states.append(layer(states[-1], training=training))
        if self.layer_norm is not None:
            states[-1] = self.layer_norm(states[-1])

        samples = ops.shape(waveform)[1]
        steps = self.window_steps
        if not isinstance(samples, int):
            steps = ops.maximum(1, self.num_steps(samples))
        elif samples < self.mel.window_samples:
            steps = max(1, math.ceil(samples / self.samples_per_step))
        mask = before(self.num_steps(num_samples), steps)  # (batch, steps)
        if self.layers is None:
            return ops.where(mask[:, :, None], states[-1][:, :steps], 0), mask
        chosen = ops.stack([states[index][:, :steps] for index in self.layers], axis=2)
        return ops.where(mask[:, :, None, None], chosen, 0), mask

    def get_config(self):
        """Arguments that build this layer again, without the published weights."""
        return super().get_config() | {
            "hidden_dim": self.hidden_dim,
            "num_layers": self.num_layers,
            "num_heads": self.num_heads,
            "intermediate_dim": self.intermediate_dim,
            "num_mels": self.num_mels,
            "window_seconds": self.window_seconds,
            "dropout": self.dropout,
            "layers": self.layers,
            "dft": self.dft,
        }


def _sinusoids(steps: int, dim: int) -> np.ndarray:
    """Sines, then cosines, of periods from 2π to 2π * 10,000 steps: (steps, dim)."""
    frequencies = np.exp(-np.log(LONGEST_PERIOD) * np.linspace(0.0, 1.0, dim // 2))
    angles = np.arange(steps)[:, None] * frequencies
    return np.concatenate([np.sin(angles), np.cos(angles)], axis=1)
