"""What TensorBoard shows of a training: curves, confusions, attention, hyperparameters."""

import io
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import keras
import tensorflow as tf
from matplotlib.figure import Figure
from tensorboard.plugins.hparams import api as hparams

from mmer_tf.training.checkpoint import best_epoch

PICTURES = 8
"""Epochs of a training after which pictures are drawn, about evenly spread."""

PARTS = {"": "train", "val_": "validation"}
"""Beginning of a log's name -> the folder of its curve."""

Hyperparameter = bool | int | float | str


class TrainingBoard(keras.callbacks.Callback):
    """Write curves after each epoch and pictures from time to time.

    Curves have the names and folders of Keras' own callback: `train/epoch_loss`,
    `validation/epoch_ua`, `train/epoch_learning_rate`.

    Args:
        folder: gets `train/` and `validation/`; a resumed training goes on in it.
        epochs: of the whole training.
        draw: name of a picture -> figure, with the weights of the epoch; None draws nothing.
    """

    def __init__(
        self,
        folder: Path,
        *,
        epochs: int,
        draw: Callable[[], Mapping[str, Figure]] | None = None,
    ):
        super().__init__()
        self.folder = folder
        self.draw = draw
        self.with_pictures = picture_epochs(epochs)
        self.writers: dict[str, tf.summary.SummaryWriter] = {}

    def on_train_begin(self, logs=None):
        """Keras hook."""
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
                if part == "validation" and self.draw and epoch + 1 in self.with_pictures:
                    for name, figure in self.draw().items():
                        tf.summary.image(name, as_image(figure))

    def on_train_end(self, logs=None):
        """Keras hook."""
        for writer in self.writers.values():
            writer.close()


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


def picture_epochs(epochs: int, pictures: int = PICTURES) -> set[int]:
    """The epochs, counted from 1, after which there are pictures: every few, and the last.

    >>> sorted(picture_epochs(20))
    [3, 6, 9, 12, 15, 18, 20]
    """
    every = math.ceil(epochs / pictures)
    return {*range(every, epochs + 1, every), epochs}


def as_image(figure: Figure) -> tf.Tensor:
    """A figure as a batch of one picture, uint8 (1, height, width, 3)."""
    stream = io.BytesIO()
    figure.savefig(stream, format="png")
    return tf.io.decode_png(stream.getvalue(), channels=3)[None]


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
