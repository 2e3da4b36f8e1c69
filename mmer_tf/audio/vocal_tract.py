"""Log-mel frames as another speaker's vocal tract would have given them."""

import keras
from keras import ops

from mmer_tf.audio.layer import Float32Layer


@keras.saving.register_keras_serializable("mmer_tf")
class VocalTractPerturbation(Float32Layer):
    """Stretch the frequency axis of every row at random, in training only.

    The stretch imitates another length of the vocal tract (Jaitly & Hinton 2013, "Vocal tract
    length perturbation improves speech recognition"), here along the mel axis and linear around
    its lowest bin; bins that would lie above the highest repeat it. Each row draws a factor,
    log-uniform between 1 / (1 + max_warp) and 1 + max_warp.

    Args:
        max_warp: greatest relative stretch, at least 0.
        seed: of the random draws; None draws one.

    Call: x (batch, frames, bins) -> float32, same shape

    Raises:
        ValueError: `max_warp` < 0.
    """

    def __init__(self, max_warp: float = 0.1, seed: int | None = None, **kwargs):
        super().__init__(**kwargs)
        if max_warp < 0:
            raise ValueError(f"`max_warp` must be >= 0. Received: max_warp={max_warp}.")
        self.max_warp = max_warp
        self.seed = seed
        self.seed_generator = keras.random.SeedGenerator(seed)

    def call(self, x, training=False):
        """Stretch; see the class."""
        if not training:
            return x
        rows, bins = ops.shape(x)[0], x.shape[2]
        draw = keras.random.uniform((rows, 1), -1.0, 1.0, seed=self.seed_generator)
        factor = ops.exp(draw * ops.log(1.0 + self.max_warp))
        position = ops.minimum(ops.arange(bins, dtype="float32") * factor, bins - 1)  # (rows, bins)
        # Linear interpolation as a matrix for each row: new bin k lies between two old bins j.
        old = ops.arange(bins, dtype="float32")[:, None]
        weights = ops.relu(1.0 - ops.abs(old - position[:, None, :]))  # (rows, bins, bins)
        return ops.matmul(x, weights)

    def get_config(self):
        """Arguments that rebuild the layer."""
        return {**super().get_config(), "max_warp": self.max_warp, "seed": self.seed}
