"""The clips of features.py, left by the driver and read by both sides. Needs numpy alone."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

SAMPLE_RATE = 16_000
SECONDS_A_ROUND = 200
"""Of speech, so that a round is long enough for the clock whatever the size of a batch."""


def write_clips(work: Path, clips: Sequence[np.ndarray]) -> None:
    """Leave clips: float32 (samples,) in [-1, 1]."""
    np.savez(work / "clips.npz", *clips)


def read_clips(work: Path) -> list[np.ndarray]:
    """The clips that the driver left."""
    with np.load(work / "clips.npz") as stored:
        return [stored[name] for name in stored.files]


def times(clips: Sequence[np.ndarray]) -> int:
    """How often a round goes over the clips."""
    return max(1, round(SECONDS_A_ROUND * SAMPLE_RATE / sum(map(len, clips))))


def repeated(run: Callable[[], object], clips: Sequence[np.ndarray]) -> Callable[[], None]:
    """One round of going over the clips."""

    def one_round() -> None:
        for _ in range(times(clips)):
            run()

    return one_round
