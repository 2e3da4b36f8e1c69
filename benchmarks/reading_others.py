"""Batches from recordings in every epoch with librosa or scipy: the opponents of reading.py.

Runs in the environment of requirements-audio.txt. Two worker processes of one thread each make
whole batches, which come back pickled through pipes.
"""

import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

import librosa
import numpy as np
from contender import Maker, Work, contend
from features_others import log_mel, log_spectrogram
from reading_corpus import WORKERS, Recording, batches_of, means, read_corpus

COMPUTE: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "log_mel": log_mel,
    "log_spectrogram": log_spectrogram,
}


def make(feature: str, work: Path) -> Work:
    """One epoch a round."""
    batches = list(batches_of(read_corpus(work)))
    pool = multiprocessing.Pool(WORKERS)

    def one_epoch() -> Iterator[tuple[list[str], np.ndarray, np.ndarray]]:
        yield from pool.imap(partial(one_batch, feature), batches)

    def run() -> None:
        for _ in one_epoch():
            pass

    return Work(run, {"means": means(one_epoch())}, {})


def one_batch(feature: str, rows: Sequence[Recording]) -> tuple[list[str], np.ndarray, np.ndarray]:
    """Decode, compute, pad."""
    arrays = []
    for row in rows:
        waveform, _ = librosa.load(row.file, sr=16_000)
        arrays.append(COMPUTE[feature](waveform))
    lengths = np.array([len(array) for array in arrays])
    values = np.zeros((len(arrays), lengths.max(), *arrays[0].shape[1:]), np.float32)
    for target, array in zip(values, arrays, strict=True):
        target[: len(array)] = array
    return [row.id for row in rows], values, np.arange(lengths.max()) < lengths[:, None]


MAKERS: dict[str, Maker] = {f"others_{feature}": partial(make, feature) for feature in COMPUTE}


if __name__ == "__main__":
    contend(MAKERS)
