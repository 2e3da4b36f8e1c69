"""Distortions of features that teach a model not to lean on any one part of them."""

import keras
from keras import ops

from mmer_tf.audio.layer import Float32Layer, expand_to


@keras.saving.register_keras_serializable("mmer_tf")
class SpecAugment(Float32Layer):
    """Blank out random stretches of time and bands of frequency, in training only.

    Time and frequency masking of Park et al. 2019 (doi 10.21437/Interspeech.2019-2680), without
    time warping. Every row draws its own masks: a width between 0 and the greatest allowed, then
    a place within the valid frames, both uniform. What is blanked becomes 0, the mean of
    standardised features.

    Args:
        time_masks: stretches of time per row, at least 0.
        max_time_share: greatest width of one, as a share of the row's valid frames.
        frequency_masks: bands per row, at least 0.
        max_frequency_share: greatest width of one, as a share of all bins.
        seed: of the random draws; None draws one.

    Call: x (batch, frames, bins) or (batch, frames, bins, channels), mask (batch, frames) bool ->
        float32 of the shape of x

    Raises:
        ValueError: a number of masks is negative, or a share is not between 0 and 1.
    """

    def __init__(
        self,
        time_masks: int = 2,
        max_time_share: float = 0.1,
        frequency_masks: int = 2,
        max_frequency_share: float = 0.15,
        seed: int | None = None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        for name, count in (("time_masks", time_masks), ("frequency_masks", frequency_masks)):
            if count < 0:
                raise ValueError(f"`{name}` must be >= 0. Received: {name}={count}.")
        for name, share in (
            ("max_time_share", max_time_share),
            ("max_frequency_share", max_frequency_share),
        ):
            if not 0 <= share <= 1:
                raise ValueError(f"`{name}` must be between 0 and 1. Received: {name}={share}.")
        self.time_masks = time_masks
        self.max_time_share = max_time_share
        self.frequency_masks = frequency_masks
        self.max_frequency_share = max_frequency_share
        self.seed = seed
        self.seed_generator = keras.random.SeedGenerator(seed)

    def call(self, x, mask, training=False):
        """Blank out; see the class."""
        if not training:
            return x
        frames, bins = ops.shape(x)[1:3]
        valid = ops.sum(ops.cast(mask, "int32"), axis=1)
        in_time = self._blanked(valid, frames, self.time_masks, self.max_time_share)
        in_frequency = self._blanked(
            ops.full_like(valid, bins), bins, self.frequency_masks, self.max_frequency_share
        )
        blanked = ops.logical_or(in_time[:, :, None], in_frequency[:, None, :])
        return ops.where(expand_to(blanked, x), 0.0, x)

    def _blanked(self, lengths, steps, masks: int, max_share: float):
        """Steps that fall into any of the row's masks: (batch,) -> (batch, steps) bool."""
        lengths = ops.cast(lengths[:, None], "float32")
        shape = (ops.shape(lengths)[0], masks)
        widest = ops.floor(max_share * lengths)
        widths = self._up_to(ops.broadcast_to(widest, shape))
        starts = self._up_to(lengths - widths)
        at = ops.arange(steps, dtype="float32")
        inside = ops.logical_and(
            at >= starts[..., None], at < (starts + widths)[..., None]
        )  # (batch, masks, steps)
        return ops.any(inside, axis=1)

    def _up_to(self, greatest):
        """Draw whole numbers from 0 to the greatest, each as likely."""
        share = keras.random.uniform(ops.shape(greatest), seed=self.seed_generator)
        return ops.minimum(ops.floor(share * (greatest + 1)), greatest)

    def get_config(self):
        """Arguments that rebuild the layer."""
        return {
            **super().get_config(),
            "time_masks": self.time_masks,
            "max_time_share": self.max_time_share,
            "frequency_masks": self.frequency_masks,
            "max_frequency_share": self.max_frequency_share,
            "seed": self.seed,
        }
