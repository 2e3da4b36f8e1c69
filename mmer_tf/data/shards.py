"""Shard files on their way into tf.data: checked before they are read, whole records at a time."""

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
import tensorflow as tf

from mmer_tf.data.manifest import SHARDS, Dataset, DatasetError, ShardFile
from mmer_tf.data.writer import sha256
from mmer_tf.remote import RemotePath
from mmer_tf.types import Utterance


class ShardError(DatasetError):
    """A shard file that is missing, truncated or altered."""


def verified_shards(
    dataset: Dataset, families: Sequence[str], rows: Sequence[Utterance]
) -> np.ndarray:
    """Check the shards that hold some utterances.

    Args:
        dataset: the data set.
        families: names of the families to read.
        rows: the utterances.

    Returns:
        For each shard the number of its first record, that after its last, and one path a family,
        all as text.

    Raises:
        ShardError: a shard is missing or not as it was written.
        DatasetError: a family is not stored.
    """
    for family in families:
        if family not in dataset.families:
            stored = ", ".join(dataset.features) or "none"
            raise DatasetError(f"{dataset.folder} holds no '{family}'. Stored: {stored}.")
    wanted = np.array([dataset.records[row.id] for row in rows])
    shards, first = [], 0
    for files in zip(*(dataset.families[family].shards for family in families), strict=True):
        last = first + files[0].count
        if ((first <= wanted) & (wanted < last)).any():
            paths = [_verified(dataset.folder / SHARDS / shard.file, shard) for shard in files]
            shards.append([str(first), str(last), *map(str, paths)])
        first = last
    return np.array(shards)


def _verified(file: Path, shard: ShardFile) -> Path:
    fix = "delete the folder or prepare the corpus again with --overwrite"
    if not file.is_file():
        raise ShardError(f"{file} is missing; {fix}")
    state = file.stat()
    if state.st_size != shard.bytes:
        raise ShardError(f"{file} has {state.st_size} bytes instead of {shard.bytes}; {fix}")
    # A store keeps checksums of its own, and to compute ours would fetch everything once more.
    if isinstance(file, RemotePath):
        return file
    if _checksum(file, state.st_mtime_ns, state.st_size) != shard.sha256:
        raise ShardError(f"{file} was altered, its checksum differs; {fix}")
    return file


@lru_cache(maxsize=4096)
def _checksum(file: Path, modified: int, size: int) -> str:
    """Checksum, computed once for a state of the file."""
    del modified, size
    return sha256(file)


def read_records(shards: np.ndarray | tf.Tensor, chosen: np.ndarray) -> tf.data.Dataset:
    """The number of each chosen record, and its serialised example in each family.

    Args:
        shards: what `verified_shards` gives, in any order.
        chosen: whether each record of the data set is one of them, bool (records,).
    """
    families = shards.shape[1] - 2
    wanted = tf.constant(chosen)

    def one_shard(shard: tf.Tensor) -> tf.data.Dataset:
        first, last = tf.unstack(tf.strings.to_number(shard[:2], tf.int64))
        parts = [
            tf.data.TFRecordDataset(shard[2 + k], buffer_size=1 << 20) for k in range(families)
        ]
        flags = tf.data.Dataset.from_tensor_slices(wanted[first:last])
        return tf.data.Dataset.zip((flags, tf.data.Dataset.range(first, last), *parts))

    records = tf.data.Dataset.from_tensor_slices(shards).flat_map(one_shard)
    # Functions that pass on what they are given are not called: one that looked the number up
    # would cost several times what reading a record does.
    records = records.filter(lambda flag, *_: flag)
    return records.map(lambda _, *record: record)
