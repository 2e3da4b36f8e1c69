"""How deployment.py looks at the clock: the same for every contender, in whatever environment."""

import json
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

WARM_UP = 5
"""Questions that are answered before the clock runs."""


@dataclass(frozen=True)
class Question:
    """One utterance.

    Args:
        waveform: float32 (samples,) in [-1, 1], 16 kHz.
        words: as spoken.
    """

    waveform: np.ndarray
    words: str


def write_questions(work: Path, questions: Sequence[Question]) -> None:
    """Leave the utterances for the contenders."""
    words = [question.words for question in questions]
    (work / "words.json").write_text(json.dumps(words), encoding="utf-8")
    voices = {str(number): question.waveform for number, question in enumerate(questions)}
    np.savez(work / "voices.npz", **voices)


def read_questions(work: Path) -> list[Question]:
    """The utterances that the driver left."""
    words = json.loads((work / "words.json").read_text(encoding="utf-8"))
    with np.load(work / "voices.npz") as voices:
        return [Question(voices[str(number)], one) for number, one in enumerate(words)]


def measure(
    name: str,
    work: Path,
    make: Callable[[Path], tuple[Callable[[Question], np.ndarray], int]],
    questions: Sequence[Question],
) -> None:
    """Answer all questions one by one on one core, and write what came out and how long it took.

    Args:
        name: of the contender; its answers go to NAME.json.
        work: the folder of the benchmark.
        make: from the folder to what answers one question, and the bytes of the model's files.
        questions: the utterances.
    """
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    answer, size = make(work)
    for question in questions[:WARM_UP]:
        answer(question)
    seconds, probabilities = [], []
    for question in questions:
        started = time.perf_counter()
        row = answer(question)
        seconds.append(time.perf_counter() - started)
        probabilities.append([float(value) for value in row])
    told = {"seconds": seconds, "probabilities": probabilities, "bytes": size}
    (work / f"{name}.json").write_text(json.dumps(told), encoding="utf-8")
