"""Sound files to 16 kHz mono float32, or one clear sentence about what is wrong with the file."""

import io
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
import soxr

from mmer_tf.audio.sample_chunk import find_sample_chunk, with_size
from mmer_tf.remote import as_path
from mmer_tf.types import SAMPLE_RATE, Hertz, Seconds

FIXES = {
    "missing file": "check the path and the corpus root",
    "unreadable file": "check that it is a file which you may read",
    "empty file": "copy or download it again",
    "truncated file": "copy or download it again",
    "not audio": "convert it, for instance with `ffmpeg -i FILE out.wav`",
    "implausible sample rate": "convert it, for instance with `ffmpeg -i FILE out.wav`",
    "no samples": "record it again or leave it out",
    "samples beyond full scale": "scale the samples to [-1, 1]",
    "NaN or infinite samples": "export it again as 16-bit PCM",
    "pure silence": "record it again or leave it out",
}
"""Every reason for which a file is refused, with what the user can do about it."""

SUFFIXES = (".wav", ".wave", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aif", ".aiff", ".aifc",
            ".au", ".snd", ".caf", ".w64", ".rf64", ".sph")  # fmt: skip
"""Of the files that are taken for recordings where a folder is named."""

LOWEST_RATE: Hertz = 4_000
HIGHEST_RATE: Hertz = 768_000
FULL_SCALE_MARGIN = 8.0
"""Float files may overshoot [-1, 1] a little; beyond this factor they hold another unit."""

_SAMPLES_PER_BLOCK = 1 << 20


class AudioError(ValueError):
    """A sound file that cannot be used.

    Args:
        path: the file.
        reason: a short phrase, the same for every file with the same cause; a key of `FIXES`.
        detail: what is particular to this file.
    """

    def __init__(self, path: Path, reason: str, detail: str = ""):
        super().__init__(path, reason, detail)  # the bare arguments, so that it survives pickling
        self.path = path
        self.reason = reason
        self.detail = detail

    def __str__(self) -> str:
        detail = f" ({self.detail})" if self.detail else ""
        return f"{self.path}: {self.reason}{detail}; {FIXES[self.reason]}."


@dataclass(frozen=True, slots=True)
class AudioInfo:
    """What the header of a sound file says.

    Args:
        duration: length of the recording.
        sample_rate: as stored.
        channels: as stored.
        container: libsndfile's name of the file format, such as "WAV" or "AIFF",
            whatever the file is called.
        subtype: libsndfile's name of the sample format, such as "PCM_16".
    """

    duration: Seconds
    sample_rate: Hertz
    channels: int
    container: str
    subtype: str


def probe(path: Path | str) -> AudioInfo:
    """Read the header of a sound file.

    Raises:
        AudioError: the file is missing, empty, truncated, not audio, or holds no samples.
    """
    with open_sound(as_path(path)) as sound:
        return _info(sound)


def decode(path: Path | str, sample_rate: Hertz = SAMPLE_RATE) -> np.ndarray:
    """Decode a whole sound file to mono: the waveform of `listen`."""
    return listen(path, sample_rate)[0]


def listen(path: Path | str, sample_rate: Hertz = SAMPLE_RATE) -> tuple[np.ndarray, AudioInfo]:
    """Decode a whole sound file to mono, and tell what its header says.

    Channels are averaged, other rates are resampled by soxr (quality HQ), and what a float file
    or the resampler leaves beyond full scale is clipped.

    Returns:
        float32 (samples,) in [-1, 1], at least one sample; the header.

    Raises:
        AudioError: as `probe`, and for samples that are NaN, infinite, far beyond full scale,
            or all zero.
    """
    path = as_path(path)
    with open_sound(path) as sound:
        info = _info(sound)
        waveform = np.concatenate(list(mono_blocks(sound, path)))
    if not waveform.any():
        raise AudioError(path, "pure silence", "every sample is zero")
    if info.sample_rate != sample_rate:
        shortest = math.ceil(info.sample_rate / sample_rate)  # one sample after resampling
        waveform = np.pad(waveform, (0, max(0, shortest - len(waveform))))
        waveform = soxr.resample(waveform, info.sample_rate, sample_rate, quality="HQ")
    return np.clip(waveform, -1.0, 1.0), info


def _info(sound: soundfile.SoundFile) -> AudioInfo:
    return AudioInfo(
        duration=sound.frames / sound.samplerate,
        sample_rate=sound.samplerate,
        channels=sound.channels,
        container=sound.format,
        subtype=sound.subtype,
    )


