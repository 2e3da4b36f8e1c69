"""The utterances that the contenders of deployment.py answer, and how they answer them.

The same for every contender, in whatever environment; needs numpy alone.
"""

import json
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from contender import Work


@dataclass(frozen=True)
class Question:
    """One utterance.

    Args:
        waveform: float32 (samples,) in [-1, 1], 16 kHz.
        words: as spoken.
    """

    waveform: np.ndarray
    words: str


def write_questions(work: Path, name: str, questions: Sequence[Question]) -> None:
    """Leave utterances for the contenders."""
    words = [question.words for question in questions]
    (work / f"{name}_words.json").write_text(json.dumps(words), encoding="utf-8")
    voices = {str(number): question.waveform for number, question in enumerate(questions)}
    np.savez(work / f"{name}_voices.npz", **voices)


def read_questions(work: Path, name: str) -> list[Question]:
    """The utterances that the driver left."""
    words = json.loads((work / f"{name}_words.json").read_text(encoding="utf-8"))
    with np.load(work / f"{name}_voices.npz") as voices:
        return [Question(voices[str(number)], one) for number, one in enumerate(words)]


def one_by_one(
    answer: Callable[[Question], np.ndarray], questions: Sequence[Question], size: int
) -> Work:
    """Each utterance alone; the fact `milliseconds` has the median of each round.

    Args:
        answer: probabilities (classes,) of one.
        questions: the utterances.
        size: bytes of the model's files.
    """
    milliseconds: list[float] = []

    def run() -> None:
        taken = []
        for question in questions:
            started = time.perf_counter()
            answer(question)
            taken.append(time.perf_counter() - started)
        milliseconds.append(statistics.median(taken) * 1e3)

    answers = {"probabilities": np.stack([answer(question) for question in questions])}
    return Work(run, answers, {"bytes": size, "milliseconds": milliseconds})


def together(
    answer: Callable[[Sequence[Question]], np.ndarray], questions: Sequence[Question]
) -> Work:
    """All utterances as one batch, several times a round.

    Args:
        answer: probabilities (utterances, classes).
        questions: the utterances, all of one length.
    """

    def run() -> None:
        for _ in range(BATCHES):
            answer(questions)

    return Work(run, {"probabilities": answer(questions)}, {})


BATCHES = 10
"""Of one round."""
