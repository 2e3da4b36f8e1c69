"""openSMILE's ComParE 2016 low-level descriptors: 65 values per 10 ms.

Energy, spectral and voicing descriptors of the ComParE feature set (Schuller et al. 2016,
doi 10.21437/Interspeech.2016-129).
openSMILE is free for research only, hence an extra.
"""

import ctypes
import os
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mmer_tf.types import SAMPLE_RATE, MissingExtraError, Seconds

if TYPE_CHECKING:
    import opensmile

FEATURE_DIM = 65
HOP_SECONDS: Seconds = 0.01
SHORTEST = 960
"""Samples of openSMILE's longest window, 60 ms for the pitch; it fails on less."""

_LARGEST = 1 - 2**-15
"""openSMILE converts to 16 bit without saturation, which would turn 1.0 into -1.0."""


def extract_lld(waveform: np.ndarray) -> np.ndarray:
    """Compute the low-level descriptors of one clip.

    A clip shorter than 60 ms is padded with silence to that length, which gives two frames.

    Args:
        waveform: float (samples,) in [-1, 1] at 16 kHz.

    Returns:
        float32 (frames, 65), one frame per 10 ms.

    Raises:
        MissingExtraError: opensmile is not installed.
        ValueError: the waveform is not one-dimensional.
    """
    if waveform.ndim != 1:
        raise ValueError(f"`waveform` must be (samples,). Received: shape={waveform.shape}.")
    padded = np.pad(waveform.astype(np.float32), (0, max(0, SHORTEST - len(waveform))))
    frames = _smile().process_signal(np.clip(padded, -1.0, _LARGEST), SAMPLE_RATE)
    return frames.to_numpy(np.float32)


def num_frames(num_samples: int) -> int:
    """Count the frames of a clip of so many samples."""
    return 2 + (max(num_samples, SHORTEST) - SHORTEST) // 160


@cache
def _smile() -> "opensmile.Smile":
    package = find_spec("opensmile")
    if package is None or not package.submodule_search_locations:
        raise MissingExtraError("opensmile", "the feature 'lld' (openSMILE descriptors)")
    _bind_to_itself(Path(package.submodule_search_locations[0]))
    import opensmile  # noqa: PLC0415 (an extra)

    return opensmile.Smile(
        feature_set=opensmile.FeatureSet.ComParE_2016,
        feature_level=opensmile.FeatureLevel.LowLevelDescriptors,
        verbose=False,
    )


def _bind_to_itself(package: Path) -> None:
    """Load openSMILE's library so that it uses its own functions where names clash.

    Loaded plainly after TensorFlow it binds to functions of TensorFlow and crashes the process.
    The package's own loading then finds the library in place.
    """
    if hasattr(os, "RTLD_DEEPBIND"):  # only Linux looks symbols up globally
        for library in package.glob("core/bin/*/libSMILEapi.so"):
            ctypes.CDLL(str(library), mode=os.RTLD_NOW | os.RTLD_DEEPBIND)
