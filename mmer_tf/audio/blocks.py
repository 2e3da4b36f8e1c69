"""Sound files of any length as 16 kHz mono float32, block by block, so that memory stays flat.

What libsndfile does not read, such as the webm of browsers, is read by PyAV, of the extra `demo`.
"""

import io
import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
import soxr

from mmer_tf.audio.decode import (
    HIGHEST_RATE,
    LOWEST_RATE,
    AudioError,
    mono_blocks,
    open_sound,
    probe,
    require_usable,
)
from mmer_tf.types import SAMPLE_RATE, Hertz, MissingExtraError, Seconds

if TYPE_CHECKING:
    from av.container import InputContainer

CONTAINERS = (".webm", ".mkv", ".mka", ".mp4", ".m4a", ".aac", ".mov", ".3gp", ".wma")
"""Of the files for which PyAV is asked for by name where it is missing."""

_SAMPLES = 1 << 18
"""Of a block, before it is resampled: 1 MB."""

# Playlists and the like are left out: they make the library open other files.
_DEMUXERS = "matroska,webm,mov,mp4,m4a,3gp,3g2,mj2,ogg,aac,asf,mp3,flac,wav,mpegts,amr"


class BlockResampler:
    """Resamples a recording that comes in blocks, as `decode` does it for the whole.

    Args:
        source_rate: of the blocks.
        sample_rate: of what comes out.
    """

    def __init__(self, source_rate: Hertz, sample_rate: Hertz = SAMPLE_RATE):
        self._stream = None
        if source_rate != sample_rate:
            self._stream = soxr.ResampleStream(
                source_rate, sample_rate, 1, dtype="float32", quality="HQ"
            )

    def push(self, block: np.ndarray) -> np.ndarray:
        """What is ready after one more block: float32 (samples,) -> (samples,) in [-1, 1]."""
        if self._stream is not None:
            block = self._stream.resample_chunk(np.asarray(block, np.float32))
        return np.clip(block, -1.0, 1.0)

    def finish(self) -> np.ndarray:
        """The rest, after the last block."""
        rest = np.zeros(0, np.float32)
        if self._stream is not None:
            rest = self._stream.resample_chunk(rest, last=True)
        return np.clip(rest, -1.0, 1.0)


def read_blocks(path: Path | str, sample_rate: Hertz = SAMPLE_RATE) -> Iterator[np.ndarray]:
    """Decode a sound file block by block.

    Joined, the blocks are what `decode` returns, except that silence is no reason to refuse a
    recording: of a long one that would be known at its end alone.

    Yields:
        float32 (samples,) in [-1, 1] at `sample_rate`, of at most some megabytes.

    Raises:
        AudioError: as `decode`; a damaged place is found when it is reached.
        MissingExtraError: the file needs PyAV, which is not installed.
    """
    path = Path(path)
    try:
        with open_sound(path) as sound:
            yield from _resampled(mono_blocks(sound, path, _SAMPLES), sound.samplerate, sample_rate)
            return
    except AudioError as error:
        if error.reason != "not audio":
            raise
        refusal = error
    with _container(path, refusal) as container:
        stream = container.streams.audio[0]
        yield from _resampled(_av_blocks(container, path), stream.rate, sample_rate)


def duration(path: Path | str) -> Seconds:
    """How long a sound file says that it is; 0 where it does not say, as browsers' files do not.

    Raises:
        AudioError, MissingExtraError: as `read_blocks`.
    """
    path = Path(path)
    try:
        return probe(path).duration
    except AudioError as error:
        if error.reason != "not audio":
            raise
        refusal = error
    with _container(path, refusal) as container:
        return (container.duration or 0) / 1_000_000  # AV_TIME_BASE


def _resampled(
    blocks: Iterator[np.ndarray], source_rate: Hertz, sample_rate: Hertz
) -> Iterator[np.ndarray]:
    resampler = BlockResampler(source_rate, sample_rate)
    read = 0
    for block in blocks:
        read += len(block)
        yield resampler.push(block)
    if source_rate != sample_rate:
        shortest = math.ceil(source_rate / sample_rate)  # yields one sample, as in `decode`
        if read < shortest:
            yield resampler.push(np.zeros(shortest - read, np.float32))
    yield resampler.finish()


@contextmanager
def _container(path: Path, refusal: AudioError) -> Iterator["InputContainer"]:
    """Open with PyAV what libsndfile refused.

    Raises:
        AudioError: the same refusal, where PyAV finds no sound either, or of what it reads.
        MissingExtraError: PyAV is not installed, and would be likely to read the file.
    """
    try:
        import av  # noqa: PLC0415 (an extra)
        from av.error import FFmpegError  # noqa: PLC0415
    except ImportError as error:
        if path.suffix.lower() in CONTAINERS:
            raise MissingExtraError("demo", f"reading {path}") from error
        raise refusal from None
    try:
        # From an open file, not by name: a name can be an address.
        with path.open("rb") as file, _opened_by_av(av, file) as container:
            if not container.streams.audio:
                raise refusal
            rate = container.streams.audio[0].rate or 0
            if not LOWEST_RATE <= rate <= HIGHEST_RATE:
                raise AudioError(path, "implausible sample rate", f"{rate} Hz")
            yield container
    except FFmpegError as error:
        raise AudioError(path, "not audio", error.strerror or refusal.detail) from error
    except OSError as error:
        raise AudioError(path, "unreadable file", error.strerror or str(error)) from error


def _opened_by_av(av: Any, file: BinaryIO | io.BytesIO) -> "InputContainer":
    options = {"format_whitelist": _DEMUXERS, "protocol_whitelist": ""}
    return av.open(file, mode="r", options=options, metadata_errors="replace")


def _av_blocks(container: "InputContainer", path: Path) -> Iterator[np.ndarray]:
    """The first audio stream: float32 (samples,), channels averaged, at its own rate."""
    import av  # noqa: PLC0415 (an extra)

    as_float = av.AudioResampler(format="fltp")  # of the samples alone: layout and rate stay
    found = False
    for frame in container.decode(container.streams.audio[0]):
        for converted in as_float.resample(frame):
            block = converted.to_ndarray().T
            if len(block):
                require_usable(block, path)
                found = True
                yield block.mean(axis=1)
    if not found:
        raise AudioError(path, "no samples")
