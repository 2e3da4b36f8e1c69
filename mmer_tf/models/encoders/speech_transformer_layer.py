"""One layer of a speech transformer: self-attention and a feed-forward part."""

import keras
from keras import ops

from mmer_tf.models.encoders.wave_features import NORM_EPSILON

MASKED_SCORE = -1e9
NUM_GATES, GATE_PARTS = 2, 4
"""WavLM's gates, and the projections that are summed to each."""


@keras.saving.register_keras_serializable("mmer_tf")
class SelfAttention(keras.layers.Layer):
    """Multi-head self-attention (Vaswani et al. 2017, arXiv 1706.03762).

    Args:
        num_heads: heads, a divisor of the width.
        gated_bias: add a position bias to the scores through WavLM's gates, which every head
            computes from its part of the query step (Chen et al. 2022, arXiv 2110.13900).

    Call: sequence (batch, steps, dim), mask (batch, steps) bool of the steps to attend to,
        with `gated_bias` position_bias (heads, steps, steps) -> (batch, steps, dim)
    """

    def __init__(self, num_heads: int, gated_bias: bool = False, **kwargs):
        super().__init__(**kwargs)
        self.num_heads = num_heads
        self.gated_bias = gated_bias

    def build(self, sequence_shape):
        """Create the weights for the last dimension's width."""
        dim = sequence_shape[-1]
        self.query, self.key, self.value, self.output_projection = (
            dense(dim, name, self.dtype_policy) for name in ("query", "key", "value", "output")
        )
        for layer in (self.query, self.key, self.value, self.output_projection):
            layer.build(sequence_shape)
        if self.gated_bias:
            self.gates = dense(NUM_GATES * GATE_PARTS, "gates", self.dtype_policy)
            self.gates.build((*sequence_shape[:-1], self.num_heads, dim // self.num_heads))
            self.gate_scale = self.add_weight(
                shape=(self.num_heads, 1, 1), initializer="ones", name="gate_scale"
            )

    def call(self, sequence, mask, position_bias=None):
        """Attend; see the class."""
        steps, dim = ops.shape(sequence)[1], sequence.shape[2]
        heads = (-1, steps, self.num_heads, dim // self.num_heads)
        query, key, value = (
            ops.transpose(ops.reshape(layer(sequence), heads), (0, 2, 1, 3))
            for layer in (self.query, self.key, self.value)
        )  # (batch, heads, steps, dim / heads)
        query = query * (dim // self.num_heads) ** -0.5
        scores = ops.matmul(query, ops.transpose(key, (0, 1, 3, 2)))  # (…, steps, steps)
        if position_bias is not None:
            scores = scores + self._gate(ops.reshape(sequence, heads)) * position_bias
        scores = ops.where(mask[:, None, None], ops.cast(scores, "float32"), MASKED_SCORE)
        weights = ops.cast(ops.softmax(scores), value.dtype)
        sequence = ops.transpose(ops.matmul(weights, value), (0, 2, 1, 3))
        return self.output_projection(ops.reshape(sequence, (-1, steps, dim)))

    def _gate(self, sequence):
        """What the position bias of each query step is multiplied by, (batch, heads, steps, 1)."""
        parts = self.gates(ops.transpose(sequence, (0, 2, 1, 3)))  # (batch, heads, steps, 8)
        update, reset = (
            ops.sigmoid(ops.sum(part, axis=-1, keepdims=True))
            for part in ops.split(parts, NUM_GATES, axis=-1)
        )
        return update * (reset * self.gate_scale - 1) + 2

    def get_config(self):
        """Arguments that build this layer again."""
        return super().get_config() | {
            "num_heads": self.num_heads,
            "gated_bias": self.gated_bias,
        }


@keras.saving.register_keras_serializable("mmer_tf")
class SpeechTransformerLayer(keras.layers.Layer):
    """Self-attention, then two dense layers with GELU between them; each is added to its input.

    Args:
        num_heads: attention heads, a divisor of the width.
        intermediate_dim: width of the feed-forward part.
        norm_first: normalise what each part reads; else what its addition gives.
        gated_bias: see `SelfAttention`.
        dropout: share of each part's outputs dropped in training.

    Call: sequence (batch, steps, dim), mask (batch, steps) bool,
        with `gated_bias` position_bias (heads, steps, steps) -> (batch, steps, dim)
    """

    def __init__(
        self,
        num_heads: int,
        intermediate_dim: int,
        norm_first: bool = False,
        gated_bias: bool = False,
        dropout: float = 0.0,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.num_heads = num_heads
        self.intermediate_dim = intermediate_dim
        self.norm_first = norm_first
        self.gated_bias = gated_bias
        self.dropout = dropout
        shared = {"dtype": self.dtype_policy}
        self.attention = SelfAttention(num_heads, gated_bias, name="attention", **shared)
        self.attention_norm, self.feed_forward_norm = (
            keras.layers.LayerNormalization(epsilon=NORM_EPSILON, name=name, **shared)
            for name in ("attention_norm", "feed_forward_norm")
        )
        self.attention_dropout, self.feed_forward_dropout = (
            keras.layers.Dropout(dropout, name=name, **shared)
            for name in ("attention_dropout", "feed_forward_dropout")
        )
        self.intermediate = dense(intermediate_dim, "intermediate", self.dtype_policy)

    def build(self, sequence_shape):
        """Create the weights for the last dimension's width."""
        self.feed_forward = dense(sequence_shape[-1], "feed_forward", self.dtype_policy)
        for layer in (
            self.attention,
            self.attention_norm,
            self.intermediate,
            self.feed_forward_norm,
        ):
            layer.build(sequence_shape)
        self.feed_forward.build((*sequence_shape[:-1], self.intermediate_dim))

    def call(self, sequence, mask, position_bias=None, training=None):
        """Run the layer; see the class."""
        read = self.attention_norm(sequence) if self.norm_first else sequence
        read = self.attention(read, mask, position_bias)
        sequence = sequence + self.attention_dropout(read, training=training)
        if not self.norm_first:
            sequence = self.attention_norm(sequence)
        read = self.feed_forward_norm(sequence) if self.norm_first else sequence
        read = self.feed_forward(ops.gelu(self.intermediate(read), approximate=False))
        sequence = sequence + self.feed_forward_dropout(read, training=training)
        if not self.norm_first:
            sequence = self.feed_forward_norm(sequence)
        return sequence  # (batch, steps, dim)

    def get_config(self):
        """Arguments that build this layer again."""
        return super().get_config() | {
            "num_heads": self.num_heads,
            "intermediate_dim": self.intermediate_dim,
            "norm_first": self.norm_first,
            "gated_bias": self.gated_bias,
            "dropout": self.dropout,
        }


def dense(units: int, name: str, dtype: keras.DTypePolicy) -> keras.layers.Dense:
    """A linear layer as these models start with it."""
    initializer = keras.initializers.TruncatedNormal(stddev=0.02)
    return keras.layers.Dense(units, kernel_initializer=initializer, dtype=dtype, name=name)
