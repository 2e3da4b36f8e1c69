"""In which order records are read and which of them share a batch, as a seed decides."""

from collections.abc import Callable, Sequence

import numpy as np
import tensorflow as tf

from mmer_tf.data.manifest import Dataset
from mmer_tf.data.selection import membership
from mmer_tf.data.shards import read_records, verified_shards
from mmer_tf.types import Utterance

MOST_BUCKETS = 6
BATCHES_PER_BUCKET = 4
"""A bucket holds at least so many batches, since its last one is seldom full."""

SHUFFLE_BYTES = 512 * 2**20
"""Memory for the records among which the next is drawn; most corpora fit whole."""


def draw_seed(seed: int, epoch: tf.Tensor, draw: tf.Tensor | int = 0) -> tf.Tensor:
    """A seed of its own for each epoch and each of 2³² draws in it."""
    return tf.stack([tf.constant(seed, tf.int64), epoch * 2**32 + draw])


def length_buckets(rows: Sequence[Utterance], batch_size: int) -> np.ndarray:
    """Number of the length bucket of each utterance; the buckets are about equally full."""
    lengths = np.array([row.duration or 0.0 for row in rows])
    if not lengths.any():
        lengths = np.array([len(row.transcript) for row in rows])
    count = max(1, min(MOST_BUCKETS, len(rows) // (BATCHES_PER_BUCKET * batch_size)))
    bounds = np.quantile(lengths, np.arange(1, count) / count)
    return np.searchsorted(bounds, lengths, side="left")


def epoch_reader(
    dataset: Dataset,
    families: Sequence[str],
    rows: Sequence[Utterance],
    *,
    seed: int,
    shuffle: bool,
    cache: bool,
) -> Callable[[tf.Tensor], tf.data.Dataset]:
    """What reads the records of one epoch.

    Args:
        dataset: the data set.
        families: names of the families to read.
        rows: the utterances to read.
        seed: of the order.
        shuffle: read in an order that seed and epoch decide; otherwise in that of the records.
        cache: keep the records in memory after the first pass. Shards then keep their order.

    Returns:
        Number of the epoch -> the number of each record, and its serialised example in each
        family.

    Raises:
        ShardError: a shard is missing or not as it was written.
        DatasetError: a family is not stored.
    """
    shards = verified_shards(dataset, families, rows)
    chosen = tf.constant(membership(dataset, rows))
    buffer = _shuffle_buffer(dataset, families, len(rows))

    def records(shards: np.ndarray | tf.Tensor) -> tf.data.Dataset:
        return read_records(shards).filter(lambda record, *_: chosen[record])

    fixed = records(shards).cache() if cache else records(shards)

    def read(epoch: tf.Tensor) -> tf.data.Dataset:
        if not shuffle:
            return fixed
        epoch_seed = draw_seed(seed, epoch)
        if cache:
            order = fixed
        else:
            order = records(tf.random.experimental.stateless_shuffle(shards, epoch_seed))
        # `shuffle` mixes the program's global seed into its own, and fails at a global seed of 0
        # with a tensor for its own. Here, in the graph of one epoch, this sets the graph's alone.
        tf.random.set_seed(1)
        draw = tf.random.stateless_uniform((), epoch_seed, maxval=2**62, dtype=tf.int64)
        return order.shuffle(buffer, seed=draw, reshuffle_each_iteration=False)

    return read


def _shuffle_buffer(dataset: Dataset, families: Sequence[str], count: int) -> int:
    size = sum(shard.bytes for family in families for shard in dataset.families[family].shards)
    return int(np.clip(SHUFFLE_BYTES * len(dataset.records) // max(1, size), 256, max(256, count)))
