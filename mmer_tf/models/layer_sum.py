"""One sequence from the hidden states of several layers."""

import keras
from keras import ops


@keras.saving.register_keras_serializable("mmer_tf")
class WeightedLayerSum(keras.layers.Layer):
    """Sum hidden states with learned weights, a softmax over the layers.

    As in the SUPERB benchmark (Yang et al. 2021, arXiv 2105.01051, section 3) and ELMo before it.
    All layers weigh the same at first.

    Call: states (batch, steps, layers, dim) -> (batch, steps, dim)
    """

    def build(self, states_shape):
        """Create a weight for each layer."""
        self.scores = self.add_weight(shape=(states_shape[-2],), initializer="zeros", name="scores")

    def call(self, states):
        """Sum; see the class."""
        weights = ops.softmax(ops.cast(self.scores, states.dtype))
        # As an einsum it would take twice as long, which moves the layers to the end first.
        return ops.squeeze(ops.matmul(weights[None, None, None], states), axis=2)
