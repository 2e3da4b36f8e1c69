"""The last valid step."""

import keras
from keras import ops


@keras.saving.register_keras_serializable("mmer_tf")
class LastPooling(keras.layers.Layer):
    """Take the output at the last valid step.

    Of a bidirectional LSTM this is the forward direction after the whole utterance, beside the
    backward direction after one step only: that is why it is the weakest of the poolings.

    Call: sequence (batch, steps, dim), mask (batch, steps) bool
        -> vector (batch, dim), weights (batch, steps) float32: 1 at the last valid step
    """

    def call(self, sequence, mask):
        """Pool (batch, steps, dim); see the class."""
        steps = ops.arange(ops.shape(mask)[1])[None]
        last = ops.max(ops.where(mask, steps, -1), axis=1, keepdims=True)  # -1: no valid step
        is_last = steps == last
        vector = ops.sum(ops.where(is_last[:, :, None], sequence, 0), axis=1)
        return vector, ops.cast(is_last, "float32")
