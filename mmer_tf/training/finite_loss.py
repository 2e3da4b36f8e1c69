"""What stops a training whose numbers are no longer finite, and says on which utterances."""

import math
from collections.abc import Callable, Mapping, Sequence

import keras
import numpy as np
import tensorflow as tf

MOST_IDS = 5


class TrainingError(ValueError):
    """A training that cannot go on, with the reason."""


class FiniteLoss(keras.callbacks.Callback):
    """Raise before a broken epoch reaches the checkpoint.

    The order of the batches is decided by the epoch alone, so the utterances of the broken batch
    are read again once they are asked for, and cost nothing before.

    Args:
        training_data: first epoch -> batches of the data contract, of that and later epochs.
    """

    def __init__(self, training_data: Callable[[int], tf.data.Dataset]):
        super().__init__()
        self.training_data = training_data
        self.epoch = 0

    def on_epoch_begin(self, epoch, logs=None):
        """Keras hook."""
        self.epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        """Keras hook."""
        if not math.isfinite(logs["loss"]):
            broken = next(self.training_data(self.epoch).skip(batch).take(1).as_numpy_iterator())
            raise TrainingError(
                f"the loss is not a number in epoch {self.epoch + 1}, batch {batch + 1}: "
                + _cause(broken)
            )

    def on_epoch_end(self, epoch, logs=None):
        """Keras hook: after each epoch, validation included.

        No training batch has yet met what the last update left.
        """
        if not all(np.isfinite(np.asarray(weight)).all() for weight in self.model.weights):
            raise TrainingError(
                f"the last update of epoch {epoch + 1} left weights that are not finite; "
                "try a lower train.learning_rate or train.clip_norm"
            )
        if not math.isfinite((logs or {}).get("val_loss", 0.0)):
            raise TrainingError(
                f"the loss on the validation utterances is not a number after the last update of "
                f"epoch {epoch + 1}; try a lower train.learning_rate, and look for a broken "
                "recording among these utterances if that does not help"
            )


def _cause(batch: Mapping[str, np.ndarray]) -> str:
    """Which utterances of a batch are to blame, and what helps."""
    ids = [id.decode() for id in batch["id"]]
    for name, values in batch.items():
        if values.dtype.kind != "f":
            continue
        rows = np.flatnonzero(~np.isfinite(values.reshape(len(ids), -1)).all(axis=1))
        if len(rows):
            return (
                f"the `{name}` of {_some([ids[row] for row in rows])} is not finite; "
                "check these recordings and prepare the data set again"
            )
    return (
        f"it holds {_some(ids)}; try a lower train.learning_rate, "
        "and look at these utterances if that does not help"
    )


def _some(ids: Sequence[str]) -> str:
    """The first of many.

    >>> _some(["a", "b", "c", "d", "e", "f", "g"])
    'a, b, c, d, e and 2 more'
    """
    more = f" and {len(ids) - MOST_IDS} more" if len(ids) > MOST_IDS else ""
    return ", ".join(ids[:MOST_IDS]) + more
