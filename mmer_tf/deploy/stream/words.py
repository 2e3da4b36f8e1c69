"""What is said in a stretch of speech: the recogniser is asked once for each."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mmer_tf.deploy.stream.voice import Piece
from mmer_tf.types import SAMPLE_RATE, Seconds, Word

if TYPE_CHECKING:
    from mmer_tf.deploy.asr import Recogniser

_CUT_WITHIN: Seconds = 5.0
"""A stretch that is too long is cut at the quietest place of so many seconds at its end."""

_LOUDNESS_STEP = SAMPLE_RATE // 10


@dataclass(frozen=True)
class Heard:
    """Samples of a stretch with the words in them.

    Args:
        piece: the samples.
        words: with their times in the recording.
        note: why there are none, where the recogniser failed.
    """

    piece: Piece
    words: tuple[Word, ...] = ()
    note: str = ""


class StretchWords:
    """Collects a stretch and asks the recogniser; holds `longest` at most.

    Args:
        recogniser: whatever it raises is told in the note, and stops nothing.
        longest: where somebody speaks on, the recogniser is asked in between, at a quiet place.
    """

    def __init__(self, recogniser: "Recogniser", longest: Seconds = 30.0):
        self._recogniser = recogniser
        self._longest = round(longest * SAMPLE_RATE)
        self._held: list[Piece] = []
        self._count = 0

    def push(self, piece: Piece) -> list[Heard]:
        """The next piece of a stretch; what is known by it."""
        self._held.append(piece)
        self._count += len(piece.samples)
        if not piece.last and self._count < self._longest:
            return []
        samples = np.concatenate([one.samples for one in self._held])
        start, voiced = self._held[0].start, sum(one.voiced for one in self._held)
        if piece.last:
            self._held, self._count = [], 0
            return [self._transcribed(Piece(start, samples, voiced, last=True))]
        cut = _quietest(samples)
        self._held = [Piece(start + cut, samples[cut:].copy(), 0, last=False)]
        self._count = len(samples) - cut
        return [self._transcribed(Piece(start, samples[:cut], voiced, last=False))]

    def _transcribed(self, piece: Piece) -> Heard:
        # Whatever goes wrong in there, the voice is there to be judged.
        try:
            words = self._recogniser.transcribe(piece.samples)
        except Exception as error:
            told = " ".join(f"{type(error).__name__}: {error}".split())
            return Heard(piece, note=f"no words ({told})")
        return Heard(piece, tuple(_later(word, piece.start / SAMPLE_RATE) for word in words))


def within(words: Sequence[Word], start: int, end: int) -> tuple[Word, ...]:
    """The words whose middle lies in a part of the recording, given in samples."""
    first, last = start / SAMPLE_RATE, end / SAMPLE_RATE
    return tuple(word for word in words if first <= (word.start + word.end) / 2 < last)


def _later(word: Word, seconds: Seconds) -> Word:
    """In milliseconds, which is more than a recogniser knows."""
    return Word(word.text, round(word.start + seconds, 3), round(word.end + seconds, 3))


def _quietest(samples: np.ndarray) -> int:
    """Number of the sample to cut at."""
    first = max(1, len(samples) - round(_CUT_WITHIN * SAMPLE_RATE))
    steps = max(1, (len(samples) - first) // _LOUDNESS_STEP)
    loudness = [
        float(np.square(samples[first + i * _LOUDNESS_STEP :][:_LOUDNESS_STEP]).mean())
        for i in range(steps)
    ]
    return first + int(np.argmin(loudness)) * _LOUDNESS_STEP + _LOUDNESS_STEP // 2
