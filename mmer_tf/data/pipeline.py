"""From a dataset folder to batches of the data contract, in an order that a seed decides."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from mmer_tf.data.augment import WaveformAugmentation
from mmer_tf.data.manifest import Dataset, DatasetError, read_dataset
from mmer_tf.data.order import draw_seed, epoch_reader, length_buckets
from mmer_tf.data.reader import BatchReader
from mmer_tf.data.schema import TOKENS
from mmer_tf.data.selection import chosen_rows, columns_of, spread
from mmer_tf.data.words import WORD_OF_TOKEN, words_of_tokens
from mmer_tf.text.tokenizer import Tokenizer
from mmer_tf.types import MAX_SECONDS, Seconds


def make_dataset(
    folder: Path | Dataset,
    ids: Sequence[str],
    features: Sequence[str],
    labels: Sequence[str],
    *,
    batch_size: int,
    training: bool,
    tokenizer: Tokenizer | None = None,
    cleaning: str = "sentences",
    max_seconds: Seconds = MAX_SECONDS,
    seed: int = 0,
    first_epoch: int = 0,
    epochs: int | None = None,
    cache: bool = False,
    copies: int = 0,
    waveform_augment: Mapping[str, Any] | None = None,
    soft_labels: bool = False,
    class_weights: Mapping[str, float] | None = None,
) -> tf.data.Dataset:
    """Read some utterances of a dataset folder in padded batches of similar length.

    Clips longer than `max_seconds` are cropped: in the middle, or at random in training. The
    order, the crops, the takes and so the batches of an epoch depend on `seed` and the number of
    the epoch alone: a training resumed at `first_epoch` sees what it would have seen.

    Args:
        folder: a dataset folder, or what `read_dataset` made of it.
        ids: the utterances to read.
        features: names of stored features; `token_ids` for the tokens made by `prepare`,
            `word_spans` for the word timings, `word_of_token` for the word of each token.
        labels: the classes in the order of their indices.
        batch_size: utterances a batch; the last of each length bucket may be smaller.
        training: shuffle, crop at random, and repeat; otherwise one pass in a fixed order.
        tokenizer: makes `token_ids` and `token_mask` of the cleaned transcripts, unless the
            shards hold them, made by the same tokenizer.
        cleaning: style of `text.normalise.clean`.
        max_seconds: longest clip.
        seed: of the order, the crops and the takes.
        first_epoch: number of the first epoch, from 0.
        epochs: number after the last epoch; None goes on for ever. Only in training.
        copies: number of stored perturbed copies of each recording. In training every row draws in
            every epoch whether all its features come from the recording or from one of them.
        waveform_augment: arguments of `WaveformAugmentation`. In training all features of
            recordings are then computed from the stored `waveform`, changed anew in every epoch;
            None, and arguments that change nothing, take what is stored.
        cache: keep the records in memory even if they need more than 512 MB.
        soft_labels: give `soft_label`, the shares of votes; one-hot where there were no votes.
        class_weights: class -> `sample_weight` of its utterances.

    Returns:
        Batches: `id`, `transcript` (cleaned): string (batch,); `label`: int32 (batch,);
        `has_speech`, `has_text`: bool (batch,); and as asked for, `<feature>` float32
        (batch, frames, ...) with `<feature>_mask` bool (batch, frames), `waveform` with
        `num_samples`, `mel_image` uint8 (batch, 224, 224, 3), `token_ids` with `token_mask`,
        `word_spans` int32 (batch, words, 2) in 10 ms, -1 after the last word and outside the
        crop, `word_of_token` int32 (batch, tokens), -1 for a token of no timed word.

    Raises:
        ShardError: a shard is missing or not as it was written.
        DatasetError: unknown ids, labels, or features that are not stored; `word_of_token`
            without a tokenizer; a feature that cannot be computed from a changed waveform.
        ValueError: arguments that `WaveformAugmentation` refuses.
    """
    dataset = folder if isinstance(folder, Dataset) else read_dataset(folder)
    rows = chosen_rows(dataset, ids)
    columns = columns_of(
        dataset,
        rows,
        labels,
        cleaning=cleaning,
        soft_labels=soft_labels,
        class_weights=class_weights,
    )
    if by_token := WORD_OF_TOKEN in features:
        if tokenizer is None:
            raise DatasetError(f"`{WORD_OF_TOKEN}` needs a tokenizer: name the one of the tokens")
        owners = words_of_tokens(rows, tokenizer, cleaning)
        columns[WORD_OF_TOKEN] = spread(dataset, rows, owners)
        features = [name for name in features if name != WORD_OF_TOKEN]
    if tokenizer is not None and _holds_tokens(dataset, tokenizer, cleaning):
        features, tokenizer = (*features, TOKENS), None
    augmentation = WaveformAugmentation(**waveform_augment or {})
    reader = BatchReader(
        dataset,
        features,
        training=training,
        max_seconds=max_seconds,
        copies=copies if training else 0,
        augmentation=augmentation if training and augmentation.changes_something else None,
    )
    read = epoch_reader(
        dataset,
        reader.families,
        rows,
        batch_size=batch_size,
        seed=seed,
        shuffle=training,
        cache=cache,
    )
    columns = {name: tf.constant(values) for name, values in columns.items()}

    def finished(epoch: tf.Tensor, *batch: tf.Tensor) -> dict[str, tf.Tensor]:
        numbers, *serialized = read.records(*batch)
        values = {name: tf.gather(column, numbers) for name, column in columns.items()}
        values |= reader(serialized, draw_seed(seed, epoch, values.pop("draw")))
        if tokenizer is not None:
            values["token_ids"], values["token_mask"] = tokenizer(values["transcript"])
        if by_token:
            tokens = tf.shape(values["token_ids"])[1]
            values[WORD_OF_TOKEN] = values[WORD_OF_TOKEN][:, :tokens]
        return values

    def one_epoch(epoch: tf.Tensor) -> tf.data.Dataset:
        same = tf.data.Dataset.from_tensors(epoch).repeat()
        batches = tf.data.Dataset.zip((same, read.batches(epoch)))
        return batches.map(lambda epoch, batch: (epoch, *batch))

    per_epoch = batches_per_epoch(dataset, ids, batch_size)
    if training:
        last = np.iinfo(np.int64).max if epochs is None else epochs
        batches = tf.data.Dataset.range(first_epoch, last).flat_map(one_epoch)
        number = None if epochs is None else max(0, epochs - first_epoch) * per_epoch
    else:
        batches, number = one_epoch(tf.constant(0, tf.int64)), per_epoch
    known = tf.data.INFINITE_CARDINALITY if number is None else number
    batches = batches.map(finished, num_parallel_calls=tf.data.AUTOTUNE)
    batches = batches.apply(tf.data.experimental.assert_cardinality(known))
    return batches.prefetch(tf.data.AUTOTUNE)


def as_fit_batch(batch: Mapping[str, tf.Tensor], inputs: Sequence[str]) -> tuple[Any, ...]:
    """Part a batch into what `keras.Model.fit` takes: inputs, target, and weights if any.

    Args:
        batch: of `make_dataset`.
        inputs: names of the model's inputs; Keras refuses more than these.
    """
    target = batch.get("soft_label", batch["label"])
    weight = (batch["sample_weight"],) if "sample_weight" in batch else ()
    return ({name: batch[name] for name in inputs}, target, *weight)


def batches_per_epoch(folder: Path | Dataset, ids: Sequence[str], batch_size: int) -> int:
    """Number of batches that `make_dataset` gives in one pass."""
    dataset = folder if isinstance(folder, Dataset) else read_dataset(folder)
    counts = np.bincount(length_buckets(chosen_rows(dataset, ids), batch_size))
    return int(np.ceil(counts / batch_size).sum())


def _holds_tokens(dataset: Dataset, tokenizer: Tokenizer, cleaning: str) -> bool:
    family = dataset.families.get(TOKENS)
    if family is None:
        return False
    made_by = (family.parameters["digest"], family.parameters["cleaning"])
    return made_by == (tokenizer.digest, cleaning)
