"""Recordings that are the same, or nearly: fingerprints that gain and resampling leave alone.

After Haitsma and Kalker 2002, "A highly robust audio fingerprinting system" (ISMIR): one word of 32
bits a frame. Each bit is the sign of how the difference of two neighbouring bands changes in time,
so that neither gain nor a filter without edges touches it. Two recordings of one sound differ in
few of their bits, two sounds in about half of them. Where to compare is found through an inverted
index: frames whose words are equal, or were before one of their least certain bits flipped.

Settled for utterances of seconds rather than for music: short windows, bands of the telephone,
silence left out. Tempo and pitch must be the same: a clip that was stretched is another clip here.
Without TensorFlow.
"""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache

import numpy as np
import soxr

from mmer_tf.types import SAMPLE_RATE, Hertz, Seconds

VERSION = 1
"""Changes whenever the fingerprint of a recording does."""

RATE: Hertz = 8_000
WINDOW = 2048
HOP = 128
BITS = 32
LOWEST: Hertz = 300
HIGHEST: Hertz = 3000
LAG = 4
"""Frames between the two looks at a band difference whose change is a bit."""

AUDIBLE = 10**-2.5
"""Power below the loudest frame's at which a frame counts as silence: 25 dB."""

FLIPPED = 5
"""Least certain bits of a frame that the index looks up both ways."""

COMMON = 256
"""Frames of one word after which it says nothing about who is who."""

WORST_ERROR_RATE = 0.22
"""Share of unequal bits up to which clips are the same sound.

Haitsma and Kalker take 0.35, which also joins two voices of one speech synthesiser that say the
same sentence (0.26 at the least); copies of EmoDB's clips stay below 0.19, but for clipping.
"""

LEAST_SECONDS: Seconds = 0.25
LEAST_SHARE = 0.5
"""How much of the shorter clip's audible part must lie over the other's."""

_CHUNK = 1 << 22  # frames compared at once


@dataclass(frozen=True, eq=False, slots=True)
class Fingerprint:
    """What stays of a recording.

    Args:
        digest: 16 bytes that are equal for equal samples (to 16 bits) alone.
        words: uint32 (frames, 2), 16 ms apart: the bits of a frame, and which of them are the
            least certain; no bit is marked where the frame is silent.
    """

    digest: bytes
    words: np.ndarray


@dataclass(frozen=True, slots=True)
class Copy:
    """Two recordings of one sound.

    Args:
        left, right: their ids.
        error_rate: share of unequal bits where both are audible, 0 to 0.22.
        seconds: how long both are audible together.
        identical: the samples are equal.
    """

    left: str
    right: str
    error_rate: float
    seconds: Seconds
    identical: bool


def fingerprint(waveform: np.ndarray) -> Fingerprint:
    """Fingerprint of one recording.

    Args:
        waveform: float32 (samples,) in [-1, 1], 16 kHz, at least one sample.

    Raises:
        ValueError: not one-dimensional, or empty.
    """
    waveform = np.asarray(waveform, np.float32)
    if waveform.ndim != 1 or not len(waveform):
        raise ValueError(f"`waveform` must be (samples,). Received: shape={waveform.shape}.")
    samples = np.round(np.clip(waveform, -1, 1) * 32_767).astype("<i2")
    digest = hashlib.blake2b(samples.tobytes(), digest_size=16).digest()
    return Fingerprint(digest, _words(_band_power(waveform)))


def find_copies(
    left: Mapping[str, Fingerprint], right: Mapping[str, Fingerprint]
) -> tuple[Copy, ...]:
    """Every recording on the left that is, whole or for the most part, one on the right.

    Clips with less than a quarter of a second of sound are found only where the samples are equal.

    Args:
        left, right: id -> fingerprint.

    Returns:
        Pairs sorted by ids, each once.
    """
    found = {(copy.left, copy.right): copy for copy in _near(left, right)}
    by_digest: dict[bytes, list[str]] = {}
    for id, one in right.items():
        by_digest.setdefault(one.digest, []).append(id)
    for id, one in left.items():
        for other in by_digest.get(one.digest, ()):
            seconds = float(np.count_nonzero(one.words[:, 1])) * HOP / RATE
            found[id, other] = Copy(id, other, 0.0, seconds, identical=True)
    return tuple(found[pair] for pair in sorted(found))


