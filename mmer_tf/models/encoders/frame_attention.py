"""One vector of a sequence, chosen by another vector."""

import keras
from keras import ops

MASKED_SCORE = -1e9


@keras.saving.register_keras_serializable("mmer_tf")
class FrameAttention(keras.layers.Layer):
    """Sum the frames of one stream, weighed by what another stream asks for.

    `score_t = (W_q query + b) · (W_k frame_t) / sqrt(units)` (scaled dot product, Vaswani et al.
    2017, arXiv 1706.03762), of which a softmax over the real frames makes the weights; the frames
    themselves are summed.

    Args:
        units: width in which both are compared, at least 1.
        dropout: share of the query dropped in training.

    Call: query (batch, query_dim), frames (batch, frames, dim), mask (batch, frames) bool
        -> vector (batch, dim), weights (batch, frames) float32 that sum to 1, 0 where masked; a
        row without real frames gets zeros

    Raises:
        ValueError: `units` < 1.
    """

    def __init__(self, units: int, dropout: float = 0.0, **kwargs):
        super().__init__(**kwargs)
        if units < 1:
            raise ValueError(f"`units` must be >= 1. Received: units={units}.")
        self.units = units
        self.dropout = dropout
        self.query = keras.layers.Dense(units, dtype=self.dtype_policy, name="query")
        # A bias would add the same to all frames' scores, which softmax ignores.
        self.key = keras.layers.Dense(units, use_bias=False, dtype=self.dtype_policy, name="key")
        self.query_dropout = keras.layers.Dropout(
            dropout, dtype=self.dtype_policy, name="query_dropout"
        )

    def build(self, query_shape, frames_shape, mask_shape=None):
        """Create the weights for both widths."""
        self.query.build(query_shape)
        self.key.build(frames_shape)

    def call(self, query, frames, mask, training=None):
        """Choose; see the class."""
        query = self.query(self.query_dropout(query, training=training))  # (batch, units)
        scores = ops.einsum("bu,bfu->bf", query, self.key(frames))
        scores = ops.cast(scores, "float32") / self.units**0.5
        weights = ops.softmax(ops.where(mask, scores, MASKED_SCORE))
        weights = ops.where(mask, weights, 0)  # (batch, frames)
        frames = ops.where(mask[:, :, None], ops.cast(frames, "float32"), 0)
        return ops.cast(ops.einsum("bf,bfd->bd", weights, frames), self.compute_dtype), weights

    def get_config(self):
        """Arguments that build this layer again."""
        return super().get_config() | {"units": self.units, "dropout": self.dropout}
