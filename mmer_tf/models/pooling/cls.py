"""The first step."""

import keras
from keras import ops

from mmer_tf.models.pooling.pooling import Pooling


@keras.saving.register_keras_serializable("mmer_tf")
class CLSPooling(Pooling):
    """Take the output at the first step, where BERT's `[CLS]` token stands.

    Devlin et al. 2019, section 3: the state of that token stands for the whole text.

    Call: sequence (batch, steps, dim), mask (batch, steps) bool
        -> vector (batch, dim), weights (batch, steps) float32: 1 at the first step; where that is
        masked, zeros
    """

    def weigh(self, sequence, mask):
        """One for the first step."""
        is_first = ops.arange(ops.shape(mask)[1])[None] == 0
        return ops.cast(ops.logical_and(is_first, mask), "float32")
