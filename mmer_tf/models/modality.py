"""What a multimodal model does where the voice or the words are missing.

`ModalityDropout` hides a modality now and then in training, `HideAbsent` takes an absent
modality's steps away, and `AbsentModality` puts a learned vector in its place. A dropped modality
thus looks to the model exactly as an absent one does later.
"""

import keras
from keras import ops


@keras.saving.register_keras_serializable("mmer_tf")
class ModalityDropout(keras.layers.Layer):
    """In training, pretend for some rows that the voice or the words are missing.

    Only a row that has both loses one, and never both.

    Args:
        rate: probability, in [0, 1), that a row with both loses one of them; voice and words
            are equally likely to go.
        seed: of the draws.

    Call: has_speech (batch,) bool, has_text (batch,) bool -> the same, with some set to False

    Raises:
        ValueError: `rate` out of range.
    """

    def __init__(self, rate: float = 0.1, seed: int | None = None, **kwargs):
        super().__init__(**kwargs)
        if not 0 <= rate < 1:
            raise ValueError(f"`rate` must be in [0, 1). Received: rate={rate}.")
        self.rate = rate
        self.seed = seed
        self.seed_generator = keras.random.SeedGenerator(seed)

    def build(self, has_speech_shape, has_text_shape):
        """There are no weights."""

    def call(self, has_speech, has_text, training=None):
        """Drop; see the class."""
        if not training or self.rate == 0:
            return has_speech, has_text
        draw = keras.random.uniform(ops.shape(has_speech), seed=self.seed_generator)
        both = ops.logical_and(has_speech, has_text)
        drop_speech = ops.logical_and(both, draw < self.rate / 2)
        drop_text = ops.logical_and(both, draw >= 1 - self.rate / 2)
        return (
            ops.logical_and(has_speech, ops.logical_not(drop_speech)),
            ops.logical_and(has_text, ops.logical_not(drop_text)),
        )

    def get_config(self):
        """Arguments that build this layer again."""
        return super().get_config() | {"rate": self.rate, "seed": self.seed}


@keras.saving.register_keras_serializable("mmer_tf")
class HideAbsent(keras.layers.Layer):
    """Take away every step of an absent modality, so that whatever stands there changes nothing.

    Call: step_mask (batch, steps) bool, or num_samples (batch,) int, and present (batch,) bool
        -> the same, False or 0 where the modality is absent
    """

    def call(self, steps, present):
        """Mask; see the class."""
        if len(steps.shape) == 1:
            return ops.where(present, steps, 0)
        return ops.logical_and(steps, present[:, None])


@keras.saving.register_keras_serializable("mmer_tf")
class AbsentModality(keras.layers.Layer):
    """Put a learned vector in the place of an absent modality's.

    Call: vector (batch, …, dim), present (batch, …) bool -> (batch, …, dim)
    """

    def build(self, vector_shape, present_shape):
        """Create the learned vector."""
        self.absent = self.add_weight(shape=(vector_shape[-1],), initializer="zeros", name="absent")

    def call(self, vector, present):
        """Replace; see the class."""
        return ops.where(ops.expand_dims(present, -1), vector, ops.cast(self.absent, vector.dtype))
