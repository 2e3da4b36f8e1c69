"""What a recording goes through on its way to a classifier: noise, a telephone, a wrong level.

Each takes and gives float32 (samples,) in [-1, 1] at 16 kHz, and leaves its input as it is. They
are stronger than the perturbations that training draws (`perturbation`), and their strength is
told, so that a table can name it. Needs numpy and scipy alone.
"""

import numpy as np
from scipy import signal

from mmer_tf.audio.perturbation import add_noise
from mmer_tf.types import SAMPLE_RATE, Hertz

TELEPHONE_BAND: tuple[Hertz, Hertz] = (300, 3_400)
"""What an analogue telephone line passes."""

TELEPHONE_ORDER = 8
"""Of the Butterworth filter at each edge: 3 dB down at 3400 Hz, 33 dB at 4600 Hz."""


def with_noise(waveform: np.ndarray, snr_db: float, draw: np.random.Generator) -> np.ndarray:
    """Add white noise, and turn the whole down where the sum leaves [-1, 1].

    Args:
        waveform: as above.
        snr_db: ratio of the recording's power to the noise's, both over the whole clip.
        draw: gives the noise; the same state gives the same noise at every ratio.
    """
    noisy = add_noise(waveform, snr_db, draw)
    return noisy / np.float32(max(1.0, np.abs(noisy).max()))


def through_telephone(waveform: np.ndarray) -> np.ndarray:
    """Keep the band of a telephone line; the sample rate stays."""
    sections = signal.butter(
        TELEPHONE_ORDER, TELEPHONE_BAND, "bandpass", fs=SAMPLE_RATE, output="sos"
    )
    filtered = signal.sosfilt(sections, np.float64(waveform))
    return np.float32(np.clip(filtered, -1.0, 1.0))


def with_gain(waveform: np.ndarray, gain_db: float) -> np.ndarray:
    """Make louder or softer; what leaves [-1, 1] is cut off, as a converter does."""
    return np.float32(np.clip(waveform * 10.0 ** (gain_db / 20.0), -1.0, 1.0))


def clipped(waveform: np.ndarray, below_peak_db: float) -> np.ndarray:
    """Cut off what is larger than a level below the clip's own peak; the rest keeps its level.

    It is what an input that is `below_peak_db` too loud leaves of a recording, played at the
    right level again.
    """
    ceiling = np.abs(waveform).max() * 10.0 ** (-below_peak_db / 20.0)
    return np.float32(np.clip(waveform, -ceiling, ceiling))


def without_edges(waveform: np.ndarray, share: float) -> tuple[np.ndarray, int]:
    """Cut off both ends, as a detector of speech does that opens late and closes early.

    Args:
        waveform: as above, at least one sample.
        share: of the clip's length that is cut off at each end, in [0, 0.5).

    Returns:
        What is left, at least one sample, and the number of samples cut off in front.

    Raises:
        ValueError: `share` outside [0, 0.5).
    """
    if not 0 <= share < 0.5:
        raise ValueError(f"`share` must be in [0, 0.5). Received: share={share}.")
    first = min(int(share * len(waveform)), (len(waveform) - 1) // 2)
    return np.float32(waveform[first : len(waveform) - first]), first
