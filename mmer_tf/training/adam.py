"""Adam and AdamW in one operation a variable, on the whole gradient of an embedding."""

import keras
import tensorflow as tf


class _Fused:
    """What Keras 3.15 does in a dozen operations that each read or write a variable's size.

    TensorFlow gives the gradient of an embedding as a list of rows, in which a token that occurs
    twice in a batch has two. Keras squares these one by one, and takes its norm over them, so that
    its second moment and its clipping are not those of the gradient. Here they are added up.
    """

    def apply(self, grads, trainable_variables=None):
        """Update the variables."""
        whole = [None if g is None else tf.convert_to_tensor(g) for g in grads]
        # Weight decay needs no gradient. Begun before they are there, it would copy each weight,
        # which other operations still read.
        with tf.control_dependencies([one for one in whole if one is not None]):
            super().apply(whole, trainable_variables)

    def update_step(self, gradient, variable, learning_rate):
        """Move one variable as Keras would (Kingma and Ba 2015, the end of section 2)."""
        if self.amsgrad:
            super().update_step(gradient, variable, learning_rate)
            return
        index = self._get_variable_index(variable)
        dtype = variable.dtype
        step = tf.cast(self.iterations + 1, dtype)
        tf.raw_ops.ResourceApplyAdam(
            var=_handle(variable),
            m=_handle(self._momentums[index]),
            v=_handle(self._velocities[index]),
            beta1_power=tf.pow(tf.cast(self.beta_1, dtype), step),
            beta2_power=tf.pow(tf.cast(self.beta_2, dtype), step),
            lr=tf.cast(learning_rate, dtype),
            beta1=tf.cast(self.beta_1, dtype),
            beta2=tf.cast(self.beta_2, dtype),
            epsilon=tf.cast(self.epsilon, dtype),
            grad=tf.cast(gradient, dtype),
        )

    def _clip_gradients(self, grads):
        """Scale to the largest global norm, which takes no squares of a variable's size."""
        if not self.global_clipnorm:
            return super()._clip_gradients(grads)
        return tf.clip_by_global_norm(grads, self.global_clipnorm)[0]


def _handle(variable: keras.Variable | tf.Variable) -> tf.Tensor:
    """Where TensorFlow keeps a variable, on the device of this replica."""
    own = variable.value if isinstance(variable, keras.Variable) else variable
    return own.handle


@keras.saving.register_keras_serializable("mmer_tf")
class Adam(_Fused, keras.optimizers.Adam):
    """Adam (Kingma and Ba 2015)."""


@keras.saving.register_keras_serializable("mmer_tf")
class AdamW(_Fused, keras.optimizers.AdamW):
    """AdamW (Loshchilov and Hutter 2019)."""