def conversions(info: AudioInfo) -> tuple[str, ...]:
    """Name what `decode` changes about a file, in phrases that can be counted.

    >>> conversions(AudioInfo(1.0, 48_000, 2, "AIFF", "PCM_16"))
    ('resampled from 48000 Hz', 'mixed down from 2 channels', 'container AIFF')
    """
    phrases = []
    if info.sample_rate != SAMPLE_RATE:
        phrases.append(f"resampled from {info.sample_rate} Hz")
    if info.channels != 1:
        phrases.append(f"mixed down from {info.channels} channels")
    if info.container not in ("WAV", "WAVEX"):
        phrases.append(f"container {info.container}")
    if info.subtype != "PCM_16":
        phrases.append(f"samples stored as {info.subtype}")
    return tuple(phrases)


@contextmanager
def open_sound(path: Path) -> Iterator[soundfile.SoundFile]:
    """Open a sound file whose header holds what it promises.

    Raises:
        AudioError: as `probe`; of what is read inside the block, too.
    """
    try:
        with path.open("rb", buffering=0) as file:  # whose position is the descriptor's
            source = _complete(file, path)
            # By descriptor, not by name: libsndfile would trust an extension such as .raw.
            with soundfile.SoundFile(source, closefd=False) as sound:
                if not LOWEST_RATE <= sound.samplerate <= HIGHEST_RATE:
                    raise AudioError(path, "implausible sample rate", f"{sound.samplerate} Hz")
                if sound.frames == 0:
                    raise AudioError(path, "no samples")
                yield sound
    except FileNotFoundError as error:
        raise AudioError(path, "missing file") from error
    except OSError as error:
        raise AudioError(path, "unreadable file", error.strerror or str(error)) from error
    except soundfile.SoundFileError as error:
        raise AudioError(path, "not audio", _libsndfile_says(error)) from error


def _libsndfile_says(error: soundfile.SoundFileError) -> str:
    message = getattr(error, "error_string", str(error))
    return message.removeprefix("Error : ").rstrip(".")


def mono_blocks(
    sound: soundfile.SoundFile, path: Path, most: int = _SAMPLES_PER_BLOCK
) -> Iterator[np.ndarray]:
    """Decode block by block, since a damaged header may promise more than memory holds.

    Args:
        sound: opened.
        path: its file, for errors.
        most: samples of a block, those of all channels together.

    Yields:
        float32 (samples,), channels averaged, at the file's own rate.

    Raises:
        AudioError: the file ends early, or its samples are not to be used.
    """
    block_length = max(1, most // sound.channels)
    decoded = 0
    while decoded < sound.frames:
        block = sound.read(min(block_length, sound.frames - decoded), "float32", always_2d=True)
        if len(block) == 0:
            raise AudioError(
                path, "truncated file", f"{decoded} of {sound.frames} samples can be decoded"
            )
        require_usable(block, path)
        decoded += len(block)
        yield block[:, 0] if sound.channels == 1 else block.mean(axis=1)


def require_usable(samples: np.ndarray, path: Path) -> None:
    """Refuse samples that are no sound: float (samples, channels), at least one.

    Raises:
        AudioError: NaN, infinite, or far beyond full scale.
    """
    lowest, highest = float(samples.min()), float(samples.max())  # NaN, where there is one
    if not math.isfinite(lowest) or not math.isfinite(highest):
        raise AudioError(path, "NaN or infinite samples")
    if (peak := max(-lowest, highest)) > FULL_SCALE_MARGIN:
        raise AudioError(path, "samples beyond full scale", f"largest value {peak:g}")


def _complete(file: io.FileIO | io.BytesIO, path: Path) -> int | io.BytesIO | io.BufferedReader:
    """Refuse a file that ends before its samples do, which libsndfile would shorten silently.

    Returns:
        what soundfile can open: the descriptor, the content of a remote file, or, where a program
        that wrote to a pipe could not know the number of samples, the file with that number
        filled in.
    """
    length = file.seek(0, io.SEEK_END)
    if length == 0:
        raise AudioError(path, "empty file")
    file.seek(0)
    chunk = find_sample_chunk(file)
    if chunk is not None and chunk.streamed and chunk.start < length:
        return with_size(file, chunk)
    if chunk is not None and chunk.start + chunk.promised > length:
        there = max(0, length - chunk.start)
        raise AudioError(
            path, "truncated file", f"{there} of {chunk.promised} bytes of samples are there"
        )
    file.seek(0)
    return file if isinstance(file, io.BytesIO) else file.fileno()
