"""openSMILE's ComParE 2016 low-level descriptors: 65 values per 10 ms.

Energy, spectral and voicing descriptors of the ComParE feature set (Schuller et al. 2016,
doi 10.21437/Interspeech.2016-129).
openSMILE is free for research only, hence an extra.

It runs in a process of its own (`python -m mmer_tf.audio.lld`): opensmile 2.6 first used after
TensorFlow 2.21 was imported corrupts the heap ("malloc(): invalid size"), also under
RTLD_DEEPBIND; the other order works, but no library can promise it. The two talk through pipes in
frames of an int64 count and that many float32 values.
"""

import atexit
import importlib.util
import subprocess
import sys
from functools import cache
from typing import BinaryIO

import numpy as np

from mmer_tf.types import SAMPLE_RATE, MissingExtraError, Seconds

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
        ChildProcessError: openSMILE's process ended; its messages stand above.
    """
    if waveform.ndim != 1:
        raise ValueError(f"`waveform` must be (samples,). Received: shape={waveform.shape}.")
    process = _process()
    padded = np.pad(waveform.astype(np.float32), (0, max(0, SHORTEST - len(waveform))))
    try:
        _write(process.stdin, np.clip(padded, -1.0, _LARGEST))
        values = _read(process.stdout)
    except BrokenPipeError:
        values = None
    if values is None:
        _process.cache_clear()
        raise ChildProcessError(f"openSMILE ended with exit code {process.wait()}")
    return values.reshape(-1, FEATURE_DIM)


def num_frames(num_samples: int) -> int:
    """Count the frames of a clip of so many samples."""
    return 2 + (max(num_samples, SHORTEST) - SHORTEST) // 160


@cache
def _process() -> subprocess.Popen:
    """openSMILE's process, which ends with this one."""
    if importlib.util.find_spec("opensmile") is None:
        raise MissingExtraError("opensmile", "the feature 'lld' (openSMILE descriptors)")
    process = subprocess.Popen(
        [sys.executable, "-m", "mmer_tf.audio.lld"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    atexit.register(process.stdin.close)
    return process


def _write(stream: BinaryIO, values: np.ndarray) -> None:
    stream.write(np.int64(values.size).tobytes() + values.astype(np.float32).tobytes())
    stream.flush()


def _read(stream: BinaryIO) -> np.ndarray | None:
    """The next frame; None at the end of the stream."""
    header = stream.read(8)
    if len(header) < 8:
        return None
    size = int(np.frombuffer(header, np.int64)[0])
    return np.frombuffer(stream.read(4 * size), np.float32)


def _serve(requests: BinaryIO, answers: BinaryIO) -> None:
    import opensmile  # noqa: PLC0415 (an extra, and only ever loaded in this process)

    smile = opensmile.Smile(
        feature_set=opensmile.FeatureSet.ComParE_2016,
        feature_level=opensmile.FeatureLevel.LowLevelDescriptors,
        verbose=False,
    )
    while (waveform := _read(requests)) is not None:
        _write(answers, smile.process_signal(waveform, SAMPLE_RATE).to_numpy(np.float32))


if __name__ == "__main__":
    _serve(sys.stdin.buffer, sys.stdout.buffer)
