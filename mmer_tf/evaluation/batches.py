"""The utterances that a bundle is asked about, as its model reads them."""

from collections.abc import Sequence
from pathlib import Path

import tensorflow as tf

from mmer_tf.bundle import Bundle
from mmer_tf.data.manifest import Dataset
from mmer_tf.data.pipeline import make_dataset

BATCH_SIZE = 32


def read_batches(bundle: Bundle, data: Path | Dataset, ids: Sequence[str]) -> tf.data.Dataset:
    """One pass over utterances of a prepared data set, from its shards.

    Raises:
        DatasetError: unknown ids or classes, or features that are not stored.
        ShardError: a shard is missing or not as it was written.
    """
    return make_dataset(
        data,
        ids,
        features=bundle.features,
        labels=bundle.labels,
        tokenizer=bundle.tokenizer,
        cleaning=bundle.recipe.data.cleaning,
        max_seconds=bundle.recipe.data.max_seconds,
        batch_size=BATCH_SIZE,
        training=False,
    )
