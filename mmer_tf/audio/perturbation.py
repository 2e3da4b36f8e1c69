"""Log-mel frames as another speaker at another distance would have given them."""

import keras
from keras import ops

from mmer_tf.audio.layer import Float32Layer


@keras.saving.register_keras_serializable("mmer_tf")
class VoicePerturbation(Float32Layer):
    """Stretch the frequency axis and change the level of every row at random, in training only.

    The stretch imitates another length of the vocal tract (vocal tract length perturbation:
    Jaitly & Hinton 2013), here along the mel axis and linear around its lowest bin; bins that
    would lie above the highest repeat it. Each row draws a factor, log-uniform between
    1 / (1 + max_warp) and 1 + max_warp, and a change of level, normal with mean 0.

    Args:
        max_warp: greatest relative stretch, at least 0.
        gain: deviation of the change of level, in natural-log units of power, at least 0;
            1 is 4.3 dB.
        seed: of the random draws; None draws one.

    Call: x (batch, frames, bins) natural-log mel power, not standardised -> float32, same shape

    Raises:
        ValueError: an argument is negative.
    """

    def __init__(self, max_warp: float = 0.1, gain: float = 0.5, seed: int | None = None, **kwargs):
        super().__init__(**kwargs)
        for name, value in (("max_warp", max_warp), ("gain", gain)):
            if value < 0:
                raise ValueError(f"`{name}` must be >= 0. Received: {name}={value}.")
        self.max_warp = max_warp
        self.gain = gain
        self.seed = seed
        self.seed_generator = keras.random.SeedGenerator(seed)

    def call(self, x, training=False):
        """Perturb; see the class."""
        if not training:
            return x
        rows, bins = ops.shape(x)[0], x.shape[2]
        draw = keras.random.uniform((rows, 1), -1.0, 1.0, seed=self.seed_generator)
        factor = ops.exp(draw * ops.log(1.0 + self.max_warp))
        position = ops.minimum(ops.arange(bins, dtype="float32") * factor, bins - 1)  # (rows, bins)
        # Linear interpolation as a matrix for each row: new bin k lies between two old bins j.
        old = ops.arange(bins, dtype="float32")[:, None]
        weights = ops.relu(1.0 - ops.abs(old - position[:, None, :]))  # (rows, bins, bins)
        level = keras.random.normal((rows, 1, 1), seed=self.seed_generator) * self.gain
        return ops.matmul(x, weights) + level

    def get_config(self):
        """Arguments that rebuild the layer."""
        return {
            **super().get_config(),
            "max_warp": self.max_warp,
            "gain": self.gain,
            "seed": self.seed,
        }
