"""Batches hold what the contract says, in an order that a seed decides."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from mmer_tf.audio.decode import decode
from mmer_tf.data.features import FEATURES
from mmer_tf.data.manifest import Dataset, DatasetError
from mmer_tf.data.order import draw_seed, length_buckets
from mmer_tf.data.pipeline import as_fit_batch, batches_per_epoch, make_dataset
from mmer_tf.data.shards import ShardError
from mmer_tf.data.statistics import fit_statistics
from mmer_tf.text.tokenizer import Tokenizer

BATCH = 4
LABELS = ("angry", "sad")


def shard_of(dataset: Dataset, family: str, number: int) -> Path:
    return dataset.folder / "shards" / dataset.families[family].shards[number].file


def batches(dataset: Dataset, ids, features=("log_mel",), **settings):
    settings = {"batch_size": BATCH, "training": False} | settings
    found = make_dataset(dataset, ids, features, LABELS, **settings)
    return list(found.as_numpy_iterator())


def by_id(found):
    rows = {}
    for batch in found:
        for i, identifier in enumerate(batch["id"]):
            rows[identifier.decode()] = {name: values[i] for name, values in batch.items()}
    return rows


def order(found):
    return [[identifier.decode() for identifier in batch["id"]] for batch in found]


def row_of(dataset: Dataset, identifier: str):
    return dataset.rows[dataset.records[identifier]]


@pytest.fixture(params=["in memory", "from shards"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Both ways of reading, of which the size of a data set decides."""
    if request.param == "from shards":
        monkeypatch.setattr("mmer_tf.data.order.MEMORY_BYTES", 0)
    return request.param


def test_one_pass_gives_every_utterance_once(dataset: Dataset, ids, way):
    chosen = ids[::2]
    rows = by_id(found := batches(dataset, chosen))
    assert sorted(rows) == sorted(chosen)
    assert sum(len(batch["id"]) for batch in found) == len(chosen)
    for identifier, row in rows.items():
        assert LABELS[row["label"]] == row_of(dataset, identifier).label


def test_dtypes_and_shapes_are_those_of_the_contract(dataset: Dataset, ids):
    features = ("log_mel", "log_spectrogram", "mel_image", "waveform", "word_spans")
    spec = make_dataset(
        dataset, ids, features, LABELS, batch_size=BATCH, training=True, epochs=1
    ).element_spec
    described = {name: (entry.dtype.name, tuple(entry.shape)) for name, entry in spec.items()}
    assert described == {
        "id": ("string", (None,)),
        "transcript": ("string", (None,)),
        "label": ("int32", (None,)),
        "has_speech": ("bool", (None,)),
        "has_text": ("bool", (None,)),
        "log_mel": ("float32", (None, None, 64)),
        "log_mel_mask": ("bool", (None, None)),
        "log_spectrogram": ("float32", (None, None, 321, 3)),
        "log_spectrogram_mask": ("bool", (None, None)),
        "mel_image": ("uint8", (None, 224, 224, 3)),
        "waveform": ("float32", (None, None)),
        "num_samples": ("int32", (None,)),
        "word_spans": ("int32", (None, None, 2)),
    }


@pytest.mark.parametrize("feature", ["log_mel", "log_spectrogram"])
def test_padding_is_masked_zero_and_the_rest_is_the_feature(dataset: Dataset, ids, feature):
    for identifier, row in by_id(batches(dataset, ids, (feature,))).items():
        mask = row[f"{feature}_mask"]
        frames = mask.sum()
        assert mask[:frames].all() and not mask[frames:].any()
        assert not row[feature][frames:].any()
        if identifier != "text":
            expected = FEATURES[feature].extract(decode(row_of(dataset, identifier).audio))
            np.testing.assert_array_equal(row[feature][:frames], expected.astype(np.float32))


def test_absent_modalities_are_told(dataset: Dataset, ids):
    rows = by_id(batches(dataset, ids))
    assert [name for name, row in rows.items() if not row["has_speech"]] == ["text"]
    assert [name for name, row in rows.items() if not row["has_text"]] == ["u001"]
    assert not rows["text"]["log_mel_mask"].any()
    assert rows["text"]["log_mel_mask"].shape[0] >= 1


def test_text_alone_reads_no_feature(dataset: Dataset, ids, way):
    rows = by_id(batches(dataset, ids, ()))
    assert sorted(rows) == ids
    assert rows["u004"]["transcript"].decode() == "It is word4 here"


def test_tokens_come_from_the_cleaned_transcript(dataset: Dataset, ids):
    tokenizer = Tokenizer.from_texts(["it is here", *(f"word{i}" for i in range(40))], 200, 16)
    rows = by_id(batches(dataset, ids, (), tokenizer=tokenizer))
    row = rows["u004"]
    expected, mask = tokenizer(tf.constant(["It is word4 here"]))
    length = int(mask.numpy().sum())
    assert row["token_ids"][:length].tolist() == expected.numpy()[0][:length].tolist()
    assert row["token_mask"].sum() == length


