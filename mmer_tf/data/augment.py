"""Other takes of a recording, drawn anew for every epoch while it is on its way to the model."""

from dataclasses import dataclass

import tensorflow as tf

from mmer_tf.types import SAMPLE_RATE, Seconds

MAX_SNR_DB = 40.0
"""The faintest noise that is drawn; fainter would hardly change a log-mel band of speech."""


@dataclass(frozen=True)
class WaveformAugmentation:
    """Shift a recording in time, add noise to it and change its level, each at random.

    All three are drawn uniformly. The recording moves within its own length, by half of it at
    most: what leaves at one end is lost, and the other end becomes silent. Then white noise is
    added, at a signal-to-noise ratio between `min_snr_db` and 40 dB over the whole clip, as if it
    were of the room; silence stays silent. The level comes last. A take beyond full scale is
    scaled back to it, not clipped, which would add distortion of its own.

    Each change has random numbers of its own: one is the same whether the others are asked for
    or not.

    Args:
        min_snr_db: lowest signal-to-noise ratio; None adds no noise.
        max_gain_db: greatest change of the level, up or down.
        max_shift_seconds: greatest shift, to earlier or later.

    Call: waveform (samples,) float32 in [-1, 1], seed (2,) int ->
        waveform of the same shape, shift in samples () int32, positive to later

    Raises:
        ValueError: `min_snr_db` is above 40, or another value negative.
    """

    min_snr_db: float | None = None
    max_gain_db: float = 0.0
    max_shift_seconds: Seconds = 0.0

    def __post_init__(self):
        if self.min_snr_db is not None and self.min_snr_db > MAX_SNR_DB:
            raise ValueError(
                f"`min_snr_db` must be <= {MAX_SNR_DB:g}. Received: min_snr_db={self.min_snr_db}."
            )
        for name in ("max_gain_db", "max_shift_seconds"):
            if (value := getattr(self, name)) < 0:
                raise ValueError(f"`{name}` must be >= 0. Received: {name}={value}.")

    @property
    def changes_something(self) -> bool:
        """Whether any take differs from the recording."""
        return self != WaveformAugmentation()

    def __call__(self, waveform: tf.Tensor, seed: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Draw and change; see the class."""
        seeds = tf.unstack(tf.random.experimental.stateless_split(seed, 4))
        samples = tf.constant(0)
        if self.max_shift_seconds:
            half = tf.size(waveform) // 2
            most = tf.minimum(round(self.max_shift_seconds * SAMPLE_RATE), half)
            share = tf.random.stateless_uniform((), seeds[0], -1.0, 1.0)
            samples = tf.cast(tf.round(share * tf.cast(most, tf.float32)), tf.int32)
            waveform = shift(waveform, samples)
        if self.min_snr_db is not None:
            snr_db = tf.random.stateless_uniform((), seeds[1], self.min_snr_db, MAX_SNR_DB)
            noise = tf.random.stateless_normal(tf.shape(waveform), seeds[2])
            waveform = add_noise(waveform, noise, snr_db)
        if self.max_gain_db:
            most = self.max_gain_db
            gain_db = tf.random.stateless_uniform((), seeds[3], -most, most)
            waveform *= 10.0 ** (gain_db / 20.0)
        return waveform / tf.maximum(1.0, tf.reduce_max(tf.abs(waveform))), samples


def shift(waveform: tf.Tensor, samples: tf.Tensor) -> tf.Tensor:
    """Move a waveform within its own length: (samples,) -> same.

    Args:
        waveform: any values.
        samples: how far, to later where positive; its size is at most that of the waveform.
    """
    later, earlier = tf.maximum(samples, 0), tf.maximum(-samples, 0)
    kept = waveform[earlier : tf.size(waveform) - later]
    return tf.pad(kept, [[later, earlier]])


def add_noise(waveform: tf.Tensor, noise: tf.Tensor, snr_db: tf.Tensor) -> tf.Tensor:
    """Add noise at a given ratio of powers over the whole clip: (samples,) -> same.

    Args:
        waveform: float32 (samples,), at least one. Silence stays silent.
        noise: float32 (samples,), of any level but 0.
        snr_db: ratio of the waveform's power to that of the noise that is added.
    """
    power = tf.reduce_mean(tf.square(waveform)) / tf.reduce_mean(tf.square(noise))
    return waveform + tf.sqrt(power * 10.0 ** (-snr_db / 10.0)) * noise
