"""WebRTC's voice activity detector, from pocketsphinx, and the samples that it takes."""

from collections.abc import Callable

import numpy as np

from mmer_tf.types import SAMPLE_RATE, MissingExtraError

FRAME = 480
"""Samples that the detector judges at once: 30 ms."""


def pcm16(waveform: np.ndarray) -> np.ndarray:
    """Samples of 16 bits: float (samples,) in [-1, 1] -> int16 (samples,), little-endian."""
    return np.rint(np.clip(waveform, -1, 1) * 32_767).astype("<i2")


def make_detector(strictness: int) -> Callable[[bytes], bool]:
    """What says of the bytes of a frame whether they are voice; it adapts to what it has heard.

    Args:
        strictness: from 0, which takes more for voice, to 3, which misses more.

    Raises:
        MissingExtraError: pocketsphinx is not installed.
    """
    try:
        from pocketsphinx import Vad  # noqa: PLC0415 (an extra)
    except ImportError as error:
        raise MissingExtraError("demo", "finding speech in a recording") from error
    return Vad(strictness, SAMPLE_RATE, FRAME / SAMPLE_RATE).is_speech
