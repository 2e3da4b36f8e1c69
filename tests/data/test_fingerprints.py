"""Fingerprints of a data set: taken once, kept beside the manifest, taken anew where need be."""

import dataclasses
import json
import os
from pathlib import Path

import numpy as np
import pytest
import soundfile

from mmer_tf.audio.decode import decode
from mmer_tf.audio.fingerprint import fingerprint
from mmer_tf.data import fingerprints as module
from mmer_tf.data.fingerprints import FINGERPRINTS, dataset_fingerprints
from mmer_tf.data.manifest import Dataset


def noise(number: int) -> np.ndarray:
    """Half a second, its own for each number."""
    return np.random.default_rng(number).normal(0, 0.1, 8_000).clip(-1, 1)


@pytest.fixture
def heard(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The files that are listened to."""
    files: list[Path] = []
    listen = module._hear
    monkeypatch.setattr(module, "_hear", lambda path: files.append(path) or listen(path))
    return files


@pytest.fixture
def recorded(dataset: Dataset, tmp_path: Path) -> Dataset:
    """Six utterances with recordings that a test may spoil, and one without."""
    (tmp_path / "data").mkdir()
    rows = []
    for row in dataset.rows[:6]:
        file = tmp_path / f"{row.id}.wav"
        soundfile.write(file, noise(len(rows)), 16_000)
        rows.append(dataclasses.replace(row, audio=file))
    rows.append(dataclasses.replace(rows[0], id="text", audio=None))
    return dataclasses.replace(dataset, folder=tmp_path / "data", rows=tuple(rows))


def test_each_recording_is_heard_once(recorded: Dataset, heard: list[Path]):
    first = dataset_fingerprints(recorded)
    audio = {row.id: row.audio for row in recorded.rows if row.audio}
    assert sorted(heard) == sorted(audio.values()) and set(first) == set(audio)
    for id, path in audio.items():
        expected = fingerprint(decode(path))
        assert first[id].digest == expected.digest
        np.testing.assert_array_equal(first[id].words, expected.words)
    heard.clear()
    again = dataset_fingerprints(recorded)
    assert heard == []
    for id, one in first.items():
        assert again[id].digest == one.digest
        np.testing.assert_array_equal(again[id].words, one.words)
    assert [p.name for p in recorded.folder.iterdir() if "partial" in p.name] == []


def test_changed_recording_is_heard_again(recorded: Dataset, heard: list[Path]):
    before = dataset_fingerprints(recorded)
    heard.clear()
    row = recorded.rows[2]
    soundfile.write(row.audio, noise(99), 16_000)
    os.utime(row.audio, ns=(1, 1))
    after = dataset_fingerprints(recorded)
    assert heard == [row.audio] and after[row.id].digest != before[row.id].digest


def test_recording_that_is_gone_is_known_from_before_only(recorded: Dataset):
    gone, broken = recorded.rows[1], recorded.rows[3]
    gone.audio.unlink()
    broken.audio.write_bytes(b"no sound")
    found = dataset_fingerprints(recorded)
    assert found[gone.id] is None and found[broken.id] is None and len(found) == 6
    kept = recorded.rows[0]
    kept.audio.unlink()
    assert dataset_fingerprints(recorded)[kept.id].digest == found[kept.id].digest


def test_selection_leaves_the_others_in_the_folder(recorded: Dataset, heard: list[Path]):
    dataset_fingerprints(recorded)
    some = dataclasses.replace(recorded, rows=recorded.rows[:2])
    heard.clear()
    assert set(dataset_fingerprints(some)) == {row.id for row in some.rows}
    dataset_fingerprints(recorded)
    assert heard == []


def test_fingerprints_of_another_data_set_do_not_count(recorded: Dataset, heard: list[Path]):
    dataset_fingerprints(recorded)
    heard.clear()
    dataset_fingerprints(dataclasses.replace(recorded, digest="another"))
    assert len(heard) == 6


@pytest.mark.parametrize("content", [b"", b"PK damaged", json.dumps({}).encode()])
def test_damaged_file_is_replaced(recorded: Dataset, heard: list[Path], content: bytes):
    (recorded.folder / FINGERPRINTS).write_bytes(content)
    assert all(dataset_fingerprints(recorded).values()) and len(heard) == 6
    heard.clear()
    dataset_fingerprints(recorded)
    assert heard == []


def test_folder_that_cannot_be_written_is_no_error(
    recorded: Dataset, monkeypatch: pytest.MonkeyPatch
):
    def refuse(self, target):
        raise PermissionError(13, "Read-only file system", str(target))

    monkeypatch.setattr(Path, "replace", refuse)
    assert all(dataset_fingerprints(recorded).values())
    assert not any("fingerprints" in file.name for file in recorded.folder.iterdir())


@pytest.mark.slow
def test_processes_hear_the_same(recorded: Dataset):
    alone = dataset_fingerprints(recorded)
    (recorded.folder / FINGERPRINTS).unlink()
    together = dataset_fingerprints(recorded, workers=2)
    assert list(alone) == list(together)
    for id, one in alone.items():
        np.testing.assert_array_equal(together[id].words, one.words)