def test_long_clip_is_cropped_in_the_middle(dataset: Dataset, ids):
    row = by_id(batches(dataset, ids, ("waveform", "log_mel"), max_seconds=1.0))["u003"]
    whole = decode(row_of(dataset, "u003").audio)
    assert row["num_samples"] == 16_000
    np.testing.assert_array_equal(row["waveform"][:16_000], whole[12_000:28_000])
    frames = FEATURES["log_mel"].extract(whole)
    assert row["log_mel_mask"].sum() == 100
    np.testing.assert_array_equal(row["log_mel"][:100], frames[75:175].astype(np.float32))


def test_random_crops_differ_by_epoch_and_agree_between_features(dataset: Dataset, ids, way):
    features = ("waveform", "log_mel")
    starts = []
    whole = decode(row_of(dataset, "u003").audio)
    frames = FEATURES["log_mel"].extract(whole).astype(np.float32)
    for batch in batches(dataset, ["u003"], features, training=True, epochs=5, max_seconds=1.0):
        crop = batch["waveform"][0]
        start = next(k for k in range(24_001) if np.array_equal(whole[k : k + 16_000], crop))
        starts.append(start)
        frame = round(start / 160)
        near = [frames[k : k + 100] for k in (frame - 1, frame, frame + 1) if k >= 0]
        assert any(np.array_equal(batch["log_mel"][0], crop) for crop in near)
    assert len(set(starts)) == 5


def test_number_of_batches_is_known(dataset: Dataset, ids, way):
    for chosen, size in ((ids, 4), (ids, 1), (ids[:17], 3), (ids, 100)):
        expected = batches_per_epoch(dataset, chosen, size)
        found = make_dataset(
            dataset, chosen, ("log_mel",), LABELS, batch_size=size, training=True, epochs=2
        )
        assert found.cardinality() == 2 * expected
        assert sum(1 for _ in found) == 2 * expected
        assert len(batches(dataset, chosen, batch_size=size)) == expected


def test_batches_hold_similar_lengths(dataset: Dataset, ids):
    def padding(found):
        masks = [batch["log_mel_mask"] for batch in found]
        return 1 - sum(mask.sum() for mask in masks) / sum(mask.size for mask in masks)

    assert batches_per_epoch(dataset, ids, BATCH) > np.ceil(len(ids) / BATCH) - 1
    bucketed = padding(batches(dataset, ids, batch_size=2))
    whole = padding(batches(dataset, ids, batch_size=len(ids)))
    assert bucketed < 0.5 * whole


def test_order_depends_on_seed_and_epoch_alone(dataset: Dataset, ids, way):
    settings = {"training": True}
    per_epoch = batches_per_epoch(dataset, ids, BATCH)
    three = order(batches(dataset, ids, seed=5, epochs=3, **settings))
    assert three == order(batches(dataset, ids, seed=5, epochs=3, **settings))
    assert three[per_epoch:] == order(
        batches(dataset, ids, seed=5, first_epoch=1, epochs=3, **settings)
    )
    epochs = [three[k * per_epoch : (k + 1) * per_epoch] for k in range(3)]
    assert epochs[0] != epochs[1] != epochs[2]
    for epoch in epochs:
        assert Counter(name for batch in epoch for name in batch) == Counter(ids)
    assert three != order(batches(dataset, ids, seed=6, epochs=3, **settings))


def test_both_ways_fill_the_same_batches(dataset: Dataset, ids, monkeypatch: pytest.MonkeyPatch):
    in_memory = order(batches(dataset, ids))
    monkeypatch.setattr("mmer_tf.data.order.MEMORY_BYTES", 0)
    assert order(batches(dataset, ids)) == in_memory


def test_cache_keeps_what_is_too_large(dataset: Dataset, ids, monkeypatch: pytest.MonkeyPatch):
    settings = {"training": True, "epochs": 1}
    in_memory = order(batches(dataset, ids, **settings))
    monkeypatch.setattr("mmer_tf.data.order.MEMORY_BYTES", 0)
    assert order(batches(dataset, ids, **settings)) != in_memory
    assert order(batches(dataset, ids, cache=True, **settings)) == in_memory


def test_batches_come_as_they_fill(dataset: Dataset, ids):
    size, seed = 2, 7
    rows = [row for row in dataset.rows if row.id in set(ids)]
    buckets = length_buckets(rows, size)
    assert len(set(buckets)) > 2
    drawn = tf.random.experimental.stateless_shuffle(
        np.arange(len(rows)), draw_seed(seed, tf.constant(0, tf.int64))
    )
    filling: dict[int, list[str]] = {}
    expected = []
    for number in drawn.numpy():
        filling.setdefault(buckets[number], []).append(rows[number].id)
        if len(filling[buckets[number]]) == size:
            expected.append(filling.pop(buckets[number]))
    expected += [filling[bucket] for bucket in sorted(filling)]
    found = batches(dataset, ids, batch_size=size, training=True, epochs=1, seed=seed)
    assert order(found) == expected


