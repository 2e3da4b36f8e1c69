"""This package's side of reading.py: batches from shards, and from recordings in every epoch.

Started by contest.py as `memory_FEATURE`, `shards_FEATURE` or `recordings_FEATURE`.
"""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
from contender import Maker, Work, contend
from reading_corpus import BATCH_SIZE, EPOCHS, FEATURES, batches_of, means, read_corpus

from mmer_tf import cli

Batch = tuple[list[str], np.ndarray, np.ndarray]
"""Ids; features (batch, frames, …); mask (batch, frames)."""


def make_shards(feature: str, work: Path, *, in_memory: bool) -> Work:
    """The tf.data pipeline, as a whole training reads it from opening the data set on."""
    cli.import_tensorflow()
    from mmer_tf.data import order
    from mmer_tf.data.manifest import read_dataset
    from mmer_tf.data.pipeline import make_dataset

    if not in_memory:
        order.MEMORY_BYTES = 0

    def batches(epochs: int):
        dataset = read_dataset(work / "data")
        return make_dataset(
            dataset,
            list(dataset.records),
            (feature,),
            dataset.labels,
            batch_size=BATCH_SIZE,
            training=True,
            epochs=epochs,
        )

    def run() -> None:
        for _ in batches(EPOCHS):
            pass

    def one_epoch() -> Iterator[Batch]:
        for batch in batches(1):
            ids = [id.decode() for id in batch["id"].numpy()]
            yield ids, batch[feature].numpy(), batch[f"{feature}_mask"].numpy()

    return Work(run, {"means": means(one_epoch())}, {})


def make_recordings(feature: str, work: Path) -> Work:
    """Decoded anew in every epoch, and the feature computed for each batch."""
    cli.import_tensorflow()
    import tensorflow as tf

    from mmer_tf.audio.decode import decode
    from mmer_tf.data.features import FEATURES as LAYERS

    layer_class = LAYERS[feature].layer
    assert layer_class is not None
    signature = [tf.TensorSpec((None, None)), tf.TensorSpec((None,), tf.int32)]
    compute = tf.function(layer_class(), input_signature=signature)
    corpus = read_corpus(work)

    def one_epoch() -> Iterator[Batch]:
        for rows in batches_of(corpus):
            clips = [decode(row.file) for row in rows]
            num_samples = np.array([len(clip) for clip in clips], np.int32)
            waveform = np.zeros((len(clips), num_samples.max()), np.float32)
            for target, clip in zip(waveform, clips, strict=True):
                target[: len(clip)] = clip
            values, mask = compute(waveform, num_samples)
            yield [row.id for row in rows], values.numpy(), mask.numpy()

    def run() -> None:
        for _ in one_epoch():
            pass

    return Work(run, {"means": means(one_epoch())}, {})


MAKERS: dict[str, Maker] = {
    f"{way}_{name}": partial(make_shards, name, in_memory=way == "memory")
    for way in ("memory", "shards")
    for name in FEATURES
}
MAKERS |= {f"recordings_{name}": partial(make_recordings, name) for name in FEATURES}


if __name__ == "__main__":
    cli.silence_libraries(verbose=False)
    contend(MAKERS)
