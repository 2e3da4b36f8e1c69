"""Another take of a recording: a little faster or slower, louder or softer, and not as clean.

Needs numpy and soxr alone, so that it runs wherever recordings are decoded.
"""

import numpy as np
import soxr

from mmer_tf.types import SAMPLE_RATE

SPEEDS = (0.9, 1.1)
"""The range of Ko et al. 2015, "Audio augmentation for speech recognition" (Interspeech), who
use its ends and 1. Pitch and formants move with the speed."""

GAINS_DB = (-3.0, 3.0)
"""Narrow: loudness is a cue to emotion."""

TILTS = (-0.375, 0.375)
"""Coefficient of the filter that stands in for another microphone; its range is that of Valin
2018, "A hybrid DSP/deep learning approach to real-time full-band speech enhancement" (arXiv
1709.08243, section IV), whose filter is of second order."""

SNRS_DB = (15.0, 35.0)
"""Signal-to-noise ratios of a room that is not silent."""

SETTINGS = {"speed": SPEEDS, "gain_db": GAINS_DB, "tilt": TILTS, "snr_db": SNRS_DB}
"""Everything that determines a perturbation besides its random draws."""


def perturb(waveform: np.ndarray, draw: np.random.Generator) -> tuple[np.ndarray, float]:
    """Change speed, spectral tilt and gain of a recording, and add white or pink noise.

    Each value is drawn uniformly from its range above.

    Args:
        waveform: float32 (samples,) in [-1, 1], 16 kHz, at least one sample.
        draw: gives the random numbers; the same state gives the same result.

    Returns:
        float32 (about samples / speed,) in [-1, 1], and the speed: what lay at t seconds now lies
        at t / speed.

    Raises:
        ValueError: an empty waveform.
    """
    if not len(waveform):
        raise ValueError("`waveform` must hold at least 1 sample. Received: 0 samples.")
    speed, gain_db, coefficient, snr_db = (draw.uniform(*span) for span in SETTINGS.values())
    pink = bool(draw.integers(2))
    take = change_speed(waveform, speed)
    take = tilt(take, coefficient)
    take = add_noise(take, snr_db, draw, pink=pink)
    take *= np.float32(10.0 ** (gain_db / 20.0))
    # Scaled, not clipped: clipping would add distortion of its own.
    return take / np.float32(max(1.0, np.abs(take).max())), speed


def change_speed(waveform: np.ndarray, speed: float) -> np.ndarray:
    """Play a recording `speed` times as fast: (samples,) -> (round(samples / speed),) float32."""
    length = max(1, round(len(waveform) / speed))
    take = soxr.resample(np.float32(waveform), speed * SAMPLE_RATE, SAMPLE_RATE)
    # The resampler may end a sample early or late.
    return np.pad(take[:length], (0, max(0, length - len(take))))


def tilt(waveform: np.ndarray, coefficient: float) -> np.ndarray:
    """Filter y[n] = x[n] - coefficient · x[n - 1] at unchanged power: (samples,) -> same, float32.

    A positive coefficient brightens the sound, a negative one dulls it.
    """
    filtered = np.float64(waveform)
    filtered[1:] -= coefficient * filtered[:-1]
    before, after = _power(waveform), _power(filtered)
    return np.float32(filtered * np.sqrt(before / after)) if after > 0 else np.float32(filtered)


def add_noise(
    waveform: np.ndarray, snr_db: float, draw: np.random.Generator, *, pink: bool = False
) -> np.ndarray:
    """Add noise of a given power below the recording's: (samples,) -> same, float32.

    Args:
        waveform: float32 (samples,). Silence stays silent.
        snr_db: ratio of the recording's power to the noise's, over the whole clip.
        draw: gives the random numbers.
        pink: of a power that falls by 3 dB an octave, as most rooms' does; otherwise white.
    """
    noise = draw.standard_normal(len(waveform))
    if pink:
        spectrum = np.fft.rfft(noise)
        spectrum /= np.sqrt(np.maximum(np.arange(len(spectrum)), 1.0))
        noise = np.fft.irfft(spectrum, len(waveform)) if len(waveform) > 1 else noise
    level = np.sqrt(_power(waveform) / _power(noise) / 10.0 ** (snr_db / 10.0))
    return np.float32(waveform + level * noise)


def _power(waveform: np.ndarray) -> float:
    return float(np.square(waveform, dtype=np.float64).mean())
