"""A run on another corpus: all of it is tested, classes are mapped by name, mistakes are told."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from workplace import command, read_json, write_tones

from mmer_tf import cli
from mmer_tf.data.manifest import read_dataset
from mmer_tf.evaluation.predictions import load_predictions


def evaluate(*arguments: str | Path) -> int:
    """The command without its pictures."""
    return command("evaluate", *arguments, "--report", "figures")


@pytest.fixture(scope="module")
def foreign(shared: Path) -> Path:
    """The recordings that the runs know, under other names of two classes."""
    return write_tones(shared / "data" / "foreign", labels=("anger", "calm", "neutral", "sorrow"))


def test_other_data_is_evaluated_whole(
    both_run: Path, other_data: Path, workplace: Path, own_runs: Path
):
    run = shutil.copytree(both_run, own_runs / both_run.name)
    assert evaluate("--run", run, "--data", "data/other") == 0
    report = read_json(run / "other-all" / "report.json")
    assert (report["data"], report["split"], report["n"]) == ("other", "all", 33)
    assert report["notes"] == []
    ids = load_predictions(run / "other-all" / "predictions.csv").ids
    assert sorted(ids) == sorted(read_dataset(other_data).records)
    assert report["audit"]["verdict"] == "clean"
    # The words of the two corpora are the same, their recordings are not.
    assert {entry["severity"] for entry in report["audit"]["findings"]} == {"note"}


def test_classes_are_mapped_and_merged_and_the_audit_hears_copies(
    both_run: Path, foreign: Path, workplace: Path, tmp_path: Path
):
    arguments = ("--run", both_run, "--data", "data/foreign", "--out", tmp_path / "out")
    assert evaluate(*arguments, "--map", "angry=anger,sad=calm+sorrow") == 0
    report = read_json(tmp_path / "out" / "report.json")
    assert report["map"] == {"angry": ["anger"], "sad": ["calm", "sorrow"]}
    labels = {row.id: row.label for row in read_dataset(foreign).rows}
    counts = {name: list(labels.values()).count(name) for name in set(labels.values())}
    assert report["n"] == counts["anger"] + counts["calm"] + counts["sorrow"]
    assert report["per_class"]["sad"]["n"] == counts["calm"] + counts["sorrow"]
    assert report["absent_classes"] == ["happy", "neutral"]
    place = f"--map gives their class no place: {counts['neutral']} neutral"
    assert any(place in note for note in report["notes"])
    assert any("happy, neutral no place: possible answers" in note for note in report["notes"])
    # What the run answered for the same recording and words in its own corpus.
    ours, theirs = (load_predictions(at / "predictions.csv") for at in (tmp_path / "out", both_run))
    mapped = {"anger": "angry", "calm": "sad", "sorrow": "sad"}
    assert [ours.labels[k] for k in ours.targets] == [mapped[labels[id]] for id in ours.ids]
    common, rows, their_rows = np.intersect1d(ours.ids, theirs.ids, return_indices=True)
    assert len(common) == 9
    np.testing.assert_allclose(
        ours.probabilities[rows], theirs.probabilities[their_rows], atol=2e-6
    )
    assert report["audit"]["verdict"] == "leak"
    assert any(entry["severity"] == "leak" for entry in report["audit"]["findings"])


def test_notes_on_the_training_are_told_of_other_data_too(
    words_run: Path, other_data: Path, workplace: Path, own_runs: Path
):
    run = shutil.copytree(words_run, own_runs / words_run.name)
    stored = read_json(run / "split.json") | {"notes": ["random split", "leaky on purpose"]}
    (run / "split.json").write_text(json.dumps(stored))
    assert evaluate("--run", run, "--data", "data/other") == 0
    notes = read_json(run / "other-all" / "report.json")["notes"]
    assert notes == ["training: random split", "training: leaky on purpose"]


def test_audit_without_the_training_data_cannot_tell(
    words_run: Path, other_data: Path, workplace: Path, own_runs: Path
):
    run = shutil.copytree(words_run, own_runs / words_run.name)
    stored = (run / "split.json").read_text().replace("data/tones", "data/gone")
    (run / "split.json").write_text(stored)
    assert evaluate("--run", run, "--data", "data/other") == 0
    assert read_json(run / "other-all" / "report.json")["audit"]["verdict"] == "unknown"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--data", "data/foreign"], "has the class 'anger', which"),
        (["--data", "data/foreign"], "say with --map which class is which"),
        (["--data", "data/other", "--split", "test"], "--split all evaluates"),
        (
            ["--data", "data/foreign", "--map", "anger=angry"],
            "the run's classes (angry, happy, neutral, sad), right of it the data's "
            "(anger, calm, neutral, sorrow)",
        ),
        (["--data", "data/foreign", "--map", "sad=grief"], "'grief' is no class of data/foreign"),
        (["--data", "data/foreign", "--map", "sad=calm,happy=calm"], "'calm' is given twice"),
        (["--data", "data/foreign", "--map", "sad="], "labels must read like"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_mistake_is_answered_in_a_sentence(
    words_run: Path, other_data: Path, foreign, workplace: Path, arguments, message, capsys
):
    assert evaluate("--run", words_run.name, *arguments) == cli.USER_ERROR
    printed = capsys.readouterr().err
    assert message in printed
    assert printed.startswith("error: ") and printed.count("\n") == 1
