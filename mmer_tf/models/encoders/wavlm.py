"""WavLM, from scratch or from published weights."""

from collections.abc import Mapping, Sequence
from typing import Any

import keras

from mmer_tf.models.encoders.relative_position_bias import RelativePositionBias
from mmer_tf.models.encoders.speech_transformer import SpeechTransformer
from mmer_tf.models.encoders.speech_transformer_layer import SpeechTransformerLayer


@keras.saving.register_keras_serializable("mmer_tf")
class WavLM(SpeechTransformer):
    """Encode waveforms with WavLM (Chen et al. 2022, arXiv 2110.13900).

    wav2vec 2.0's layout, with a relative position bias that all layers share and each gates.
    The other arguments, call and errors are those of `SpeechTransformer`. Of the published
    models those with a group norm (base, base-plus) read the waveform as it is, those with layer
    norms (large) normalise it.

    Args:
        num_buckets: of relative positions, a multiple of 4.
        max_bucket_distance: in steps, from where on all fall into the last bucket.
        normalise: bring each waveform to zero mean and unit variance first.

    >>> WavLM(num_layers=1).samples_per_step
    320
    """

    model_type = "wavlm"

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
        num_buckets: int = 320,
        max_bucket_distance: int = 800,
        norm_first: bool = False,
        normalise: bool = False,
        layers: Sequence[int] | None = None,
        dropout: float = 0.1,
        **kwargs,
    ):
        super().__init__(
            conv_dims=conv_dims,
            conv_kernels=conv_kernels,
            conv_strides=conv_strides,
            conv_bias=conv_bias,
            feature_norm=feature_norm,
            projection_norm=projection_norm,
            hidden_dim=hidden_dim,
            num_layers=num_layers,
            num_heads=num_heads,
            intermediate_dim=intermediate_dim,
            position_kernel=position_kernel,
            position_groups=position_groups,
            norm_first=norm_first,
            normalise=normalise,
            layers=layers,
            dropout=dropout,
            **kwargs,
        )
        self.num_buckets = num_buckets
        self.max_bucket_distance = max_bucket_distance
        position_bias = RelativePositionBias(
            self.num_heads,
            num_buckets,
            max_bucket_distance,
            dtype=self.dtype_policy,
            name="position_bias",
        )
        # Hidden state 0 alone needs no attention.
        self.position_bias = position_bias if self.transformer_layers else None

    @staticmethod
    def normalises_by_default(sizes: Mapping[str, Any]) -> bool:
        """What holds without a `preprocessor_config.json`."""
        return sizes["feature_norm"] == "layer"

    def _make_layer(self, name: str) -> SpeechTransformerLayer:
        return SpeechTransformerLayer(
            self.num_heads,
            self.intermediate_dim,
            norm_first=self.norm_first,
            gated_bias=True,
            dropout=self.dropout,
            dtype=self.dtype_policy,
            name=name,
        )

    def build(self, waveform_shape):
        """Create the weights; nothing depends on the shape."""
        super().build(waveform_shape)
        if self.position_bias:
            self.position_bias.build((None, None, self.hidden_dim))

    def _bias_positions(self, sequence):
        return self.position_bias(sequence) if self.position_bias else None

    def get_config(self):
        """Arguments that build this layer again, without the published weights."""
        return super().get_config() | {
            "num_buckets": self.num_buckets,
            "max_bucket_distance": self.max_bucket_distance,
        }
