"""What TensorBoard shows of a training: curves, confusions, attention, hyperparameters."""

import io
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import keras
import tensorflow as tf
from matplotlib.figure import Figure
from tensorboard.plugins.hparams import api as hparams
from tensorboard.plugins.image import metadata as image_metadata

from mmer_tf.training.checkpoint import best_epoch

SHARE = 0.05
"""Of the time of a training that goes into pictures; what the last epoch's take comes on top."""

PARTS = {"": "train", "val_": "validation"}
"""Beginning of a log's name -> the folder of its curve."""

Hyperparameter = bool | int | float | str


class TrainingBoard(keras.callbacks.Callback):
    """Write curves after each epoch, and pictures as often as they do not slow training.

    Curves have the names and folders of Keras' own callback: `train/epoch_loss`,
    `validation/epoch_ua`, `train/epoch_learning_rate`. Pictures come after the first epoch, then
    whenever they have taken less than a twentieth of the time so far, and after the last.

    Args:
        folder: gets `train/` and `validation/`; a resumed training goes on in it.
        epochs: of the whole training.
        draw: name of a picture -> figure, with the weights of the epoch; None draws nothing.
        clock: seconds.
    """

    def __init__(
        self,
        folder: Path,
        *,
        epochs: int,
        draw: Callable[[], Mapping[str, Figure]] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ):
        super().__init__()
        self.folder = folder
        self.epochs = epochs
        self.draw = draw
        self.clock = clock
        self.began = self.spent = 0.0
        self.writers: dict[str, tf.summary.SummaryWriter] = {}

    def on_train_begin(self, logs=None):
        """Keras hook."""
        self.began = self.clock()
        for part in PARTS.values():
            self.writers[part] = tf.summary.create_file_writer(str(self.folder / part))

    def on_epoch_end(self, epoch, logs=None):
        """Keras hook."""
        logs = dict(logs or {})
        rate = float(keras.ops.convert_to_numpy(self.model.optimizer.learning_rate))
        for beginning, part in reversed(PARTS.items()):
            values = {
                name.removeprefix(beginning): logs.pop(name)
                for name in tuple(logs)
                if name.startswith(beginning)
            }
            if part == "train":
                values["learning_rate"] = rate
            with self.writers[part].as_default(step=epoch):
                for name, value in values.items():
                    tf.summary.scalar(f"epoch_{name}", value)
                if part == "validation" and self.draw and self._has_time(epoch):
                    self._write_pictures(epoch)

    def on_train_end(self, logs=None):
        """Keras hook."""
        for writer in self.writers.values():
            writer.close()

    def _has_time(self, epoch: int) -> bool:
        is_last = epoch + 1 == self.epochs or self.model.stop_training
        return is_last or self.spent <= SHARE * (self.clock() - self.began)

    def _write_pictures(self, epoch: int) -> None:
        before = self.clock()
        for name, figure in self.draw().items():
            write_image(name, figure, epoch)
        self.spent += self.clock() - before


def show_outcome(
    folder: Path,
    hyperparameters: Mapping[str, Hyperparameter],
    history: Sequence[Mapping[str, float]],
) -> None:
    """Put the hyperparameters of a finished training beside its best validation UA.

    TensorBoard's tab "HParams" then compares runs and stages by `best_validation_ua`.

    Args:
        folder: of the training's curves.
        hyperparameters: name -> plain value, as of `flat_hyperparameters`.
        history: a row an epoch with `epoch, val_ua, val_loss`.
    """
    best = best_epoch(history)
    writer = tf.summary.create_file_writer(str(folder))
    with writer.as_default(step=int(best["epoch"]) - 1):
        hparams.hparams(dict(hyperparameters))
        tf.summary.scalar("best_validation_ua", best["val_ua"])
    writer.close()


def write_image(name: str, figure: Figure, step: int) -> None:
    """Write a figure with the writer of the moment, as `tf.summary.image` would a tensor."""
    stream = io.BytesIO()
    figure.savefig(stream, format="png")
    width, height = figure.canvas.get_width_height()
    content = [str(width).encode(), str(height).encode(), stream.getvalue()]
    kind = image_metadata.create_summary_metadata(display_name=None, description=None)
    tf.summary.write(name, tf.constant(content), step=step, metadata=kind)


def flat_hyperparameters(
    values: Mapping[str, object], prefix: str = ""
) -> dict[str, Hyperparameter]:
    """Nested fields of a recipe as TensorBoard takes them: plain values by their paths.

    >>> flat_hyperparameters({"train": {"epochs": 3, "clip_norm": None}, "fusion": "gmu"})
    {'train.epochs': 3, 'train.clip_norm': 'none', 'fusion': 'gmu'}
    """
    flat: dict[str, Hyperparameter] = {}
    for name, value in values.items():
        path = f"{prefix}{name}"
        if isinstance(value, Mapping):
            flat |= flat_hyperparameters(value, f"{path}.")
        elif isinstance(value, bool | int | float | str):
            flat[path] = value
        elif isinstance(value, Sequence):
            flat[path] = ",".join(map(str, value))
        else:
            flat[path] = "none" if value is None else str(value)
    return flat
