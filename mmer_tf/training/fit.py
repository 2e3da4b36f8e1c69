"""Training from top to bottom: compile, resume, fit, best epoch."""

import csv
import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf
from rich.console import Console

from mmer_tf.atomic import write_text
from mmer_tf.data.pipeline import as_fit_batch
from mmer_tf.training.checkpoint import Checkpoint
from mmer_tf.training.distribute import Distribution
from mmer_tf.training.finite_loss import FiniteLoss, TrainingError
from mmer_tf.training.objective import LabelCrossentropy, UnweightedAccuracy, WeightedAccuracy
from mmer_tf.training.progress import EpochProgress
from mmer_tf.training.replicated import (
    AverageMoments,
    copy_variables,
    part_batches,
    part_seeds,
    replicate,
)

__all__ = ["TrainingError", "fit"]


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
    distribution: Distribution | None = None,
    xla: bool = False,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    console: Console | None = None,
    stage: str = "",
    earlier: Sequence[Mapping[str, Any]] = (),
) -> list[dict[str, Any]]:
    """Train a classifier and leave it with the weights of its best validation epoch.

    A training that was killed goes on after its last finished epoch.

    Args:
        model: inputs as in the data contract, output a dict with `logits` (batch, classes). Made
            outside the scope of any strategy: on several devices a copy of it is trained.
        training_data: first epoch -> batches of the data contract, of that and later epochs.
        validation_data: batches of one pass, of known cardinality; its UA chooses the epoch, its
            loss breaks ties.
        num_classes: width of the logits.
        optimizer: made in the scope of the distribution, not built yet; of a model in
            mixed_float16 one that scales the loss.
        epochs: number of passes over the training data.
        steps_per_epoch: batches a pass.
        folder: the run; gets `checkpoint/` and `history.csv`.
        patience: epochs without a better one before training stops; 0 never stops.
        label_smoothing: see `LabelCrossentropy`.
        distribution: on which devices; None is one. Every worker calls this function with the
            same arguments, the chief alone writes and talks, and all end with its weights.
        xla: compile each step with XLA, once for each shape of a batch; on one device only.
        callbacks: called on the chief alone, with `model` at each epoch's weights.
        console: where progress goes; None is silent.
        stage: name of one of several trainings in a row, which then has a folder of its own in
            `checkpoint/`, and a column of `history.csv`.
        earlier: the rows that the stages before it returned, for `history.csv`.

    Returns:
        One row of logs an epoch, the stage first where there is one.

    Raises:
        TrainingError: the loss or a weight is not a number, or another worker is gone; the last
            finished epoch stays on disk.
        CheckpointError: `folder` holds the checkpoint of another model.
        StorageError: a file cannot be written; the last finished epoch stays on disk.
        DistributionError: the workers do not train the same, or XLA was asked for on several
            devices.
    """
    distribution = distribution or Distribution()
    distribution.require_compilable(xla)
    objective: dict[str, Any] = {"num_classes": num_classes, "label_smoothing": label_smoothing}
    names = [tensor.name for tensor in model.inputs]
    # First, so that no checkpoint holds what it refuses.
    own: list[keras.callbacks.Callback] = [FiniteLoss(training_data)]
    validation_steps = None

    copy = model
    if distribution.num_replicas == 1:
        classifier = compile_classifier(model, optimizer, xla=xla, **objective)

        def as_fed(batches: tf.data.Dataset) -> Any:
            return batches.map(lambda batch: as_fit_batch(batch, names))
    else:
        classifier, copy = replicate(model, optimizer, distribution, **objective)
        own += [AverageMoments(), _KeepUp(copy, model)]
        validation_steps = int(validation_data.cardinality())

        def as_fed(batches: tf.data.Dataset) -> Any:
            return part_batches(batches, names, distribution)

    checkpoint = Checkpoint(
        folder / "checkpoint" / stage, patience=patience, distribution=distribution
    )
    checkpoint.restore(classifier)
    if distribution.num_replicas > 1:
        part_seeds(classifier)
    distribution.require_same(
        epochs=epochs, batches_an_epoch=steps_per_epoch, weights=classifier.count_params()
    )

    def rows() -> list[dict[str, Any]]:
        return [({"stage": stage} if stage else {}) | row for row in checkpoint.history]

    def write_history() -> None:
        _write_rows(folder / "history.csv", [*earlier, *rows()])

    if distribution.is_chief and checkpoint.epochs_done:
        write_history()  # a kill after the last checkpoint may have cost its last row
    if checkpoint.epochs_done < epochs and not checkpoint.exhausted:
        first = checkpoint.epochs_done
        progress = EpochProgress(
            console if distribution.is_chief else None,
            epochs,
            steps_per_epoch,
            checkpoint.history,
            stage=stage,
        )
        history_file = keras.callbacks.LambdaCallback(on_epoch_end=lambda *_: write_history())
        of_chief = [history_file, *callbacks]
        with progress, _lost_workers(distribution):
            classifier.fit(
                as_fed(training_data(first)),
                validation_data=as_fed(validation_data),
                validation_steps=validation_steps,
                initial_epoch=first,
                epochs=epochs,
                steps_per_epoch=steps_per_epoch,
                callbacks=[
                    *own,
                    checkpoint,
                    *(of_chief if distribution.is_chief else ()),
                    progress,
                ],
                verbose=0,
            )
    checkpoint.restore_best(classifier)
    if copy is not model:
        copy_variables(copy, model)
    return rows()


def compile_classifier(
    model: keras.Model,
    optimizer: keras.optimizers.Optimizer,
    *,
    num_classes: int,
    label_smoothing: float,
    xla: bool,
) -> keras.Model:
    """The same model, compiled and built for one device."""
    # Attention and gate have no label, and Keras wants one for each entry of a dict of outputs.
    classifier = keras.Model(model.inputs, model.output["logits"], name="classifier")
    classifier.compile(
        optimizer=optimizer,
        loss=LabelCrossentropy(label_smoothing),
        metrics=[UnweightedAccuracy(num_classes), WeightedAccuracy()],
        # Every bucket length is compiled anew; measured slower than the plain graph.
        jit_compile=xla,
        auto_scale_loss=False,
    )
    optimizer.build(classifier.trainable_variables)
    return classifier


@contextmanager
def _lost_workers(distribution: Distribution) -> Iterator[None]:
    """Say in one sentence that another worker is gone."""
    try:
        yield
    except (tf.errors.UnavailableError, tf.errors.AbortedError) as error:
        if distribution.num_workers == 1:
            raise
        raise TrainingError(
            "another worker of this training has stopped; start the same command on all workers "
            "again, and they go on after the last finished epoch"
        ) from error


class _KeepUp(keras.callbacks.Callback):
    """Give the model that the caller holds the weights of its trained copy after each epoch."""

    def __init__(self, trained: keras.Model, follower: keras.Model):
        super().__init__()
        self.trained = trained
        self.follower = follower

    def on_epoch_end(self, epoch, logs=None):
        copy_variables(self.trained, self.follower)


def _write_rows(file: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """A table of the epochs so far."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    write_text(file, text.getvalue())
