"""The mean over valid steps."""

import keras
from keras import ops


@keras.saving.register_keras_serializable("mmer_tf")
class MeanPooling(keras.layers.Layer):
    """Average the valid steps.

    Call: sequence (batch, steps, dim), mask (batch, steps) bool
        -> vector (batch, dim), weights (batch, steps) float32: 1 / number of valid steps
    """

    def call(self, sequence, mask):
        """Pool (batch, steps, dim); see the class."""
        valid = ops.cast(mask, "float32")
        weights = valid / ops.maximum(ops.sum(valid, axis=1, keepdims=True), 1)
        sequence = ops.where(mask[:, :, None], ops.cast(sequence, "float32"), 0)
        vector = ops.einsum("bs,bsd->bd", weights, sequence)
        return ops.cast(vector, self.compute_dtype), weights
