"""The maximum over valid steps."""

import keras
from keras import ops


@keras.saving.register_keras_serializable("mmer_tf")
class MaxPooling(keras.layers.Layer):
    """Take the largest value of each unit over the valid steps.

    Call: sequence (batch, steps, dim), mask (batch, steps) bool
        -> vector (batch, dim), weights (batch, steps) float32: the share of the units whose
        largest value stands at this step; steps that tie share a unit evenly
    """

    def call(self, sequence, mask):
        """Pool (batch, steps, dim); see the class."""
        valid = mask[:, :, None]
        sequence = ops.where(valid, sequence, -float("inf"))
        largest = ops.max(sequence, axis=1, keepdims=True)  # (batch, 1, dim)
        wins = ops.logical_and(sequence == largest, valid)  # (batch, steps, dim)
        wins = ops.cast(wins, "float32")
        wins = wins / ops.maximum(ops.sum(wins, axis=1, keepdims=True), 1)
        vector = ops.where(ops.any(mask, axis=1, keepdims=True), largest[:, 0], 0)
        return vector, ops.mean(wins, axis=2)
