"""In which order records are read and which of them share a batch, as a seed decides."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import tensorflow as tf

from mmer_tf.data.manifest import Dataset
from mmer_tf.data.selection import membership, spread
from mmer_tf.data.shards import read_records, verified_shards
from mmer_tf.types import Utterance

MOST_BUCKETS = 6
BATCHES_PER_BUCKET = 4
"""A bucket holds at least so many batches, since its last one is seldom full."""

MEMORY_BYTES = 512 * 2**20
"""For records that are kept in memory, if all of them fit, as those of most corpora do; else for
those among which the next is drawn."""


def draw_seed(seed: int, epoch: tf.Tensor, draw: tf.Tensor | int = 0) -> tf.Tensor:
    """A seed of its own for each epoch and each of 2³² draws in it: (2,), or (draws, 2)."""
    number = epoch * 2**32 + draw
    return tf.stack([tf.fill(tf.shape(number), tf.constant(seed, tf.int64)), number], axis=-1)


def length_buckets(rows: Sequence[Utterance], batch_size: int) -> np.ndarray:
    """Number of the length bucket of each utterance; the buckets are about equally full."""
    lengths = np.array([row.duration or 0.0 for row in rows])
    if not lengths.any():
        lengths = np.array([len(row.transcript) for row in rows])
    count = max(1, min(MOST_BUCKETS, len(rows) // (BATCHES_PER_BUCKET * batch_size)))
    bounds = np.quantile(lengths, np.arange(1, count) / count)
    return np.searchsorted(bounds, lengths, side="left")


class EpochReader(Protocol):
    """Reads batch by batch: `batches(epoch)`, each element of which goes through `records`."""

    def batches(self, epoch: tf.Tensor) -> tf.data.Dataset:
        """The batches of an epoch, by its number."""

    def records(self, *batch: tf.Tensor) -> tuple[tf.Tensor, ...]:
        """Number of each record of a batch, int64 (batch,), and serialised examples, (batch,) in
        each family."""


def epoch_reader(
    dataset: Dataset,
    families: Sequence[str],
    rows: Sequence[Utterance],
    *,
    batch_size: int,
    seed: int,
    shuffle: bool,
    cache: bool,
) -> EpochReader:
    """What reads the records of some utterances in batches of similar length.

    Args:
        dataset: the data set.
        families: names of the families to read.
        rows: the utterances to read, in the order of their records.
        batch_size: records a batch; the last of each length bucket may be smaller.
        seed: of the order.
        shuffle: read in an order that seed and epoch decide; otherwise in one that is fixed.
        cache: keep the records in memory, however large they are.

    Raises:
        ShardError: a shard is missing or not as it was written.
        DatasetError: a family is not stored.
    """
    shards = verified_shards(dataset, families, rows)
    chosen = membership(dataset, rows)
    buckets = length_buckets(rows, batch_size)
    size = sum(shard.bytes for family in families for shard in dataset.families[family].shards)
    size_of_record = max(1, size // len(dataset.records))
    if cache or size_of_record * len(rows) <= MEMORY_BYTES:
        records = read_records(shards, chosen).batch(len(rows)).get_single_element()
        return _InMemory(records, buckets, batch_size, seed if shuffle else None)
    buffer = max(256, MEMORY_BYTES // size_of_record)
    by_record = spread(dataset, rows, buckets)
    return _FromShards(shards, chosen, by_record, batch_size, seed if shuffle else None, buffer)


class _InMemory:
    """Records that were read once; an epoch is an order of their numbers."""

    def __init__(
        self,
        records: tuple[tf.Tensor, ...],
        buckets: np.ndarray,
        batch_size: int,
        seed: int | None,
    ):
        count = len(buckets)
        self._records = records
        self._buckets = tf.constant(buckets)
        self._seed = seed
        sizes = np.bincount(buckets)
        starts = [
            np.arange(end - size, end, batch_size)
            for end, size in zip(np.cumsum(sizes), sizes, strict=True)
        ]
        splits = np.append(np.concatenate(starts), count)
        full = np.diff(splits) == batch_size
        self._splits = tf.constant(splits, tf.int64)
        self._last = tf.constant(np.where(full, 0, count * np.cumsum(~full)))

    def batches(self, epoch: tf.Tensor) -> tf.data.Dataset:
        order = tf.range(tf.size(self._buckets))
        if self._seed is not None:
            order = tf.random.experimental.stateless_shuffle(order, draw_seed(self._seed, epoch))
        # Batches come in the order in which they would fill, and those that never do at the end.
        # So the lengths take turns; drawn at random, which one came next cost 0.03 of UA on the
        # synthetic corpus, where the emotions differ in length.
        drawn = tf.argsort(tf.gather(self._buckets, order), stable=True)
        filled = tf.cast(tf.gather(drawn, self._splits[1:] - 1), tf.int64)
        turns = tf.argsort(filled + self._last)
        batches = tf.RaggedTensor.from_row_splits(tf.gather(order, drawn), self._splits)
        batches = tf.gather(batches, turns)
        return tf.data.Dataset.from_tensor_slices((batches,))

    def records(self, *batch: tf.Tensor) -> tuple[tf.Tensor, ...]:
        return tuple(tf.gather(part, batch[0]) for part in self._records)


@dataclass(frozen=True, eq=False)
class _FromShards:
    """Records that are read from their shards in every epoch."""

    shards: np.ndarray
    chosen: np.ndarray
    buckets: np.ndarray
    batch_size: int
    seed: int | None
    buffer: int

    def batches(self, epoch: tf.Tensor) -> tf.data.Dataset:
        buckets = tf.constant(self.buckets, tf.int64)
        records = self._in_order(epoch)
        return records.group_by_window(
            key_func=lambda number, *_: buckets[number],
            reduce_func=lambda _, window: window.batch(self.batch_size),
            window_size=self.batch_size,
        )

    def records(self, *batch: tf.Tensor) -> tuple[tf.Tensor, ...]:
        return batch

    def _in_order(self, epoch: tf.Tensor) -> tf.data.Dataset:
        if self.seed is None:
            return read_records(self.shards, self.chosen)
        seed = draw_seed(self.seed, epoch)
        shards = tf.random.experimental.stateless_shuffle(self.shards, seed)
        # `shuffle` mixes the program's global seed into its own, and fails at a global seed of 0
        # with a tensor for its own. Here, in the graph of one epoch, this sets the graph's alone.
        tf.random.set_seed(1)
        draw = tf.random.stateless_uniform((), seed, maxval=2**62, dtype=tf.int64)
        records = read_records(shards, self.chosen)
        return records.shuffle(self.buffer, seed=draw, reshuffle_each_iteration=False)
