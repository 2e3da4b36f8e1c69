"""Probabilities of a classifier for every utterance of a split, and their table on disk."""

import csv
import dataclasses
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mmer_tf.atomic import replacing


@dataclass(frozen=True)
class Predictions:
    """Answers for `n` utterances.

    Args:
        ids: (n,) str.
        targets: (n,) int, the true classes.
        probabilities: (n, classes) float.
        labels: class names in the order of the columns.
    """

    ids: np.ndarray
    targets: np.ndarray
    probabilities: np.ndarray
    labels: tuple[str, ...]

    @property
    def predicted(self) -> np.ndarray:
        """(n,) int, the most probable classes."""
        return self.probabilities.argmax(axis=1)


def predict_dataset(
    predict: Callable[[Mapping[str, Any]], np.ndarray],
    batches: Iterable[Mapping[str, Any]],
    labels: Sequence[str],
) -> Predictions:
    """Run a classifier over one pass of a data set, in the order of the ids.

    Args:
        predict: batch of the data contract -> probabilities (batch, classes).
        batches: must hold `id` and `label`.
        labels: class names.
    """
    ids, targets, probabilities = [], [], []
    for batch in batches:
        ids.extend(identifier.decode() for identifier in np.asarray(batch["id"]))
        targets.extend(np.asarray(batch["label"]))
        probabilities.append(np.asarray(predict(batch)))
    order = np.argsort(ids)
    return Predictions(
        np.array(ids)[order],
        np.array(targets)[order],
        np.concatenate(probabilities)[order],
        tuple(labels),
    )


def pool(parts: Sequence[Predictions]) -> Predictions:
    """All folds' predictions in one table."""
    return Predictions(
        np.concatenate([part.ids for part in parts]),
        np.concatenate([part.targets for part in parts]),
        np.concatenate([part.probabilities for part in parts]),
        parts[0].labels,
    )


def restrict(predictions: Predictions, ids: Collection[str]) -> Predictions:
    """The answers for some of the utterances, in the order they had."""
    wanted = set(ids)
    return _take(predictions, np.array([str(id) in wanted for id in predictions.ids], bool))


def in_order(predictions: Predictions) -> Predictions:
    """The same answers sorted by id."""
    return _take(predictions, np.argsort(predictions.ids))


def _take(predictions: Predictions, rows: np.ndarray) -> Predictions:
    return dataclasses.replace(
        predictions,
        ids=predictions.ids[rows],
        targets=predictions.targets[rows],
        probabilities=predictions.probabilities[rows],
    )


def reorder_classes(predictions: Predictions, labels: Sequence[str]) -> Predictions:
    """The same answers with the classes in another order.

    Args:
        predictions: any answers.
        labels: the same class names, in the order that the columns shall have.
    """
    place = np.array([labels.index(label) for label in predictions.labels])
    probabilities = np.empty(predictions.probabilities.shape)
    probabilities[:, place] = predictions.probabilities
    return Predictions(predictions.ids, place[predictions.targets], probabilities, tuple(labels))


def save_predictions(predictions: Predictions, file: Path) -> None:
    """Write id, label, prediction and one probability column a class.

    With all digits, so that the most probable class of a near tie is the same when read again.
    """
    with (
        replacing(file) as temporary,
        temporary.open("w", encoding="utf-8", newline="") as stream,
    ):
        writer = csv.writer(stream)
        writer.writerow(["id", "label", "predicted", *predictions.labels])
        names = np.array(predictions.labels)
        for i, identifier in enumerate(predictions.ids):
            row = [str(p) for p in predictions.probabilities[i]]
            target, predicted = predictions.targets[i], predictions.predicted[i]
            writer.writerow([identifier, names[target], names[predicted], *row])


def load_predictions(file: Path) -> Predictions:
    """Read what `save_predictions` wrote."""
    with file.open(encoding="utf-8", newline="") as stream:
        header, *rows = csv.reader(stream)
    labels = tuple(header[3:])
    return Predictions(
        np.array([row[0] for row in rows]),
        np.array([labels.index(row[1]) for row in rows]),
        np.array([[float(p) for p in row[3:]] for row in rows]),
        labels,
    )
