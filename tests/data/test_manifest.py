"""`dataset.json` and its tables say what is in the folder, and say so when it is not."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from mmer_tf.corpora.labels import parse_labels
from mmer_tf.data.manifest import (
    Dataset,
    DatasetError,
    read_dataset,
    utterance_from_row,
    utterance_to_row,
)
from mmer_tf.types import Utterance, Word

ROOT = Path("/corpus")


def test_rows_survive():
    utterance = Utterance(
        id="x",
        label="sad",
        audio=ROOT / "wav" / "x.wav",
        transcript="a\u2028b",
        soft_label={"sad": 1.0},
        duration=1.25,
        words=(Word("a", 0.0, 0.5),),
    )
    row = json.loads(json.dumps(utterance_to_row(utterance, ROOT)))
    assert row["audio"] == "wav/x.wav"
    assert utterance_from_row(row, ROOT) == utterance


def test_recording_outside_the_root_keeps_its_path():
    utterance = Utterance(id="x", label="sad", audio=Path("/elsewhere/x.wav"))
    assert utterance_from_row(utterance_to_row(utterance, ROOT), ROOT) == utterance


def test_counts(dataset: Dataset):
    values = json.loads((dataset.folder / "dataset.json").read_text())
    assert values["utterances"] == 41
    assert values["counts"]["label"] == {"angry": 20, "sad": 21}
    assert values["counts"]["speaker"] == {"s0": 11, "s1": 10, "s2": 10, "s3": 10}
    assert sum(shard["count"] for shard in values["families"]["log_mel"]["shards"]) == 41
    assert values["families"]["log_mel"]["parameters"]["num_mels"] == 64
    assert dataset.longer_than(2.0) == 1


def test_records_follow_the_rows(dataset: Dataset):
    assert [dataset.records[row.id] for row in dataset.rows] == list(range(41))


def test_selection_merges_and_keeps_the_records(dataset: Dataset):
    merged = dataset.select(parse_labels("any=angry+sad"))
    assert merged.labels == ("any",) and len(merged.rows) == 41
    some = dataset.select(parse_labels("sad"))
    assert len(some.rows) == 21 and some.records == dataset.records


def test_missing_folder(tmp_path: Path):
    with pytest.raises(DatasetError, match=r"nothing does not exist; run `python -m mmer_tf"):
        read_dataset(tmp_path / "nothing")


def test_foreign_folder(tmp_path: Path):
    with pytest.raises(DatasetError, match="is not a prepared dataset"):
        read_dataset(tmp_path)


def test_unfinished_folder(own_dataset: Dataset):
    (own_dataset.folder / "dataset.json").unlink()
    with pytest.raises(DatasetError, match="is not finished"):
        read_dataset(own_dataset.folder)


def test_newer_format(own_dataset: Dataset):
    file = own_dataset.folder / "dataset.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"format": 99}))
    with pytest.raises(DatasetError, match="has format 99"):
        read_dataset(own_dataset.folder)


@pytest.mark.parametrize("name", ["dataset.json", "utterances.jsonl"])
def test_cut_file(own_dataset: Dataset, name: str):
    file = own_dataset.folder / name
    text = file.read_text()
    file.write_text(text[: text.rindex("\n", 0, len(text) // 2) + 1])
    with pytest.raises(DatasetError, match=r"is damaged .*--overwrite"):
        read_dataset(own_dataset.folder)


def test_reading_needs_no_tensorflow():
    code = "import sys, mmer_tf.data.manifest; sys.exit('tensorflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
