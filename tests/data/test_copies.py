"""Perturbed copies are stored beside the originals, and training draws among them."""

import itertools
from pathlib import Path

import numpy as np
import pytest
import soundfile
import tensorflow as tf

from mmer_tf.audio.decode import decode
from mmer_tf.data.families import FeatureFamily, families_of, perturbed, with_copies
from mmer_tf.data.features import FEATURES
from mmer_tf.data.manifest import Dataset, DatasetError, read_dataset
from mmer_tf.data.pipeline import batches_per_epoch, make_dataset
from mmer_tf.data.prepare import ensure_features, prepare_dataset
from mmer_tf.data.schema import parse, word_spans
from mmer_tf.registry import UnknownNameError
from mmer_tf.types import Utterance, Word

WANTED = ("log_mel", "waveform", "log_mel_copy1", "log_mel_copy2", "waveform_copy1",
          "waveform_copy2")  # fmt: skip
LABELS = ("angry", "sad")


@pytest.fixture(scope="module")
def small_corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve clips and a text, as the synthetic corpus: with word timings."""
    folder = tmp_path_factory.mktemp("copies")
    random = np.random.default_rng(0)
    rows = ["id,file,text,label"]
    for i in range(12):
        soundfile.write(folder / f"{i}.wav", random.normal(0, 0.1, 4000 + 800 * i), 16_000)
        rows.append(f"u{i:02d},{i}.wav,word {i},{LABELS[i % 2]}")
    rows.append("text,,only words,sad")
    (folder / "table.csv").write_text("\n".join(rows) + "\n")
    return folder


def prepare(corpus: Path, out: Path, **settings) -> Dataset:
    return prepare_dataset("table", corpus, out, WANTED, utterances_per_shard=4, **settings)


@pytest.fixture(scope="module")
def dataset(small_corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return prepare(small_corpus, tmp_path_factory.mktemp("data") / "d", workers=0)


def rows_of(
    dataset: Dataset, copies: int, epochs: int = 1, features=("log_mel",), last=None, **settings
):
    """One dict of id -> row for each epoch."""
    settings = {"training": True, "batch_size": 4} | settings
    ids = list(dataset.records)
    per_epoch = batches_per_epoch(dataset, ids, settings["batch_size"])
    settings |= {"copies": copies, "epochs": last or epochs}
    found = make_dataset(dataset, ids, features, LABELS, **settings)
    batches = found.as_numpy_iterator()
    answer = []
    for _ in range(epochs):
        rows = {}
        for batch in itertools.islice(batches, per_epoch):
            for i, identifier in enumerate(batch["id"]):
                rows[identifier.decode()] = {name: batch[name][i] for name in batch}
        answer.append(rows)
    return answer


def waveforms(dataset: Dataset, identifier: str) -> list[np.ndarray]:
    """The recording and its copies, computed here."""
    row = dataset.rows[dataset.records[identifier]]
    return [decode(row.audio), *(perturbed(row, decode(row.audio), n)[1] for n in (1, 2))]


def taken(row, originals: list[np.ndarray]) -> int:
    """Which of the waveforms a row holds."""
    found = row["waveform"][: row["num_samples"]]
    same = [len(found) == len(x) and np.allclose(found, x, atol=1 / 32_000) for x in originals]
    assert sum(same) == 1
    return same.index(True)


def test_copy_is_the_feature_of_the_perturbed_recording(dataset: Dataset):
    stored = read_dataset(dataset.folder).families
    for copy in (1, 2):
        parameters = stored[f"log_mel_copy{copy}"].parameters
        assert parameters["copy"] == copy
        assert parameters["perturbation"]["speed"] == [0.9, 1.1]
    (rows,) = rows_of(dataset, copies=2, features=("log_mel", "waveform"))
    for identifier, row in rows.items():
        if identifier == "text":
            assert not row["has_speech"] and not row["log_mel_mask"].any()
            continue
        originals = waveforms(dataset, identifier)
        source = originals[taken(row, originals)]
        expected = FEATURES["log_mel"].extract(source).astype(np.float32)
        np.testing.assert_array_equal(row["log_mel"][row["log_mel_mask"]], expected)


def test_words_and_duration_follow_the_speed():
    words = (Word("a", 0.1, 0.5), Word("b", 0.5, 0.9))
    utterance = Utterance("u", "sad", duration=1.0, words=words)
    waveform = np.random.default_rng(0).normal(0, 0.1, 16_000).astype(np.float32)
    copy, found = perturbed(utterance, waveform, 3)
    record = parse(tf.constant(FeatureFamily("log_mel", 3).record(utterance, waveform)))
    assert record["duration"] == np.float32(copy.duration)
    np.testing.assert_array_equal(record["word_spans"], word_spans(copy.words))
    speed = len(waveform) / len(found)
    assert copy.duration == len(found) / 16_000
    for before, after in zip(words, copy.words, strict=True):
        assert (after.start, after.end) == pytest.approx(
            (before.start / speed, before.end / speed), rel=1e-3
        )
    assert abs(speed - 1) > 1e-3
    again, same = perturbed(utterance, waveform, 3)
    np.testing.assert_array_equal(found, same)
    assert again == copy
    assert len(perturbed(utterance, waveform, 4)[1]) != len(found)


def test_draws_differ_between_epochs_and_rows_and_reach_every_copy(dataset: Dataset):
    epochs = rows_of(dataset, copies=2, epochs=12, features=("waveform",), seed=3)
    heard = sorted(set(epochs[0]) - {"text"})
    originals = {identifier: waveforms(dataset, identifier) for identifier in heard}
    drawn = np.array([[taken(rows[i], originals[i]) for i in heard] for rows in epochs])
    assert len({tuple(epoch) for epoch in drawn}) == len(drawn)
    shares = np.bincount(drawn.ravel(), minlength=3) / drawn.size
    assert shares == pytest.approx([1 / 3] * 3, abs=0.12)
    again = rows_of(dataset, copies=2, epochs=2, features=("waveform",), seed=3)
    for rows, same in zip(epochs, again, strict=False):
        for identifier in heard:
            np.testing.assert_array_equal(
                rows[identifier]["waveform"], same[identifier]["waveform"]
            )
    (resumed,) = rows_of(dataset, copies=2, features=("waveform",), seed=3, first_epoch=1, last=2)
    assert [taken(resumed[i], originals[i]) for i in heard] == drawn[1].tolist()


@pytest.mark.parametrize("settings", [{"copies": 2, "training": False}, {"copies": 0}])
def test_evaluation_and_zero_copies_read_the_originals(dataset: Dataset, settings):
    (rows,) = rows_of(dataset, features=("waveform",), **settings)
    for identifier in set(rows) - {"text"}:
        assert taken(rows[identifier], waveforms(dataset, identifier)) == 0


def test_take_of_a_copy_has_the_features_of_that_copy(dataset: Dataset):
    (rows,) = rows_of(
        dataset,
        copies=2,
        features=("log_mel", "waveform"),
        waveform_augment={"max_gain_db": 1e-9},  # changes nothing, on the way of a change
    )
    drawn = set()
    for identifier in set(rows) - {"text"}:
        row, originals = rows[identifier], waveforms(dataset, identifier)
        drawn.add(taken(row, originals))
        expected = FEATURES["log_mel"].extract(row["waveform"][: row["num_samples"]])
        np.testing.assert_allclose(row["log_mel"][row["log_mel_mask"]], expected, atol=4e-3)
    assert drawn == {0, 1, 2}


@pytest.mark.slow
def test_number_of_workers_changes_no_byte(small_corpus: Path, dataset: Dataset, tmp_path: Path):
    other = prepare(small_corpus, tmp_path / "two", workers=2)
    for name, family in dataset.families.items():
        assert other.families[name] == family


def test_copies_are_added_to_a_finished_data_set(small_corpus: Path, dataset: Dataset, tmp_path):
    own = prepare_dataset(
        "table", small_corpus, tmp_path / "d", ["log_mel"], utterances_per_shard=4, workers=0
    )
    with pytest.raises(DatasetError, match="holds no 'log_mel_copy1'"):
        rows_of(own, copies=1)
    extended = ensure_features(own.folder, with_copies(["log_mel"], 2), workers=0)
    assert extended.features == ("log_mel", "log_mel_copy1", "log_mel_copy2")
    assert extended.families["log_mel_copy2"] == dataset.families["log_mel_copy2"]
    assert extended.families["log_mel"] == own.families["log_mel"]


def test_wrong_names_are_told():
    assert list(families_of(["lld", "lld_copy12", "lld"])) == ["lld", "lld_copy12"]
    for name in ("lld_copy0", "lld_copy", "ldl_copy1"):
        with pytest.raises(UnknownNameError, match="unknown feature"):
            families_of([name])
