"""From a dataset folder to batches of the data contract, in an order that a seed decides.

A record is recognised by its number, so no id is looked up while reading: what a training needs
to know about an utterance (class, cleaned transcript, length bucket) comes from `utterances.jsonl`
as one constant tensor each, indexed by that number.
"""

import zlib
from collections.abc import Mapping, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from mmer_tf.data.families import copy_name, stored_layout
from mmer_tf.data.features import FEATURES, Layout
from mmer_tf.data.manifest import Dataset, DatasetError, read_dataset
from mmer_tf.data.schema import TOKENS, parse
from mmer_tf.data.shards import read_records, verified_shards
from mmer_tf.data.words import WORD_OF_TOKEN, WORD_SPANS, crop_spans, words_of_tokens
from mmer_tf.data.writer import UTTERANCES
from mmer_tf.text.normalise import clean
from mmer_tf.text.tokenizer import Tokenizer
from mmer_tf.types import MAX_SECONDS, Seconds, Utterance

MOST_BUCKETS = 6
BATCHES_PER_BUCKET = 4
"""A bucket holds at least so many batches, since its last one is seldom full."""

SHUFFLE_BYTES = 512 * 2**20
"""Memory for the records among which the next is drawn; most corpora fit whole."""


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
    soft_labels: bool = False,
    class_weights: Mapping[str, float] | None = None,
) -> tf.data.Dataset:
    """Read some utterances of a dataset folder in padded batches of similar length.

    Clips longer than `max_seconds` are cropped: in the middle, or at random in training. The
    order, the crops and so the batches of an epoch depend on `seed` and the number of the epoch
    alone: a training resumed at `first_epoch` sees what it would have seen.

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
        seed: of the order and of the crops.
        first_epoch: number of the first epoch, from 0.
        epochs: number after the last epoch; None goes on for ever. Only in training.
        copies: number of stored perturbed copies of each recording. In training every row draws in
            every epoch whether all its features come from the recording or from one of them.
        cache: keep the records in memory after the first pass. Shards then keep their order.
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
            without a tokenizer.
    """
    dataset = folder if isinstance(folder, Dataset) else read_dataset(folder)
    rows = _chosen(dataset, ids)
    columns = _columns(dataset, rows, labels, cleaning, soft_labels, class_weights)
    if by_token := WORD_OF_TOKEN in features:
        if tokenizer is None:
            raise DatasetError(f"`{WORD_OF_TOKEN}` needs a tokenizer: name the one of the tokens")
        owners = words_of_tokens(rows, tokenizer, cleaning)
        columns[WORD_OF_TOKEN] = _spread(dataset, rows, owners)
        features = [name for name in features if name != WORD_OF_TOKEN]
    if tokenizer is not None and _holds_tokens(dataset, tokenizer, cleaning):
        features, tokenizer = (*features, TOKENS), None
    choices, layouts = _choices(dataset, features, copies := copies if training else 0)
    families = tuple(chain.from_iterable(choices.values()))
    shards = verified_shards(dataset, families, rows)
    columns["bucket"] = _spread(dataset, rows, _buckets(rows, batch_size))
    columns = {name: tf.constant(values) for name, values in columns.items()}
    chosen = tf.constant(_spread(dataset, rows, np.ones(len(rows), bool)))
    fixed = read_records(shards).filter(lambda record, *_: chosen[record])
    fixed = fixed.cache() if cache else fixed

    def read(epoch: tf.Tensor) -> tf.data.Dataset:
        if not training:
            return fixed
        if cache:
            order = fixed
        else:
            shuffled = tf.random.experimental.stateless_shuffle(shards, _seed(seed, epoch))
            order = read_records(shuffled).filter(lambda record, *_: chosen[record])
        buffer = _shuffle_buffer(dataset, families, len(rows))
        # `shuffle` mixes the program's global seed into its own, and fails at a global seed of 0
        # with a tensor for its own. Here, in the graph of one epoch, this sets the graph's alone.
        tf.random.set_seed(1)
        draw = tf.random.stateless_uniform((), _seed(seed, epoch), maxval=2**62, dtype=tf.int64)
        return order.shuffle(buffer, seed=draw, reshuffle_each_iteration=False)

    def example(
        epoch: tf.Tensor, record: tf.Tensor, *serialized: tf.Tensor
    ) -> dict[str, tf.Tensor]:
        values = {name: column[record] for name, column in columns.items()}
        draws = _seed(seed, epoch, values["draw"])
        copy = 0
        if copies:
            other = tf.random.experimental.stateless_fold_in(draws, 1)
            copy = tf.random.stateless_uniform((), other, maxval=copies + 1, dtype=tf.int32)
        stored: dict[str, tf.Tensor] = {}
        candidates = iter(serialized)
        for name, its_families in choices.items():
            one = tf.stack(list(islice(candidates, len(its_families))))
            one = one[copy if len(its_families) > 1 else 0]
            stored |= parse(one, () if name == UTTERANCES else (name,), layouts)
        share = tf.random.stateless_uniform((), draws) if training else 0.5
        start = share * tf.maximum(stored["duration"] - max_seconds, 0.0)
        values |= {"id": stored["id"], "has_speech": stored["has_speech"]}
        for name in features:
            values |= _cropped(name, stored, start, max_seconds, layouts)
        return values

    def one_epoch(epoch: tf.Tensor) -> tf.data.Dataset:
        examples = read(epoch).map(
            lambda *record: example(epoch, *record), num_parallel_calls=tf.data.AUTOTUNE
        )
        return examples.group_by_window(
            key_func=lambda values: tf.cast(values["bucket"], tf.int64),
            reduce_func=lambda _, window: _padded(window, batch_size),
            window_size=batch_size,
        )

    def finish(batch: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        batch = {name: v for name, v in batch.items() if name not in ("bucket", "draw")}
        if tokenizer is not None:
            batch["token_ids"], batch["token_mask"] = tokenizer(batch["transcript"])
        if by_token:
            tokens = tf.shape(batch["token_ids"])[1]
            batch[WORD_OF_TOKEN] = batch[WORD_OF_TOKEN][:, :tokens]
        return batch

    per_epoch = batches_per_epoch(dataset, ids, batch_size)
    if training:
        last = np.iinfo(np.int64).max if epochs is None else epochs
        batches = tf.data.Dataset.range(first_epoch, last).flat_map(one_epoch)
        number = None if epochs is None else max(0, epochs - first_epoch) * per_epoch
    else:
        batches, number = one_epoch(tf.constant(0, tf.int64)), per_epoch
    known = tf.data.INFINITE_CARDINALITY if number is None else number
    batches = batches.map(finish, num_parallel_calls=tf.data.AUTOTUNE)
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
    counts = np.bincount(_buckets(_chosen(dataset, ids), batch_size))
    return int(np.ceil(counts / batch_size).sum())


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
    rows = _chosen(dataset, ids)
    shards = verified_shards(dataset, (feature,), rows)
    chosen = tf.constant(_spread(dataset, rows, np.ones(len(rows), bool)))
    examples = read_records(shards).filter(lambda record, _: chosen[record])
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


def _chosen(dataset: Dataset, ids: Sequence[str]) -> list[Utterance]:
    """The utterances with these ids, in the order of their records."""
    wanted = set(ids)
    rows = [row for row in dataset.rows if row.id in wanted]
    if len(rows) < len(wanted):
        unknown = min(wanted - {row.id for row in rows})
        raise DatasetError(f"{dataset.folder} holds no utterance '{unknown}'")
    if not rows:
        raise DatasetError(f"{dataset.folder}: no utterance was chosen")
    return rows


def _choices(
    dataset: Dataset, features: Sequence[str], copies: int
) -> tuple[dict[str, tuple[str, ...]], dict[str, Layout]]:
    """The families between which a row of each feature is chosen, and the features' layouts.

    Those of recordings come last: durations and word timings must be those of the chosen copy.
    """
    own = [name for name in features if name != WORD_SPANS]
    layouts = {name: stored_layout(dataset, name) for name in own if name != TOKENS}
    heard = [name for name in layouts if layouts[name].of_recording]
    choices = {name: (name,) for name in own if name not in heard}
    choices |= {name: tuple(copy_name(name, n) for n in range(copies + 1)) for name in heard}
    return choices or {UTTERANCES: (UTTERANCES,)}, layouts


def _holds_tokens(dataset: Dataset, tokenizer: Tokenizer, cleaning: str) -> bool:
    family = dataset.families.get(TOKENS)
    if family is None:
        return False
    made_by = (family.parameters["digest"], family.parameters["cleaning"])
    return made_by == (tokenizer.digest, cleaning)


def _buckets(rows: Sequence[Utterance], batch_size: int) -> np.ndarray:
    """Number of the length bucket of each utterance; the buckets are about equally full."""
    lengths = np.array([row.duration or 0.0 for row in rows])
    if not lengths.any():
        lengths = np.array([len(row.transcript) for row in rows])
    count = max(1, min(MOST_BUCKETS, len(rows) // (BATCHES_PER_BUCKET * batch_size)))
    bounds = np.quantile(lengths, np.arange(1, count) / count)
    return np.searchsorted(bounds, lengths, side="left")


def _columns(
    dataset: Dataset,
    rows: Sequence[Utterance],
    labels: Sequence[str],
    cleaning: str,
    soft_labels: bool,
    class_weights: Mapping[str, float] | None,
) -> dict[str, np.ndarray]:
    """What is known about each utterance beside its record, indexed by record."""
    index = {label: i for i, label in enumerate(labels)}
    unknown = sorted({row.label for row in rows} - set(index))
    if unknown:
        raise DatasetError(
            f"{dataset.folder}: label '{unknown[0]}' is not one of {', '.join(labels)}"
        )
    transcripts = [clean(row.transcript, cleaning) for row in rows]
    columns = {
        "label": np.int32([index[row.label] for row in rows]),
        "transcript": np.array([text.encode() for text in transcripts], object),
        "has_text": np.array([bool(text) for text in transcripts]),
        "draw": np.int64([zlib.crc32(row.id.encode()) for row in rows]),
    }
    if soft_labels:
        votes = [row.soft_label or {row.label: 1.0} for row in rows]
        columns["soft_label"] = np.float32([[v.get(name, 0.0) for name in labels] for v in votes])
    if class_weights is not None:
        columns["sample_weight"] = np.float32([class_weights[row.label] for row in rows])
    return {name: _spread(dataset, rows, values) for name, values in columns.items()}


def _spread(dataset: Dataset, rows: Sequence[Utterance], values: np.ndarray) -> np.ndarray:
    """Values of some utterances as an array over all records, empty elsewhere."""
    blank = b"" if values.dtype == object else 0
    spread = np.full((len(dataset.records), *values.shape[1:]), blank, values.dtype)
    spread[[dataset.records[row.id] for row in rows]] = values
    return spread


def _shuffle_buffer(dataset: Dataset, families: Sequence[str], count: int) -> int:
    size = sum(shard.bytes for family in families for shard in dataset.families[family].shards)
    return int(np.clip(SHUFFLE_BYTES * len(dataset.records) // max(1, size), 256, max(256, count)))


def _seed(seed: int, epoch: tf.Tensor, draw: tf.Tensor | int = 0) -> tf.Tensor:
    """A seed of its own for each epoch and each of 2³² draws in it."""
    return tf.stack([tf.constant(seed, tf.int64), epoch * 2**32 + draw])


def _cropped(
    name: str,
    stored: Mapping[str, tf.Tensor],
    start: tf.Tensor,
    seconds: Seconds,
    layouts: Mapping[str, Layout] = FEATURES,
) -> dict[str, tf.Tensor]:
    """The entries of one feature, from `start` and no longer than `seconds`."""
    if name == TOKENS:
        return {"token_ids": stored["token_ids"], "token_mask": stored["token_mask"]}
    if name == WORD_SPANS:
        return {WORD_SPANS: crop_spans(stored[WORD_SPANS], start, seconds)}
    layout, mask = layouts[name], f"{name}_mask"
    if layout.is_image:
        return {name: stored[name]}
    rate = layout.frames_per_second
    if rate is None:
        return {name: stored[name], mask: stored[mask]}
    first = tf.cast(start * rate, tf.int32)
    crop = slice(first, first + int(seconds * rate))
    if name == "waveform":
        waveform = stored[name][crop]
        return {name: waveform, "num_samples": tf.minimum(stored["num_samples"], tf.size(waveform))}
    return {name: stored[name][crop], mask: stored[mask][crop]}


def _padded(window: tf.data.Dataset, batch_size: int) -> tf.data.Dataset:
    values = dict.fromkeys(window.element_spec)
    if WORD_SPANS in values:
        values[WORD_SPANS] = tf.constant(-1, tf.int32)
    return window.padded_batch(batch_size, padding_values=values)
