"""The sum over valid steps."""

import keras
from keras import ops

from mmer_tf.models.pooling.pooling import equal_shares


@keras.saving.register_keras_serializable("mmer_tf")
class SumPooling(keras.layers.Layer):
    """Add up the valid steps, as a longer utterance then gives a longer vector.

    The sum over all positions of a convolutional network's last map keeps how much of a pattern
    there is, where the mean keeps its share.

    Call: sequence (batch, steps, dim), mask (batch, steps) bool
        -> vector (batch, dim), weights (batch, steps) float32: 1 / number of valid steps, the
        share of each step in the vector
    """

    def call(self, sequence, mask):
        """Pool (batch, steps, dim); see the class."""
        # float32: a long sum in half precision would lose what is added last
        sequence = ops.where(mask[:, :, None], ops.cast(sequence, "float32"), 0)
        return ops.cast(ops.sum(sequence, axis=1), self.compute_dtype), equal_shares(mask)
