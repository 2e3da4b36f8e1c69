"""Voice and words side by side."""

import keras
from keras import ops


@keras.saving.register_keras_serializable("mmer_tf")
class Concat(keras.layers.Layer):
    """Concatenate the two vectors.

    Call: speech_vector (batch, speech_dim), text_vector (batch, text_dim)
        -> vector (batch, speech_dim + text_dim), no extras
    """

    level = "vector"

    def call(self, speech_vector, text_vector):
        """Join the vectors; see the class."""
        return ops.concatenate([speech_vector, text_vector], axis=-1), {}
