"""The evaluate command: the run's own report again, other splits, other data, and mistakes."""

import shutil
from pathlib import Path

import pytest
from workplace import command, read_json

from mmer_tf import cli
from mmer_tf.data.manifest import read_dataset
from mmer_tf.evaluation.predictions import load_predictions


def own_copy(run: Path, own_runs: Path) -> Path:
    """A run that a test may write into."""
    return shutil.copytree(run, own_runs / run.name)


def test_report_is_the_one_of_the_training(both_run: Path, workplace: Path, own_runs: Path, capsys):
    run = own_copy(both_run, own_runs)
    for name in ("report.json", "predictions.csv", "confusion_matrix.png"):
        (run / name).unlink()
    assert command("evaluate", "--run", run) == 0
    assert read_json(run / "report.json") == read_json(both_run / "report.json")
    for name in ("predictions.csv", "confusion_matrix.png"):
        assert (run / name).read_bytes() == (both_run / name).read_bytes()
    shown = capsys.readouterr().out
    assert f"{read_json(run / 'report.json')['ua']:.3f}" in shown and "true \\ predicted" in shown


def test_validation_figures_are_those_that_chose_the_epoch(
    both_run: Path, workplace: Path, own_runs: Path
):
    run = own_copy(both_run, own_runs)
    before = (run / "report.json").read_bytes()
    arguments = ("--run", run.name, "--runs", own_runs, "--split", "validation")
    assert command("evaluate", *arguments) == 0
    report = read_json(run / "tones-validation" / "report.json")
    ids = load_predictions(run / "tones-validation" / "predictions.csv").ids
    assert list(ids) == read_json(run / "split.json")["validation"]
    lines = (run / "history.csv").read_text().splitlines()
    history = [dict(zip(lines[0].split(","), line.split(","), strict=True)) for line in lines[1:]]
    best = max(history, key=lambda row: (float(row["val_ua"]), -float(row["val_loss"])))
    assert report["ua"] == pytest.approx(float(best["val_ua"]), abs=1e-6)
    assert report["loss"] == pytest.approx(float(best["val_loss"]), abs=1e-4)
    assert (report["split"], report["n"]) == ("validation", 12)
    assert (run / "report.json").read_bytes() == before


def test_training_utterances_are_no_result(words_run: Path, workplace: Path, tmp_path: Path):
    arguments = ("--run", words_run, "--split", "train", "--out", tmp_path / "out")
    assert command("evaluate", *arguments) == 0
    report = read_json(tmp_path / "out" / "report.json")
    assert any("not a result" in note for note in report["notes"])


def test_other_data_is_evaluated_whole(
    both_run: Path, other_data: Path, workplace: Path, own_runs: Path
):
    run = own_copy(both_run, own_runs)
    assert command("evaluate", "--run", run, "--data", "data/other") == 0
    report = read_json(run / "other-all" / "report.json")
    assert (report["data"], report["split"], report["n"]) == ("other", "all", 33)
    assert report["notes"] == []
    ids = load_predictions(run / "other-all" / "predictions.csv").ids
    assert sorted(ids) == sorted(read_dataset(other_data).records)


def test_copy_of_the_data_is_its_own(words_run: Path, shared: Path, tmp_path: Path):
    shutil.copytree(shared / "data" / "tones", tmp_path / "moved")
    arguments = ("--run", words_run, "--data", tmp_path / "moved", "--split", "test")
    assert command("evaluate", *arguments, "--out", tmp_path / "out") == 0
    theirs, ours = read_json(words_run / "report.json"), read_json(tmp_path / "out" / "report.json")
    assert ours == theirs | {"data": "moved"}


def test_selected_classes_are_selected_again(workplace: Path, own_runs: Path, other_data: Path):
    """The recipe's own selection and merging hold for the run's data and for others alike."""
    selection = "data.labels=sad,joy=happy+neutral"
    assert command("train", "--config", "words.yaml", "--data", "data/tones", "--runs", own_runs,
                   "--run", "two", selection) == 0  # fmt: skip
    run = own_runs / "two"
    first = read_json(run / "report.json")
    assert (first["labels"], first["n"]) == (["sad", "joy"], 9)
    assert command("evaluate", "--run", run) == 0
    assert read_json(run / "report.json") == first
    assert command("evaluate", "--run", run, "--data", "data/other") == 0
    assert read_json(run / "other-all" / "report.json")["n"] == 24


@pytest.fixture(scope="module")
def foreign(shared: Path):
    """What no run can be evaluated on, or evaluated."""
    from workplace import write_tones

    write_tones(shared / "data" / "foreign", labels=("angry", "calm", "neutral", "sad"))
    (shared / "saved_models" / "begun").mkdir(parents=True)
    (shared / "saved_models" / "begun" / "split.json").write_text("{}")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--run", "nowhere"], "saved_models/nowhere: no such run"),
        (["--run", "begun"], "start its training again"),
        (["--run", "RUN", "--data", "nowhere"], "nowhere does not exist"),
        (["--run", "RUN", "--data", "data/foreign"], "has the class 'calm', which"),
        (["--run", "RUN", "--data", "data/other", "--split", "test"], "--split all evaluates"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_mistake_is_answered_in_a_sentence(
    words_run: Path, other_data: Path, foreign, workplace: Path, arguments, message, capsys
):
    typed = [words_run.name if entry == "RUN" else entry for entry in arguments]
    assert command("evaluate", *typed) == cli.USER_ERROR
    printed = capsys.readouterr().err
    assert message in printed
    assert printed.startswith("error: ") and printed.count("\n") == 1
