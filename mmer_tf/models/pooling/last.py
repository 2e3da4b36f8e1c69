"""The last valid step."""

import keras
from keras import ops

from mmer_tf.models.pooling.pooling import Pooling


@keras.saving.register_keras_serializable("mmer_tf")
class LastPooling(Pooling):
    """Take the output at the last valid step.

    Of a bidirectional LSTM this is the forward direction after the whole utterance, beside the
    backward direction after one step only: that is why it is the weakest of the poolings.

    Call: sequence (batch, steps, dim), mask (batch, steps) bool
        -> vector (batch, dim), weights (batch, steps) float32: 1 at the last valid step
    """

    def weigh(self, sequence, mask):
        """One for the last valid step."""
        steps = ops.arange(ops.shape(mask)[1])[None]
        last = ops.max(ops.where(mask, steps, -1), axis=1, keepdims=True)  # -1: no valid step
        return ops.cast(steps == last, "float32")
