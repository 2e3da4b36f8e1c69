"""Training from top to bottom: compile, resume, fit, best epoch."""

import csv
import io
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf
from rich.console import Console

from mmer_tf.atomic import write_text
from mmer_tf.data.pipeline import as_fit_batch
from mmer_tf.training.checkpoint import Checkpoint
from mmer_tf.training.objective import LabelCrossentropy, UnweightedAccuracy, WeightedAccuracy
from mmer_tf.training.progress import EpochProgress


class TrainingError(ValueError):
    """A training that cannot go on, with the reason."""


def fit(
    model: keras.Model,
    training_data: Callable[[int], tf.data.Dataset],
    validation_data: tf.data.Dataset,
    *,
    num_classes: int,
    optimizer: keras.optimizers.Optimizer,
    epochs: int,
    steps_per_epoch: int,
    folder: Path,
    patience: int = 0,
    label_smoothing: float = 0.0,
    console: Console | None = None,
    stage: str = "",
    earlier: Sequence[Mapping[str, Any]] = (),
) -> list[dict[str, Any]]:
    """Train a classifier and leave it with the weights of its best validation epoch.

    A training that was killed goes on after its last finished epoch.

    Args:
        model: inputs as in the data contract, output a dict with `logits` (batch, classes).
        training_data: first epoch -> batches of the data contract, of that and later epochs.
        validation_data: batches of one pass; its UA chooses the epoch, its loss breaks ties.
        num_classes: width of the logits.
        optimizer: not built yet.
        epochs: number of passes over the training data.
        steps_per_epoch: batches a pass.
        folder: the run; gets `checkpoint/`, `history.csv` and `tensorboard/`.
        patience: epochs without a better one before training stops; 0 never stops.
        label_smoothing: see `LabelCrossentropy`.
        console: where progress goes; None is silent.
        stage: name of one of several trainings in a row, which then has a folder of its own in
            `checkpoint/` and `tensorboard/`, and a column of `history.csv`.
        earlier: the rows that the stages before it returned, for `history.csv`.

    Returns:
        One row of logs an epoch, the stage first where there is one.

    Raises:
        TrainingError: the loss is not a number; the last finished epoch stays on disk.
        CheckpointError: `folder` holds the checkpoint of another model.
    """
    # Attention and gate have no label, and Keras wants one for each entry of a dict of outputs.
    classifier = keras.Model(model.inputs, model.output["logits"], name="classifier")
    classifier.compile(
        optimizer=optimizer,
        loss=LabelCrossentropy(label_smoothing),
        metrics=[UnweightedAccuracy(num_classes), WeightedAccuracy()],
        # Every bucket length would be compiled anew; measured slower than the plain graph.
        jit_compile=False,
    )
    optimizer.build(classifier.trainable_variables)

    def as_pair(batch):
        return as_fit_batch(batch, [tensor.name for tensor in model.inputs])

    checkpoint = Checkpoint(folder / "checkpoint" / stage, patience=patience)
    checkpoint.restore(classifier)

    def rows() -> list[dict[str, Any]]:
        return [({"stage": stage} if stage else {}) | row for row in checkpoint.history]

    if checkpoint.epochs_done < epochs and not checkpoint.exhausted:
        first = checkpoint.epochs_done
        with EpochProgress(
            console, epochs, steps_per_epoch, checkpoint.history, stage=stage
        ) as progress:
            classifier.fit(
                training_data(first).map(as_pair),
                validation_data=validation_data.map(as_pair),
                initial_epoch=first,
                epochs=epochs,
                steps_per_epoch=steps_per_epoch,
                callbacks=[
                    _FiniteLoss(),
                    checkpoint,
                    _HistoryFile(folder / "history.csv", lambda: [*earlier, *rows()]),
                    keras.callbacks.TensorBoard(folder / "tensorboard" / stage, write_graph=False),
                    progress,
                ],
                verbose=0,
            )
    checkpoint.restore_best(classifier)
    return rows()


class _FiniteLoss(keras.callbacks.Callback):
    """Raise before a broken epoch reaches the checkpoint."""

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        if not math.isfinite(logs["loss"]):
            raise TrainingError(
                f"the loss is not a number in epoch {self.epoch + 1}, batch {batch + 1}; "
                "try a lower train.learning_rate"
            )


class _HistoryFile(keras.callbacks.Callback):
    """Write the history, also at the start: a kill may have cost its last row."""

    def __init__(self, file: Path, rows: Callable[[], list[Mapping[str, Any]]]):
        super().__init__()
        self.file = file
        self.rows = rows

    def on_train_begin(self, logs=None):
        self.write()

    def on_epoch_end(self, epoch, logs=None):
        self.write()

    def write(self):
        rows = self.rows()
        if not rows:
            return
        text = io.StringIO()
        writer = csv.DictWriter(text, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
        write_text(self.file, text.getvalue())
