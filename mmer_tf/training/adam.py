"""Adam and AdamW that add up the gradient of an embedding before they use it."""

import keras
import tensorflow as tf


class _SummedGradients:
    """Turns sparse gradients into whole ones.

    TensorFlow gives the gradient of an embedding as a list of rows, in which a token that occurs
    twice in a batch has two. Keras 3.15 squares these one by one, and takes its norm over them,
    so that its second moment and its clipping are not those of the gradient.
    """

    def apply(self, grads, trainable_variables=None):
        """Update the variables."""
        whole = [None if g is None else tf.convert_to_tensor(g) for g in grads]
        super().apply(whole, trainable_variables)


@keras.saving.register_keras_serializable("mmer_tf")
class Adam(_SummedGradients, keras.optimizers.Adam):
    """Adam (Kingma and Ba 2015)."""


@keras.saving.register_keras_serializable("mmer_tf")
class AdamW(_SummedGradients, keras.optimizers.AdamW):
    """AdamW (Loshchilov and Hutter 2019)."""
