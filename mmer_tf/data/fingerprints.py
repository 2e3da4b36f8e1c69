"""Fingerprints of a data set's recordings, taken once and kept in its folder.

`fingerprints.npz` lies beside the manifest. It holds for the data set of one digest; an entry
holds as long as the recording has the size and the time of change that it had, and where the
recording is gone: what was heard then is what the shards were made of. A folder that cannot be
written to costs the time of taking them again and nothing else.
"""

import contextlib
import multiprocessing
import os
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mmer_tf.atomic import replacing
from mmer_tf.audio.decode import AudioError, decode
from mmer_tf.audio.fingerprint import VERSION, Fingerprint, fingerprint
from mmer_tf.data.manifest import Dataset, DatasetError
from mmer_tf.data.progress import Progress, silent
from mmer_tf.data.worker import end_with_parent

FINGERPRINTS = "fingerprints.npz"

FEW = 256
"""Up to so many recordings, starting processes takes longer than listening."""

_PER_TASK = 16


@dataclass(frozen=True, slots=True)
class _Entry:
    """A fingerprint and the recording that it was taken of, as (bytes, nanoseconds)."""

    state: tuple[int, int]
    fingerprint: Fingerprint


def dataset_fingerprints(
    dataset: Dataset, progress: Progress = silent, workers: int | None = None
) -> dict[str, Fingerprint | None]:
    """Fingerprints of all recordings of a data set, or of a selection of its utterances.

    Args:
        dataset: prepared.
        progress: shows how far the work is, where there is any.
        workers: number of processes; None is one a core, or none for a few recordings. 0 works in
            this process.

    Returns:
        id -> fingerprint; None for a recording that is gone or cannot be read. Utterances without
        a recording are left out.

    Raises:
        DatasetError: a worker process died.
    """
    cached = _read_cache(dataset)
    recordings = {row.id: row.audio for row in dataset.rows if row.audio is not None}
    states = {id: _state(path) for id, path in recordings.items()}
    pending = [
        id
        for id, state in states.items()
        if state is not None and (id not in cached or cached[id].state != state)
    ]
    if pending:
        with progress("listening for copies", len(pending)) as advance:
            paths = [recordings[id] for id in pending]
            for done, (id, one) in enumerate(zip(pending, _listen(paths, workers), strict=True), 1):
                state = states[id]
                if one is None or state is None:
                    cached.pop(id, None)
                else:
                    cached[id] = _Entry(state, one)
                advance(done)
        _write_cache(dataset, cached)
    return {id: cached[id].fingerprint if id in cached else None for id in recordings}


def _state(path: Path) -> tuple[int, int] | None:
    """Size and time of change of a file; None where there is none to be had."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_size, found.st_mtime_ns


def _listen(paths: Sequence[Path], workers: int | None) -> Iterator[Fingerprint | None]:
    """Fingerprints in the order of the recordings."""
    if workers is None:
        workers = 0 if len(paths) <= FEW else os.cpu_count() or 1
    if workers < 2:
        yield from map(_hear, paths)
        return
    pool = ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), end_with_parent)
    try:
        yield from pool.map(_hear, paths, chunksize=_PER_TASK)
    except BrokenProcessPool as error:
        raise DatasetError(
            "a worker process died while recordings were compared (was memory short?); "
            "run the same command again"
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


def _hear(path: Path) -> Fingerprint | None:
    """Fingerprint of a file; None where it cannot be decoded. Runs in a worker."""
    try:
        return fingerprint(decode(path))
    except AudioError:
        return None


def _read_cache(dataset: Dataset) -> dict[str, _Entry]:
    """What was kept; nothing where it is of another data set or cannot be read."""
    try:
        with (
            (dataset.folder / FINGERPRINTS).open("rb") as file,
            np.load(file, allow_pickle=False) as stored,
        ):
            values = {name: stored[name] for name in stored.files}
        if str(values["identity"]) != _identity(dataset):
            return {}
        ends = np.cumsum(values["lengths"])
        words = np.split(values["words"], ends[:-1])
        return {
            str(id): _Entry((int(state[0]), int(state[1])), Fingerprint(digest.tobytes(), one))
            for id, state, digest, one in zip(
                values["ids"], values["states"], values["digests"], words, strict=True
            )
        }
    # Missing, damaged or of an older version: it is only a matter of time to take them again.
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return {}


def _write_cache(dataset: Dataset, entries: Mapping[str, _Entry]) -> None:
    """Keep the fingerprints, whole or not at all."""
    kept = dict(sorted(entries.items()))
    if not kept:
        return
    digests = [np.frombuffer(entry.fingerprint.digest, np.uint8) for entry in kept.values()]
    # Read-only or full: the fingerprints serve all the same.
    # Trainings of several folds may write at once, each to a file of its own.
    with (
        contextlib.suppress(OSError),
        replacing(dataset.folder / FINGERPRINTS, writer=f"{os.getpid()}-") as temporary,
    ):
        np.savez_compressed(
            temporary,
            identity=np.array(_identity(dataset)),
            ids=np.array(list(kept)),
            states=np.array([entry.state for entry in kept.values()], np.int64),
            digests=np.stack(digests),
            lengths=np.array([len(entry.fingerprint.words) for entry in kept.values()]),
            words=np.concatenate([entry.fingerprint.words for entry in kept.values()]),
        )


def _identity(dataset: Dataset) -> str:
    return f"{VERSION} {dataset.digest}"
