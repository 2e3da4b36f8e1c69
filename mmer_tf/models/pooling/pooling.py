"""What poolings that weigh the steps have in common."""

import keras
from keras import ops


class Pooling(keras.layers.Layer):
    """Collapse a sequence into the weighted sum of its valid steps.

    Subclasses tell the weights. All sums are in float32: half precision would lose the small
    weights, and the small differences, of long sequences.

    Call: sequence (batch, steps, dim), mask (batch, steps) bool
        -> vector (batch, dim), weights (batch, steps) float32
    """

    def weigh(self, sequence, mask):
        """Weights (batch, steps) float32 of a sequence that is zero where the mask is False."""
        raise NotImplementedError

    def call(self, sequence, mask):
        """Pool (batch, steps, dim); see the class."""
        sequence = ops.where(mask[:, :, None], sequence, 0)
        weights = self.weigh(sequence, mask)
        vector = ops.einsum("bs,bsd->bd", weights, ops.cast(sequence, "float32"))
        return ops.cast(vector, self.compute_dtype), weights


def equal_shares(mask):
    """1 / number of valid steps at each of them: (batch, steps) bool -> float32."""
    valid = ops.cast(mask, "float32")
    return valid / ops.maximum(ops.sum(valid, axis=1, keepdims=True), 1)
