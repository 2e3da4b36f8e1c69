"""A training's whole state on disk after each epoch, so that it goes on where it was killed."""

import json
import os
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import keras
import numpy as np

from mmer_tf.atomic import replacing
from mmer_tf.evaluation.history import best_epoch
from mmer_tf.training.distribute import Distribution


class CheckpointError(ValueError):
    """A checkpoint that does not belong to this model, or is damaged."""


class Checkpoint(keras.callbacks.Callback):
    """Write weights, optimizer, random states, history and the best epoch after each epoch.

    Keras' `BackupAndRestore` leaves the seed generators out, so that with dropout a resumed run
    differs from an uninterrupted one; `model.variables` holds them.

    Files are written under a temporary name and renamed. The best weights come first and carry
    their epoch in the name; `last.npz` names the epoch it relies on, so a kill between the two
    leaves a consistent pair.

    Args:
        folder: where the two files are kept; created.
        monitor: the log whose highest value marks the best epoch.
        tie_break: the log whose lowest value decides between equals.
        patience: epochs without a better one before training stops; 0 never stops.
        distribution: of several workers the chief alone reads and writes, and tells the others.
    """

    def __init__(
        self,
        folder: Path,
        monitor: str = "val_ua",
        tie_break: str = "val_loss",
        patience: int = 0,
        distribution: Distribution | None = None,
    ):
        super().__init__()
        self.distribution = distribution or Distribution()
        self.folder = folder
        self.monitor = monitor
        self.tie_break = tie_break
        self.patience = patience
        self.history: list[dict[str, float]] = []
        self.best: dict[str, float] | None = None

    @property
    def epochs_done(self) -> int:
        """Number of finished epochs."""
        return len(self.history)

    @property
    def exhausted(self) -> bool:
        """Patience has run out."""
        if not self.patience or self.best is None:
            return False
        return self.history[-1]["epoch"] - self.best["epoch"] >= self.patience

    def restore(self, model: keras.Model) -> bool:
        """Put a compiled, built model into its last state; False where there is none."""
        file, state = self.folder / "last.npz", ""
        if self.distribution.is_chief and file.exists():
            with _reading(file) as arrays:
                state = str(arrays["state"])
                _assign(_state_variables(model), arrays, file)
        self.distribution.assign_from_chief(_state_variables(model))
        state = self.distribution.text_from_chief(state)
        if not state:
            return False
        self.history, self.best = (json.loads(state)[key] for key in ("history", "best"))
        return True

    def restore_best(self, model: keras.Model) -> None:
        """Put a model's weights back to the best epoch's."""
        if self.distribution.is_chief:
            file = self._best_file()
            with _reading(file) as arrays:
                _assign(model.weights, arrays, file)
        self.distribution.assign_from_chief(model.weights)

    def on_epoch_end(self, epoch, logs=None):
        """Keras hook: after each epoch, validation included."""
        row = {"epoch": epoch + 1} | {name: float(value) for name, value in (logs or {}).items()}
        self.history.append(row)
        is_better = self._is_better(row)
        if is_better:
            self.best = row
        if self.distribution.is_chief:
            self._write(is_better)
        if self.exhausted:
            self.model.stop_training = True

    def _write(self, is_better: bool) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        if is_better:
            _save(self._best_file(), self.model.weights)
        state = {"history": self.history, "best": self.best}
        _save(self.folder / "last.npz", _state_variables(self.model), state=json.dumps(state))
        for stale in self.folder.glob("best-*.npz"):
            if stale != self._best_file():
                stale.unlink()

    def _is_better(self, row: dict[str, float]) -> bool:
        if self.best is None:
            return True
        return best_epoch([self.best, row], self.monitor, self.tie_break) is row

    def _best_file(self) -> Path:
        return self.folder / f"best-{int(self.best['epoch']):04d}.npz"


def _state_variables(model: keras.Model) -> list[Any]:
    return [*model.variables, *model.optimizer.variables]


def _save(file: Path, variables, **extra) -> None:
    arrays = {str(i): np.asarray(v) for i, v in enumerate(variables)}
    with replacing(file) as temporary, temporary.open("wb") as stream:
        np.savez(stream, **arrays, **extra)
        stream.flush()
        os.fsync(stream.fileno())


@contextmanager
def _reading(file: Path) -> Iterator[Any]:
    """The arrays of a file, each read when it is asked for."""
    try:
        with np.load(file) as arrays:
            yield arrays
    except (zipfile.BadZipFile, zlib.error, EOFError, KeyError, ValueError) as error:
        if isinstance(error, CheckpointError):
            raise
        raise CheckpointError(
            f"{file}: damaged; remove the folder {file.parent} and start the training again"
        ) from error


def _assign(variables, arrays, file: Path) -> None:
    stored = [name for name in arrays.files if name.isdigit()]
    shapes_differ = len(stored) != len(variables) or any(
        arrays[str(i)].shape != tuple(v.shape) for i, v in enumerate(variables)
    )
    if shapes_differ:
        raise CheckpointError(
            f"{file} was written by another model; remove the run or give it another --run name"
        )
    for i, variable in enumerate(variables):
        variable.assign(arrays[str(i)])