def test_resumed_crops_are_those_of_the_whole_training(dataset: Dataset, way):
    settings = {"training": True, "max_seconds": 1.0, "seed": 1, "epochs": 4}
    whole = batches(dataset, ["u003"], **settings)
    tail = batches(dataset, ["u003"], first_epoch=2, **settings)
    for expected, found in zip(whole[2:], tail, strict=True):
        np.testing.assert_array_equal(expected["log_mel"], found["log_mel"])


@pytest.mark.parametrize("global_seed", [0, 7])
def test_order_does_not_depend_on_the_global_seed(dataset: Dataset, ids, way, global_seed):
    settings = {"training": True, "seed": 5, "epochs": 1}
    expected = order(batches(dataset, ids, **settings))
    tf.random.set_seed(global_seed)
    try:
        assert order(batches(dataset, ids, **settings)) == expected
    finally:
        tf.random.set_seed(None)


def test_training_without_end(dataset: Dataset, ids, way):
    endless = make_dataset(dataset, ids, (), LABELS, batch_size=BATCH, training=True)
    assert endless.cardinality() == tf.data.INFINITE_CARDINALITY
    assert sum(1 for _ in endless.take(50)) == 50


def test_fit_batch(dataset: Dataset, ids):
    weights = {"angry": 2.0, "sad": 0.5}
    names = ("log_mel", "log_mel_mask", "has_speech")
    settings = {"batch_size": BATCH, "training": False}
    found = make_dataset(
        dataset, ids, ("log_mel",), LABELS, soft_labels=True, class_weights=weights, **settings
    )
    inputs, target, weight = next(iter(found.map(lambda batch: as_fit_batch(batch, names))))
    assert sorted(inputs) == sorted(names)
    assert target.shape == (BATCH, 2)
    assert weight.numpy().tolist() == [weights[LABELS[k]] for k in np.argmax(target, axis=1)]
    found = make_dataset(dataset, ids, ("log_mel",), LABELS, **settings)
    _, target = next(iter(found.map(lambda batch: as_fit_batch(batch, names))))
    assert target.dtype == tf.int32


@pytest.mark.parametrize("feature", ["log_mel", "log_spectrogram"])
def test_statistics_are_those_of_all_frames(dataset: Dataset, ids, feature):
    chosen = [*ids[:9], "text"]
    frames = np.concatenate(
        [
            FEATURES[feature].extract(decode(row_of(dataset, name).audio)).astype(np.float64)
            for name in ids[:9]
            if name != "text"
        ]
    )
    axes = tuple(range(frames.ndim - 1))
    mean, deviation = fit_statistics(dataset, chosen, feature)
    assert mean.dtype == deviation.dtype == np.float32
    np.testing.assert_allclose(mean, frames.mean(axes), rtol=1e-5)
    np.testing.assert_allclose(deviation, frames.std(axes), rtol=1e-5)


def test_statistics_need_a_recording(dataset: Dataset):
    with pytest.raises(DatasetError, match="no recording"):
        fit_statistics(dataset, ["text"], "log_mel")


def test_truncated_shard_is_named(own_dataset: Dataset):
    file = shard_of(own_dataset, "log_mel", 1)
    file.write_bytes(file.read_bytes()[:-10])
    with pytest.raises(ShardError, match=rf"{file.name} has \d+ bytes instead of \d+"):
        batches(own_dataset, list(own_dataset.records))


def test_altered_shard_is_named(own_dataset: Dataset):
    file = shard_of(own_dataset, "log_mel", 2)
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    with pytest.raises(ShardError, match=rf"{file.name} was altered"):
        batches(own_dataset, list(own_dataset.records))


def test_missing_shard_is_named(own_dataset: Dataset):
    file = shard_of(own_dataset, "log_mel", 0)
    file.unlink()
    with pytest.raises(ShardError, match=rf"{file.name} is missing"):
        fit_statistics(own_dataset, list(own_dataset.records), "log_mel")


def test_unknown_names_are_told(dataset: Dataset, ids):
    with pytest.raises(DatasetError, match="no utterance 'nobody'"):
        batches(dataset, ["nobody"])
    with pytest.raises(DatasetError, match=r"no 'mfcc'. Stored: .*log_mel"):
        batches(dataset, ids, ("mfcc",))
    with pytest.raises(DatasetError, match="'sad' is not one of angry"):
        make_dataset(dataset, ids, (), ("angry",), batch_size=2, training=False)
