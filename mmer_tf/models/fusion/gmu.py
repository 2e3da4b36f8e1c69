"""Gated multimodal unit."""

import keras
from keras import ops


@keras.saving.register_keras_serializable("mmer_tf")
class GMU(keras.layers.Layer):
    """Weigh the voice against the words, unit by unit.

    `h_a = tanh(W_a x_a + b_a)`, `h_l = tanh(W_l x_l + b_l)`, `z = σ(W_z [x_a, x_l] + b_z)`,
    `h = z ∘ h_a + (1 − z) ∘ h_l`: Arevalo et al. 2017, "Gated multimodal units for information
    fusion" (arXiv 1702.01992).

    Args:
        units: width of the answer, at least 1.

    Call: speech_vector (batch, speech_dim), text_vector (batch, text_dim)
        -> vector (batch, units), {"gate": z (batch, units) float32: 1 is all voice, 0 all words}

    Raises:
        ValueError: `units` < 1.
    """

    level = "vector"

    def __init__(self, units: int = 128, **kwargs):
        super().__init__(**kwargs)
        if units < 1:
            raise ValueError(f"`units` must be >= 1. Received: units={units}.")
        self.units = units
        dtype = self.dtype_policy
        self.speech = keras.layers.Dense(units, activation="tanh", dtype=dtype, name="speech")
        self.text = keras.layers.Dense(units, activation="tanh", dtype=dtype, name="text")
        self.gate = keras.layers.Dense(units, activation="sigmoid", dtype=dtype, name="gate")

    def build(self, speech_vector_shape, text_vector_shape):
        """Create the weights for vectors of these widths."""
        self.speech.build(speech_vector_shape)
        self.text.build(text_vector_shape)
        self.gate.build((None, speech_vector_shape[-1] + text_vector_shape[-1]))

    def call(self, speech_vector, text_vector):
        """Fuse the vectors; see the class."""
        gate = self.gate(ops.concatenate([speech_vector, text_vector], axis=-1))
        vector = gate * self.speech(speech_vector) + (1 - gate) * self.text(text_vector)
        return vector, {"gate": ops.cast(gate, "float32")}

    def get_config(self):
        """Arguments that build this layer again."""
        return super().get_config() | {"units": self.units}