def highest_error_rate(seconds: np.ndarray) -> np.ndarray:
    """Up to which share of unequal bits two clips are one sound, by how long they were compared.

    The share of equal bits of unrelated clips scatters about one half with the inverse root of the
    length; a short comparison must therefore agree better.

    Args:
        seconds: (pairs,) for which both were audible.
    """
    return np.minimum(WORST_ERROR_RATE, 0.5 - SCATTER / np.sqrt(np.maximum(seconds, 1e-9)))


SCATTER = 0.2
"""Distance from one half that a second's comparison must keep; measured on EmoDB and RAVDESS."""


def _band_power(waveform: np.ndarray) -> np.ndarray:
    """Power in 33 bands of equal width in octaves, 300 to 3000 Hz: (frames, 33)."""
    if SAMPLE_RATE != RATE:
        shortest = SAMPLE_RATE // RATE  # yields one sample
        waveform = np.pad(waveform, (0, max(0, shortest - len(waveform))))
        waveform = soxr.resample(waveform, SAMPLE_RATE, RATE, quality="HQ")
    frames = -(-len(waveform) // HOP)
    padded = np.pad(waveform, (WINDOW // 2, WINDOW // 2 + HOP))
    windows = np.lib.stride_tricks.sliding_window_view(padded, WINDOW)[::HOP][:frames]
    window, bands = _window_and_bands()
    spectrum = np.fft.rfft(windows * window)
    return (np.square(spectrum.real) + np.square(spectrum.imag)) @ bands


@cache
def _window_and_bands() -> tuple[np.ndarray, np.ndarray]:
    """Hann window (WINDOW,), and which bins make up which band: (bins, 33)."""
    edges = np.geomspace(LOWEST, HIGHEST, BITS + 2) * WINDOW / RATE
    bins = np.arange(WINDOW // 2 + 1)[:, None]
    bands = (bins >= edges[:-1]) & (bins < edges[1:])
    return np.hanning(WINDOW).astype(np.float32), bands.astype(np.float32)


def _words(power: np.ndarray) -> np.ndarray:
    """Bits and least certain bits of each frame: (frames, 33) -> uint32 (frames, 2)."""
    slope = power[:, :-1] - power[:, 1:]
    earlier = np.pad(slope, ((LAG, 0), (0, 0)))[: len(slope)]
    change = slope - earlier
    places = np.uint32(1) << np.arange(BITS, dtype=np.uint32)
    bits = ((change > 0) * places).sum(axis=1, dtype=np.uint32)
    weakest = np.argpartition(np.abs(change), FLIPPED, axis=1)[:, :FLIPPED]
    weak = places[weakest].sum(axis=1, dtype=np.uint32)
    total = power.sum(axis=1)
    weak[total <= AUDIBLE * total.max(initial=0.0)] = 0
    return np.stack([bits, weak], axis=1)


@dataclass(frozen=True, eq=False)
class _Frames:
    """The frames of many clips in a row.

    Args:
        ids: of the clips.
        starts: (clips + 1,) first frame of each clip.
        bits, weak: uint32 (frames,).
        audible: (clips,) number of audible frames.
    """

    ids: tuple[str, ...]
    starts: np.ndarray
    bits: np.ndarray
    weak: np.ndarray
    audible: np.ndarray

    @classmethod
    def of(cls, fingerprints: Mapping[str, Fingerprint]) -> "_Frames":
        words = [one.words for one in fingerprints.values()]
        joined = np.concatenate(words) if words else np.zeros((0, 2), np.uint32)
        return cls(
            ids=tuple(fingerprints),
            starts=np.cumsum([0, *map(len, words)]),
            bits=np.ascontiguousarray(joined[:, 0]),
            weak=np.ascontiguousarray(joined[:, 1]),
            audible=np.array([np.count_nonzero(one[:, 1]) for one in words], np.int64),
        )

    def places(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Audible frames, the clip of each, and its number within the clip."""
        frames = np.flatnonzero(self.weak)
        clips = np.searchsorted(self.starts, frames, side="right") - 1
        return frames, clips, frames - self.starts[clips]


def _near(left: Mapping[str, Fingerprint], right: Mapping[str, Fingerprint]) -> Iterator[Copy]:
    """Pairs that agree at the offset of one of their common words."""
    one, other = _Frames.of(left), _Frames.of(right)
    if not len(one.bits) or not len(other.bits):
        return
    lefts, rights, offsets = _candidates(one, other)
    best: dict[tuple[int, int], tuple[float, float]] = {}
    for chunk in _in_chunks(len(lefts), one):
        a, b = lefts[chunk], rights[chunk]
        errors, together = _compare(one, other, a, b, offsets[chunk])
        seconds = together * HOP / RATE
        shorter = np.minimum(one.audible[a], other.audible[b])
        same = (
            (seconds >= LEAST_SECONDS)
            & (together >= LEAST_SHARE * shorter)
            & (errors <= highest_error_rate(seconds))
        )
        for k in np.flatnonzero(same):
            pair = int(a[k]), int(b[k])
            best[pair] = min(best.get(pair, (1.0, 0.0)), (float(errors[k]), float(seconds[k])))
    for (i, j), (error_rate, seconds) in best.items():
        yield Copy(one.ids[i], other.ids[j], error_rate, seconds, identical=False)


def _candidates(one: _Frames, other: _Frames) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Clips with a common word, and by how many frames it comes later on the left."""
    frames, clips, numbers = one.places()
    order = np.argsort(one.bits[frames], kind="stable")
    words, clips, numbers = one.bits[frames][order], clips[order], numbers[order]
    theirs, their_clips, their_numbers = other.places()
    flips = _single_bits(other.weak[theirs])
    longest = int(np.diff(other.starts).max()) + int(np.diff(one.starts).max())
    found = []
    for pattern in range(1 << FLIPPED):
        chosen = [flips[k] for k in range(FLIPPED) if pattern >> k & 1]
        wanted = other.bits[theirs]
        for flip in chosen:
            wanted = wanted ^ flip
        first = np.searchsorted(words, wanted, side="left")
        count = np.searchsorted(words, wanted, side="right") - first
        count[count > COMMON] = 0
        asking = np.repeat(np.arange(len(theirs)), count)
        hits = np.arange(len(asking)) + np.repeat(first - (np.cumsum(count) - count), count)
        pairs = clips[hits] * len(other.ids) + their_clips[asking]
        shift = numbers[hits] - their_numbers[asking] + longest
        found.append(np.unique(pairs * (2 * longest + 1) + shift))
    codes = np.unique(np.concatenate(found))
    pairs, shift = np.divmod(codes, 2 * longest + 1)
    lefts, rights = np.divmod(pairs, len(other.ids))
    return lefts, rights, shift - longest


def _single_bits(weak: np.ndarray) -> list[np.ndarray]:
    """The marked bits of each word, one an array: uint32 (frames,) -> FLIPPED times the same."""
    singles = []
    for _ in range(FLIPPED):
        lowest = weak & (~weak + np.uint32(1))
        singles.append(lowest)
        weak = weak ^ lowest
    return singles


def _in_chunks(candidates: int, one: _Frames) -> Iterator[slice]:
    """Runs of candidates of which memory holds the frames at once."""
    longest = int(np.diff(one.starts).max())
    step = max(1, _CHUNK // longest)
    for start in range(0, candidates, step):
        yield slice(start, start + step)


def _compare(
    one: _Frames, other: _Frames, lefts: np.ndarray, rights: np.ndarray, offsets: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Share of unequal bits (pairs,) and number of frames audible in both (pairs,)."""
    first = np.maximum(offsets, 0)
    end = np.minimum(
        one.starts[lefts + 1] - one.starts[lefts],
        offsets + other.starts[rights + 1] - other.starts[rights],
    )
    lengths = np.maximum(end - first, 0)
    edges = np.cumsum(lengths)
    within = np.arange(int(lengths.sum())) - np.repeat(edges - lengths, lengths)
    frames = np.repeat(one.starts[lefts] + first, lengths) + within
    theirs = np.repeat(other.starts[rights] + first - offsets, lengths) + within
    both = (one.weak[frames] > 0) & (other.weak[theirs] > 0)
    unequal = np.bitwise_count(one.bits[frames] ^ other.bits[theirs]).astype(np.int64) * both
    pair = np.repeat(np.arange(len(lefts)), lengths)
    together = np.bincount(pair, both, len(lefts)).astype(np.int64)
    errors = np.bincount(pair, unequal, len(lefts))
    return errors / np.maximum(together * BITS, 1), together
