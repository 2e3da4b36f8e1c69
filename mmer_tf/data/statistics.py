"""What a training split says about a feature: its mean and deviation."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf

from mmer_tf.data.features import FEATURES
from mmer_tf.data.manifest import Dataset, DatasetError, read_dataset
from mmer_tf.data.schema import parse
from mmer_tf.data.selection import chosen_rows, membership
from mmer_tf.data.shards import read_records, verified_shards


def fit_statistics(
    folder: Path | Dataset, ids: Sequence[str], feature: str
) -> tuple[np.ndarray, np.ndarray]:
    """Mean and deviation of a feature over all frames of some utterances.

    Args:
        folder: a dataset folder, or what `read_dataset` made of it.
        ids: the utterances, those of the training split.
        feature: a stored feature with frames.

    Returns:
        Two float32 arrays of the width of the feature's last axis. A deviation of 0 becomes 1.

    Raises:
        ShardError: a shard is missing or not as it was written.
        DatasetError: unknown ids, a feature that is not stored, or no recording among them.
    """
    dataset = folder if isinstance(folder, Dataset) else read_dataset(folder)
    rows = chosen_rows(dataset, ids)
    shards = verified_shards(dataset, (feature,), rows)
    examples = read_records(shards, membership(dataset, rows))
    examples = examples.map(lambda _, one: parse(one, (feature,)), tf.data.AUTOTUNE)
    count, total, squares = 0, np.zeros(FEATURES[feature].dim), np.zeros(FEATURES[feature].dim)
    shift = None  # close to the mean: sums of squares then lose no digits
    for values in examples.prefetch(tf.data.AUTOTUNE).as_numpy_iterator():
        frames = values[feature][values[f"{feature}_mask"]].astype(np.float64)
        frames = frames.reshape(-1, frames.shape[-1])
        if not len(frames):
            continue
        if shift is None:
            shift = frames.mean(axis=0)
        frames -= shift
        count += len(frames)
        total += frames.sum(axis=0)
        squares += np.square(frames).sum(axis=0)
    if shift is None:
        raise DatasetError(f"{dataset.folder}: no recording among the {len(rows)} utterances")
    offset = total / count
    deviation = np.sqrt(np.maximum(squares / count - np.square(offset), 0.0))
    deviation[deviation < 1e-8] = 1.0
    return (shift + offset).astype(np.float32), deviation.astype(np.float32)
