"""The mean over valid steps."""

import keras

from mmer_tf.models.pooling.pooling import Pooling, equal_shares


@keras.saving.register_keras_serializable("mmer_tf")
class MeanPooling(Pooling):
    """Average the valid steps.

    Call: sequence (batch, steps, dim), mask (batch, steps) bool
        -> vector (batch, dim), weights (batch, steps) float32: 1 / number of valid steps
    """

    def weigh(self, sequence, mask):
        """All valid steps alike."""
        return equal_shares(mask)
