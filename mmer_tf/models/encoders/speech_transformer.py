"""What HuBERT, wav2vec 2.0 and WavLM have in common: convolutions, then a transformer."""

from collections.abc import Mapping, Sequence
from typing import Any

import keras
from keras import ops

from mmer_tf.audio.layer import before
from mmer_tf.models.encoders.encoder import Encoder, checked_layers, require_positive
from mmer_tf.models.encoders.positional_convolution import PositionalConvolution
from mmer_tf.models.encoders.speech_transformer_layer import SpeechTransformerLayer, dense
from mmer_tf.models.encoders.wave_features import NORM_EPSILON, WaveFeatures, normalise_waveform
from mmer_tf.models.weights.checkpoint import Checkpoint
from mmer_tf.models.weights.speech_transformer import (
    PREPROCESSOR,
    assign_speech_transformer,
    normalises,
    sizes_of,
)


class SpeechTransformer(Encoder):
    """Encode waveforms with strided convolutions and a transformer.

    The sizes of `conv_dims` to `position_groups` default to those of the published base models.

    A row of a padded batch answers what its clip answers alone. The originals do not hold this:
    their group norm counts padding as frames, and those with a group norm (the base models) were
    trained, and are run by their authors, without an attention mask, so that they attend to
    padding. Here the statistics are those of the real frames, what reaches past a clip's end is
    set to zero after every convolution, and no padding is attended to; for a single clip all of
    it is the original. Emotion corpora mix clips of one second and of twenty: an answer that
    depends on its neighbours would neither repeat nor let hidden states be stored.

    Args:
        conv_dims: channels of each convolution.
        conv_kernels: taps of each.
        conv_strides: step of each; their product is `samples_per_step`.
        conv_bias: whether the convolutions have one.
        feature_norm: "group", one normalisation over time after the first convolution (base
            models); "layer", one of each frame after every convolution (large models).
        projection_norm: normalise each frame before it is projected to `hidden_dim`.
        hidden_dim: width of the states, a multiple of `num_heads` and of `position_groups`.
        num_layers: transformer layers, at least 1.
        num_heads: attention heads per layer.
        intermediate_dim: width of the feed-forward parts.
        position_kernel: frames that the convolutional position embedding spans.
        position_groups: groups of its channels.
        norm_first: normalise what each part of a layer reads, as the large models do, rather
            than its sum.
        normalise: bring each waveform to zero mean and unit variance first.
        layers: hidden states to answer: 0 is what enters the first transformer layer, N the
            output of layer N. Nothing above the highest is computed, nor has it weights. None is
            the last, for `norm_first` behind the final normalisation, which no numbered one is.
        dropout: share dropped in training of the embedded frames and of each part's outputs
            (the originals' `hidden_dropout`). Nothing else of their training is in here: no
            masked spans, no skipped layers, no dropout of attention weights.
        frozen: not trained, and always run as in inference.

    Call: waveform (batch, samples) float32 in [-1, 1] at 16 kHz, num_samples (batch,) int32
        -> (batch, steps, hidden_dim), or with `layers` (batch, steps, len(layers), hidden_dim),
        and the mask (batch, steps) bool. A row has as many steps as the convolutions make of
        its samples, at least one; without any sample it has none.

    Raises:
        ValueError: an argument out of range.
    """

    inputs = "waveform"
    model_type: str
    """Of the published configuration."""

    def __init__(
        self,
        conv_dims: Sequence[int] = (512,) * 7,
        conv_kernels: Sequence[int] = (10, 3, 3, 3, 3, 2, 2),
        conv_strides: Sequence[int] = (5, 2, 2, 2, 2, 2, 2),
        conv_bias: bool = False,
        feature_norm: str = "group",
        projection_norm: bool = True,
        hidden_dim: int = 768,
        num_layers: int = 12,
        num_heads: int = 12,
        intermediate_dim: int = 3072,
        position_kernel: int = 128,
        position_groups: int = 16,
        norm_first: bool = False,
        normalise: bool = True,
        layers: Sequence[int] | None = None,
        dropout: float = 0.1,
        **kwargs,
    ):
        # A waveform is normalised in float32, and only then takes the type to compute with.
        super().__init__(autocast=False, **kwargs)
        require_positive(
            hidden_dim=hidden_dim,
            num_layers=num_layers,
            num_heads=num_heads,
            intermediate_dim=intermediate_dim,
            position_kernel=position_kernel,
            position_groups=position_groups,
        )
        if hidden_dim % num_heads:
            raise ValueError(
                "`hidden_dim` must be a multiple of `num_heads`. "
                f"Received: hidden_dim={hidden_dim}, num_heads={num_heads}."
            )
        if not 0 <= dropout < 1:
            raise ValueError(f"`dropout` must be in [0, 1). Received: dropout={dropout}.")
        self.conv_dims, self.conv_kernels = tuple(conv_dims), tuple(conv_kernels)
        self.conv_strides = tuple(conv_strides)
        self.conv_bias = conv_bias
        self.feature_norm = feature_norm
        self.projection_norm = projection_norm
        self.hidden_dim = hidden_dim
        self.num_layers = num_layers
        self.num_heads = num_heads
        self.intermediate_dim = intermediate_dim
        self.position_kernel = position_kernel
        self.position_groups = position_groups
        self.norm_first = norm_first
        self.normalise = normalise
        self.layers = checked_layers(layers, num_layers)
        self.highest_layer = num_layers if self.layers is None else max(self.layers)
        self.dropout = dropout
        shared: dict[str, Any] = {"dtype": self.dtype_policy}
        self.features = WaveFeatures(
            conv_dims,
            conv_kernels,
            conv_strides,
            conv_bias,
            feature_norm,
            name="features",
            **shared,
        )
        self.features_norm = layer_norm("features_norm", **shared) if projection_norm else None
        self.projection = dense(hidden_dim, "projection", self.dtype_policy)
        self.position_convolution = PositionalConvolution(
            position_kernel, position_groups, name="position_convolution", **shared
        )
        # Before the first layer, or with `norm_first` behind the last.
        has_norm = not norm_first or layers is None
        self.norm = layer_norm("norm", **shared) if has_norm else None
        self.embedding_dropout = keras.layers.Dropout(dropout, name="embedding_dropout", **shared)
        self.transformer_layers = [
            self._make_layer(f"transformer_layer_{index}") for index in range(self.highest_layer)
        ]

    @classmethod
    def from_pretrained(
        cls,
        weights: str,
        *,
        layers: Sequence[int] | None = None,
        frozen: bool = False,
        normalise: bool | None = None,
        dropout: float = 0.1,
        **kwargs,
    ):
        """The encoder with published weights, and of their size.

        Args:
            weights: folder in Hugging Face layout (`config.json`, `model.safetensors` and where
                there is one `preprocessor_config.json`), or a hub name.
            layers: see the class.
            frozen: see the class.
            normalise: None does what `preprocessor_config.json` says (`do_normalize`), and
                without that file what the published models of the family do (see the class).
            dropout: see the class.
            kwargs: of the Keras layer.

        Raises:
            HubError: the weights cannot be had, are those of another kind of model, or of a
                variant that is not built here.
        """
        checkpoint = Checkpoint.find(weights, optional=[PREPROCESSOR])
        checkpoint.require_type(cls.model_type)
        sizes = sizes_of(checkpoint)
        if normalise is None:
            normalise = normalises(checkpoint, default=cls.normalises_by_default(sizes))
        encoder = cls(
            **sizes,
            normalise=normalise,
            layers=layers,
            frozen=frozen,
            dropout=dropout,
            **kwargs,
        )
        encoder.build((None, None))
        assign_speech_transformer(encoder, checkpoint)
        return encoder

    @staticmethod
    def normalises_by_default(sizes: Mapping[str, Any]) -> bool:
        """What holds without a `preprocessor_config.json`."""
        return True

    def _make_layer(self, name: str) -> SpeechTransformerLayer:
        return SpeechTransformerLayer(
            self.num_heads,
            self.intermediate_dim,
            norm_first=self.norm_first,
            dropout=self.dropout,
            dtype=self.dtype_policy,
            name=name,
        )

    @property
    def output_dim(self) -> int:
        """Width of one step of the answer."""
        return self.hidden_dim

    @property
    def samples_per_step(self) -> int:
        """Samples from the start of one step to the start of the next."""
        return self.features.samples_per_step

    def build(self, waveform_shape):
        """Create the weights; nothing depends on the shape."""
        shape = (*waveform_shape[:1], None, self.conv_dims[-1])
        self.features.build(waveform_shape)
        if self.features_norm:
            self.features_norm.build(shape)
        self.projection.build(shape)
        shape = (*shape[:2], self.hidden_dim)
        self.position_convolution.build(shape)
        if self.norm:
            self.norm.build(shape)
        for layer in self.transformer_layers:
            layer.build(shape)

    def call(self, waveform, num_samples, training=None):
        """Encode (batch, samples); see the class."""
        real = before(num_samples, ops.shape(waveform)[1])
        waveform = ops.where(real, waveform, 0)
        if self.normalise:
            waveform = normalise_waveform(waveform, real)
        waveform = ops.cast(waveform, self.compute_dtype)
        sequence, mask = self.features(waveform, num_samples)
        sequence = self._embed(sequence, mask, training)
        position_bias = self._bias_positions(sequence)
        states = [sequence]  # each (batch, steps, hidden_dim)
        for layer in self.transformer_layers:
            sequence = layer(sequence, mask, position_bias, training=training)
            states.append(sequence)
        if self.layers is not None:
            states = ops.stack([states[index] for index in self.layers], axis=2)
            return ops.where(mask[:, :, None, None], states, 0), mask
        if self.norm_first:
            sequence = self.norm(sequence)
        return ops.where(mask[:, :, None], sequence, 0), mask

    def _embed(self, sequence, mask, training):
        if self.features_norm:
            sequence = self.features_norm(sequence)
        sequence = ops.where(mask[:, :, None], self.projection(sequence), 0)
        sequence = sequence + self.position_convolution(sequence)
        if not self.norm_first:
            sequence = self.norm(sequence)
        return self.embedding_dropout(sequence, training=training)

    def _bias_positions(self, sequence):
        """What is added to the attention scores, (heads, steps, steps); None is nothing."""
        return None

    def get_config(self):
        """Arguments that build this layer again, without the published weights."""
        return super().get_config() | {
            "conv_dims": self.conv_dims,
            "conv_kernels": self.conv_kernels,
            "conv_strides": self.conv_strides,
            "conv_bias": self.conv_bias,
            "feature_norm": self.feature_norm,
            "projection_norm": self.projection_norm,
            "hidden_dim": self.hidden_dim,
            "num_layers": self.num_layers,
            "num_heads": self.num_heads,
            "intermediate_dim": self.intermediate_dim,
            "position_kernel": self.position_kernel,
            "position_groups": self.position_groups,
            "norm_first": self.norm_first,
            "normalise": self.normalise,
            "layers": self.layers,
            "dropout": self.dropout,
        }


def layer_norm(name: str, **kwargs) -> keras.layers.LayerNormalization:
    """A normalisation of each step, as these models have it."""
    return keras.layers.LayerNormalization(epsilon=NORM_EPSILON, name=name, **kwargs)
