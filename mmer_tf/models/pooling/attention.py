"""Learned attention over the steps."""

import keras
from keras import ops

from mmer_tf.models.pooling.pooling import Pooling


@keras.saving.register_keras_serializable("mmer_tf")
class AttentionPooling(Pooling):
    """Collapse a sequence into one vector by learned attention.

    `e = vᵀ tanh(W h + b)`, `a = softmax(e)`, `z = Σ a h`: context attention of Mirsamadi et al.
    2017, eq. 4-6 (doi 10.1109/ICASSP.2017.7952552).
    Masked steps get weight 0; a row with no valid step gives zeros.

    Args:
        units: width of the scoring layer, at least 1.

    Call: sequence (batch, steps, dim), mask (batch, steps) bool
        -> vector (batch, dim), weights (batch, steps) float32

    Raises:
        ValueError: `units` < 1.
    """

    def __init__(self, units: int = 64, **kwargs):
        super().__init__(**kwargs)
        if units < 1:
            raise ValueError(f"`units` must be >= 1. Received: units={units}.")
        self.units = units
        self.hidden = keras.layers.Dense(
            units, activation="tanh", dtype=self.dtype_policy, name="hidden"
        )
        self.score = keras.layers.Dense(1, use_bias=False, dtype=self.dtype_policy, name="score")

    def build(self, sequence_shape):
        """Create the weights for steps of the last dimension's width."""
        self.hidden.build(sequence_shape)
        self.score.build((*sequence_shape[:-1], self.units))

    def weigh(self, sequence, mask):
        """Score each step, and compare the scores of a row."""
        scores = self.score(self.hidden(sequence))[:, :, 0]
        # float32 from here on: half precision would lose the small weights of long sequences
        scores = ops.where(mask, ops.cast(scores, "float32"), -1e9)
        return ops.softmax(scores, axis=1) * ops.cast(mask, "float32")  # (batch, steps)

    def get_config(self):
        """Arguments that build this layer again."""
        return super().get_config() | {"units": self.units}
