"""Training hears other takes; what is computed from them is what would have been stored of them."""

import dataclasses

import numpy as np
import pytest

from mmer_tf.data.features import FEATURES
from mmer_tf.data.manifest import Dataset, DatasetError
from mmer_tf.data.pipeline import batches_per_epoch, make_dataset

LABELS = ("angry", "sad")
FRAMES = ("log_mel", "log_spectrogram")
CHANGES = {"min_snr_db": 10.0, "max_gain_db": 6.0, "max_shift_seconds": 0.1}
INAUDIBLE = {"max_gain_db": 1e-9}
"""The waveform goes the whole way and arrives as it was."""


@pytest.fixture(scope="module")
def some() -> list[str]:
    """A few utterances: one of 2.5 s, and one without a recording."""
    return ["text", *(f"u{number:03d}" for number in range(11))]


def batches(dataset: Dataset, ids, features=("log_mel",), augment=None, **settings) -> list[dict]:
    settings = {"batch_size": 8, "training": True, "epochs": 1, "seed": 3} | settings
    found = make_dataset(dataset, ids, features, LABELS, waveform_augment=augment, **settings)
    return list(found.as_numpy_iterator())


def by_id(found: list[dict]) -> dict[str, dict]:
    return {
        identifier.decode(): {name: values[row] for name, values in batch.items()}
        for batch in found
        for row, identifier in enumerate(batch["id"])
    }


def assert_same(found: list[dict], expected: list[dict]) -> None:
    for one, other in zip(found, expected, strict=True):
        for name in other:
            np.testing.assert_array_equal(one[name], other[name])


def test_unchanged_take_has_the_stored_features(dataset: Dataset, some):
    max_seconds = 1.0  # some are cropped, others are not
    features = (*FRAMES, "mel_image", "waveform")
    stored = by_id(batches(dataset, some, features, max_seconds=max_seconds))
    computed = by_id(batches(dataset, some, features, INAUDIBLE, max_seconds=max_seconds))
    assert sorted(computed) == some == sorted(stored)
    for identifier, row in computed.items():
        expected = stored[identifier]
        assert row["num_samples"] == expected["num_samples"]
        frames = {name: row[f"{name}_mask"].sum() for name in FRAMES}
        for name in FRAMES:
            assert frames[name] == expected[f"{name}_mask"].sum()
            valid = row[name][: frames[name]].astype(np.float16)
            wanted = expected[name][: frames[name]].astype(np.float16)
            np.testing.assert_array_max_ulp(valid, wanted, 1)
            assert not row[name][frames[name] :].any()
        difference = np.int32(row["mel_image"]) - expected["mel_image"]
        assert np.abs(difference).max() <= 1  # of 255 levels
        np.testing.assert_array_equal(
            row["waveform"][: row["num_samples"]], expected["waveform"][: row["num_samples"]]
        )
    assert not computed["text"]["has_speech"]
    assert not computed["text"]["log_mel_mask"].any()
    assert not computed["text"]["mel_image"].any()


def test_features_are_those_of_the_changed_waveform(dataset: Dataset, some):
    features = (*FRAMES, "waveform")
    changed = by_id(batches(dataset, some, features, CHANGES))
    recorded = by_id(batches(dataset, some, features))
    for identifier in set(some) - {"text"}:
        row, original = changed[identifier], recorded[identifier]
        waveform = row["waveform"][: row["num_samples"]]
        assert len(waveform) == original["num_samples"]
        assert np.abs(waveform - original["waveform"][: len(waveform)]).max() > 1e-3
        for name in FRAMES:
            expected = FEATURES[name].extract(waveform)
            found = row[name][row[f"{name}_mask"]]
            np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-3)


def test_takes_depend_on_seed_and_epoch_alone(dataset: Dataset, some):
    per_epoch = batches_per_epoch(dataset, some, 8)
    three = batches(dataset, some, augment=CHANGES, epochs=3)
    assert_same(batches(dataset, some, augment=CHANGES, epochs=3), three)
    assert_same(batches(dataset, some, augment=CHANGES, first_epoch=1, epochs=3), three[per_epoch:])
    first, second = by_id(three[:per_epoch]), by_id(three[per_epoch : 2 * per_epoch])
    other_seed = by_id(batches(dataset, some, augment=CHANGES, seed=4))
    for identifier in set(some) - {"text"}:
        frames = first[identifier]["log_mel_mask"].sum()
        for other in (second, other_seed):
            difference = (
                first[identifier]["log_mel"][:frames] - other[identifier]["log_mel"][:frames]
            )
            assert np.abs(difference).max() > 0.01


def test_settings_that_change_nothing_are_none(dataset: Dataset, some):
    nothing = {"min_snr_db": None, "max_gain_db": 0.0, "max_shift_seconds": 0.0}
    assert_same(batches(dataset, some, augment=nothing), batches(dataset, some))


def test_evaluation_hears_the_recordings(dataset: Dataset, some):
    settings = {"training": False, "epochs": None}
    assert_same(
        batches(dataset, some, augment=CHANGES, **settings), batches(dataset, some, **settings)
    )


def test_features_that_no_layer_computes_are_refused(dataset: Dataset, some):
    families = {**dataset.families, "lld": dataset.families["log_mel"]}
    with_lld = dataclasses.replace(dataset, families=families)
    with pytest.raises(DatasetError, match=r"'lld' cannot be computed .*`data.augmented_copies`"):
        batches(with_lld, some, ("lld",), CHANGES)


def test_waveform_must_be_stored(dataset: Dataset, some):
    families = {name: one for name, one in dataset.families.items() if name != "waveform"}
    without = dataclasses.replace(dataset, families=families)
    with pytest.raises(DatasetError, match="holds no 'waveform'"):
        batches(without, some, augment=CHANGES)


def test_words_alone_are_read_as_ever(dataset: Dataset, some):
    assert_same(batches(dataset, some, (), CHANGES), batches(dataset, some, ()))
