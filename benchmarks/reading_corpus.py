"""The recordings of reading.py, left by the driver and read by all sides. Needs numpy alone."""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

BATCH_SIZE = 16
WORKERS = 2
"""Processes of the opponents."""

FEATURES = ("log_mel", "log_spectrogram")

EPOCHS = 20
"""Of a training, as `gmu` takes."""


@dataclass(frozen=True)
class Recording:
    """One row of the corpus.

    Args:
        id: of the utterance.
        file: 16 kHz mono.
        seconds: how long it is.
    """

    id: str
    file: str
    seconds: float


def write_corpus(work: Path, recordings: Sequence[Recording]) -> None:
    """Leave the list of recordings."""
    rows = [vars(recording) for recording in recordings]
    (work / "corpus.json").write_text(json.dumps(rows), encoding="utf-8")


def read_corpus(work: Path) -> list[Recording]:
    """The recordings that the driver left."""
    rows = json.loads((work / "corpus.json").read_text(encoding="utf-8"))
    return [Recording(**row) for row in rows]


def batches_of(corpus: Sequence[Recording]) -> Iterator[Sequence[Recording]]:
    """Neighbours in length share a batch."""
    rows = sorted(corpus, key=lambda recording: recording.seconds)
    for first in range(0, len(rows), BATCH_SIZE):
        yield rows[first : first + BATCH_SIZE]


def means(batches: Iterable[tuple[Sequence[str], np.ndarray, np.ndarray]]) -> np.ndarray:
    """Means over the frames of each utterance, in the order of ids: (utterances, …)."""
    found = {
        id: array[real].mean(axis=0)
        for ids, values, mask in batches
        for id, array, real in zip(ids, values, mask, strict=True)
    }
    return np.stack([found[id] for id in sorted(found)])
