"""Zero mean and unit deviation, by statistics of the training split that live in the model."""

import keras
import numpy as np
from keras import ops

from mmer_tf.audio.layer import Float32Layer, expand_to


@keras.saving.register_keras_serializable("mmer_tf")
class Standardise(Float32Layer):
    """Subtract a mean and divide by a deviation, one of each per entry of the last axis.

    The entries are mel bands, coefficients or descriptors; of a log-spectrogram its three
    channels. Mean and deviation are weights that are not trained: 0 and 1 until
    `set_statistics`, saved with the model. Masked steps give zeros, whatever they hold.

    Call: x (batch, steps, …, dim), mask (batch, steps) bool -> float32 of the shape of x
    """

    def build(self, input_shape):
        """Create the two weights."""
        self.mean = self.add_weight(
            name="mean", shape=input_shape[-1:], initializer="zeros", trainable=False
        )
        self.deviation = self.add_weight(
            name="deviation", shape=input_shape[-1:], initializer="ones", trainable=False
        )

    def set_statistics(self, mean: np.ndarray, deviation: np.ndarray) -> None:
        """Set the statistics of the training split.

        An entry that never varied (deviation 0) is centred and not scaled.

        Args:
            mean: float (dim,).
            deviation: float (dim,), at least 0.

        Raises:
            ValueError: shapes differ, or a value is negative, NaN or infinite where it must not be.
        """
        mean, deviation = np.asarray(mean, np.float32), np.asarray(deviation, np.float32)
        if mean.ndim != 1 or mean.shape != deviation.shape:
            raise ValueError(
                "`mean` and `deviation` must both be (dim,). "
                f"Received: shapes {mean.shape} and {deviation.shape}."
            )
        if not self.built:
            self.build(mean.shape)
        if mean.shape != self.mean.shape:
            raise ValueError(
                f"`mean` must be {tuple(self.mean.shape)}. Received: shape={mean.shape}."
            )
        if not np.isfinite(mean).all():
            raise ValueError(f"`mean` must be finite. Received: mean={mean}.")
        if not (np.isfinite(deviation) & (deviation >= 0)).all():
            raise ValueError(
                f"`deviation` must be finite and >= 0. Received: deviation={deviation}."
            )
        self.mean.assign(mean)
        self.deviation.assign(np.where(deviation == 0, 1, deviation))

    def call(self, x, mask):
        """Standardise; see the class."""
        standardised = (ops.cast(x, "float32") - self.mean) / self.deviation
        return ops.where(expand_to(mask, x), standardised, 0.0)
