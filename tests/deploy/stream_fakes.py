"""Voices that are none, and classifiers and recognisers that answer what the tests know."""

from collections.abc import Sequence

import numpy as np

from mmer_tf.types import SAMPLE_RATE, Answer, Word

QUIET, LOUD = 0.05, 0.25


def voice(seconds: float, level: float = LOUD, seed: int = 0) -> np.ndarray:
    """What a voice detector takes for a voice: harmonics of 130 Hz in syllables.

    Args:
        seconds: how long.
        level: root of the mean square.
        seed: of the noise in it.
    """
    time = np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    pitch = 130 + 10 * np.sin(2 * np.pi * 0.7 * time)
    phase = 2 * np.pi * np.cumsum(pitch) / SAMPLE_RATE
    wave = sum(np.sin(k * phase) / k for k in range(1, 25)) * (1.2 + np.sin(2 * np.pi * 4 * time))
    wave = wave + np.random.default_rng(seed).normal(0, 0.05, len(time))
    return (wave * level / np.sqrt(np.mean(wave**2))).clip(-1, 1).astype("float32")


def room(seconds: float, seed: int = 0) -> np.ndarray:
    """A room in which nobody speaks."""
    samples = round(seconds * SAMPLE_RATE)
    return np.random.default_rng(seed).normal(0, 0.0005, samples).astype("float32")


def join(*parts: np.ndarray) -> np.ndarray:
    return np.concatenate(parts)


def in_chunks(wave: np.ndarray, size: int) -> list[np.ndarray]:
    return [wave[first : first + size] for first in range(0, len(wave), size)]


class ByLoudness:
    """Knows `quiet` and `loud`, and reads `loud` out of the word "loud" where it reads."""

    labels = ("quiet", "loud")

    def __init__(self, hears: bool = True, reads: bool = False):
        self.hears, self.reads = hears, reads
        self.asked: list[tuple[np.ndarray | None, str]] = []

    def predict(
        self,
        waveforms: Sequence[np.ndarray | None] | None = None,
        transcripts: Sequence[str] | None = None,
    ) -> list[Answer]:
        count = len(transcripts or waveforms or ())
        waveforms = [None] * count if waveforms is None else waveforms
        transcripts = transcripts or [""] * count
        return [self._answer(*one) for one in zip(waveforms, transcripts, strict=True)]

    def _answer(self, waveform: np.ndarray | None, transcript: str) -> Answer:
        self.asked.append((waveform, transcript))
        if waveform is None:
            loud = 0.9 if "loud" in transcript.split() else 0.1
        else:
            loudness = float(np.sqrt(np.mean(np.square(waveform))))
            loud = float(np.clip((loudness - QUIET) / (LOUD - QUIET), 0.02, 0.98))
        return Answer("loud" if loud > 0.5 else "quiet", {"quiet": 1 - loud, "loud": loud})


class OneWordASecond:
    """Hears "one", "two", … at 0.4 s to 0.6 s of each second."""

    names = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")

    def __init__(self):
        self.heard: list[int] = []

    def transcribe(self, waveform: np.ndarray) -> tuple[Word, ...]:
        self.heard.append(len(waveform))
        seconds = len(waveform) // SAMPLE_RATE
        return tuple(Word(self.names[i % 10], i + 0.4, i + 0.6) for i in range(seconds))


class Deaf:
    """Fails."""

    def transcribe(self, waveform: np.ndarray) -> tuple[Word, ...]:
        raise RuntimeError("no model\nin here")
