"""The evaluate command: the run's own report again, other splits, a closer look, and mistakes."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from workplace import command, read_json

from mmer_tf import cli
from mmer_tf.data.manifest import read_dataset
from mmer_tf.evaluation.calibration import soften
from mmer_tf.evaluation.metrics import score, score_groups
from mmer_tf.evaluation.predictions import load_predictions

OF_ANSWERS = (
    *("run", "data", "split", "protocol", "fold", "seed", "notes", "labels", "per_class"),
    *("wa", "ua", "loss", "n", "macro_precision", "macro_recall", "macro_f1"),
    *("weighted_precision", "weighted_recall", "weighted_f1"),
    *("confusion_matrix", "confusion_matrix_normalised", "absent_classes"),
)
"""What a report says of the answers alone."""


def evaluate(*arguments: str | Path) -> int:
    """The command without its pictures, which take longer than all the rest."""
    return command("evaluate", *arguments, "--report", "figures")


def of_answers(file: Path) -> dict:
    report = read_json(file)
    return {name: report[name] for name in OF_ANSWERS}


def same_answers(ours: dict, theirs: dict) -> bool:
    """The probabilities behind the loss differ in the last digits from one graph to the next."""
    return ours == theirs | {"loss": pytest.approx(theirs["loss"], rel=1e-5)}


def own_copy(run: Path, own_runs: Path) -> Path:
    """A run that a test may write into."""
    return shutil.copytree(run, own_runs / run.name)


def test_report_is_the_one_of_the_training(both_run: Path, workplace: Path, own_runs: Path, capsys):
    run = own_copy(both_run, own_runs)
    for name in ("report.json", "predictions.csv"):
        (run / name).unlink()
    assert evaluate("--run", run) == 0
    ours, theirs = (of_answers(at / "report.json") for at in (run, both_run))
    assert same_answers(ours, theirs)
    ours, theirs = (load_predictions(at / "predictions.csv") for at in (run, both_run))
    np.testing.assert_allclose(ours.probabilities, theirs.probabilities, atol=1e-6)
    shown = capsys.readouterr().out
    assert f"{read_json(run / 'report.json')['ua']:.3f}" in shown and "true \\ predicted" in shown


def test_validation_figures_are_those_that_chose_the_epoch(
    both_run: Path, workplace: Path, own_runs: Path
):
    run = own_copy(both_run, own_runs)
    before = (run / "report.json").read_bytes()
    arguments = ("--run", run.name, "--runs", own_runs, "--split", "validation")
    assert evaluate(*arguments) == 0
    report = read_json(run / "tones-validation" / "report.json")
    ids = load_predictions(run / "tones-validation" / "predictions.csv").ids
    assert list(ids) == read_json(run / "split.json")["validation"]
    lines = (run / "history.csv").read_text().splitlines()
    history = [dict(zip(lines[0].split(","), line.split(","), strict=True)) for line in lines[1:]]
    best = max(history, key=lambda row: (float(row["val_ua"]), -float(row["val_loss"])))
    assert report["ua"] == pytest.approx(float(best["val_ua"]), abs=1e-6)
    calibrated = load_predictions(run / "tones-validation" / "predictions.csv")
    temperature = read_json(run / "calibration.json")["temperature"]
    raw = soften(calibrated, 1 / temperature)  # training knows no temperature
    assert score(raw)["loss"] == pytest.approx(float(best["val_loss"]), abs=1e-4)
    assert report["loss"] <= score(raw)["loss"] + 1e-6  # what it was fitted to
    assert (report["split"], report["n"]) == ("validation", 12)
    assert (run / "report.json").read_bytes() == before


def test_training_utterances_are_no_result(
    words_run: Path, workplace: Path, tmp_path: Path, capsys
):
    arguments = ("--run", words_run, "--split", "train", "--out", tmp_path / "out")
    assert evaluate(*arguments) == 0
    report = read_json(tmp_path / "out" / "report.json")
    assert any("not a result" in note for note in report["notes"])
    leaks = [entry for entry in report["audit"]["findings"] if entry["severity"] == "leak"]
    assert report["audit"]["verdict"] == "leak"
    assert [(leak["kind"], leak["count"]) for leak in leaks] == [("evaluated split", report["n"])]
    assert f"trained on ({report['n']})" in capsys.readouterr().out


@pytest.mark.parametrize(
    "arguments", [["--run", "RUN", "--split", "train"], ["--ensemble", "RUN", "other"]]
)
def test_other_figures_never_take_the_place_of_the_test_report(
    words_run: Path, workplace: Path, own_runs: Path, arguments, capsys
):
    run = own_copy(words_run, own_runs)
    before = {file.name: file.read_bytes() for file in run.glob("*.*") if file.is_file()}
    typed = [run if entry == "RUN" else entry for entry in arguments]
    assert evaluate(*typed, "--out", run) == cli.USER_ERROR
    printed = capsys.readouterr().err
    assert "keeps the report of the run's own test split" in printed and printed.count("\n") == 1
    assert {file.name: file.read_bytes() for file in run.glob("*.*") if file.is_file()} == before
    if "--run" in typed:
        assert evaluate("--run", run, "--out", run) == 0


def test_report_tells_of_speakers_intervals_calibration_and_audit(
    words_run: Path, shared: Path, workplace: Path, tmp_path: Path
):
    arguments = ("--run", words_run, "--split", "validation", "--out", tmp_path / "out")
    assert evaluate(*arguments) == 0
    report = read_json(tmp_path / "out" / "report.json")
    predictions = load_predictions(tmp_path / "out" / "predictions.csv")
    speakers = {row.id: row.speaker for row in read_dataset(shared / "data" / "tones").rows}
    assert report["per_speaker"] == score_groups(predictions, speakers)
    assert list(report["per_speaker"]) == ["b"]
    # One speaker: what another would do is not known, so that utterances are drawn.
    assert (report["intervals"]["over"], report["intervals"]["groups"]) == ("utterances", 12)
    low, high = report["intervals"]["ua"]
    assert low <= report["ua"] <= high
    temperature = read_json(words_run / "calibration.json")["temperature"]
    assert report["calibration"]["temperature"] == temperature
    assert sum(entry["n"] for entry in report["calibration"]["bins"]) == 12
    assert report["audit"]["verdict"] == "clean"
    assert any(entry["kind"] == "evaluated split" for entry in report["audit"]["findings"])


@pytest.mark.slow
def test_closer_look(both_run: Path, workplace: Path, own_runs: Path, capsys):
    """Distorted input and chosen utterances, on a run of voice and words."""
    tested = read_json(both_run / "split.json")["test"]
    arguments = ("--run", both_run, "--robustness", "--explain", *tested[:2])
    assert command("evaluate", *arguments, "--out", own_runs) == 0
    report = read_json(own_runs / "report.json")
    rows = {row["condition"]: row for row in report["robustness"]}
    assert rows["clean"]["ua"] == pytest.approx(report["ua"])
    assert rows["clean"]["unchanged"] == 1.0
    assert {"noise at 0 dB", "word error rate 50%", "no recording", "no transcript"} <= set(rows)
    assert "noise at 0 dB" in capsys.readouterr().out
    page = (own_runs / "report.html").read_text(encoding="utf-8")
    assert all(id in page for id in tested[:2])
    assert any((own_runs / "plots").glob("*.png"))


def test_robustness_needs_the_recordings(
    both_run: Path, shared: Path, workplace: Path, tmp_path: Path, capsys
):
    data = shutil.copytree(shared / "data" / "tones", tmp_path / "data")
    manifest = read_json(data / "dataset.json") | {"root": str(tmp_path / "gone")}
    (data / "dataset.json").write_text(json.dumps(manifest))
    arguments = ("--run", both_run, "--data", data, "--robustness", "--out", tmp_path / "out")
    assert command("evaluate", *arguments) == cli.USER_ERROR
    assert "gone/u" in (printed := capsys.readouterr().err) and "missing file" in printed
    assert not (tmp_path / "out").exists()


def test_copy_of_the_data_is_its_own(words_run: Path, shared: Path, tmp_path: Path):
    shutil.copytree(shared / "data" / "tones", tmp_path / "moved")
    arguments = ("--run", words_run, "--data", tmp_path / "moved", "--split", "test")
    assert evaluate(*arguments, "--out", tmp_path / "out") == 0
    theirs, ours = (of_answers(at / "report.json") for at in (words_run, tmp_path / "out"))
    assert same_answers(ours, theirs | {"data": "moved"})


@pytest.mark.slow
def test_selected_classes_are_selected_again(workplace: Path, own_runs: Path, other_data: Path):
    """The recipe's own selection and merging hold for the run's data and for others alike."""
    selection = "data.labels=sad,joy=happy+neutral"
    assert command("train", "--config", "words.yaml", "--data", "data/tones", "--runs", own_runs,
                   "--run", "two", "--report", "figures", selection) == 0  # fmt: skip
    run = own_runs / "two"
    first = of_answers(run / "report.json")
    assert (first["labels"], first["n"]) == (["sad", "joy"], 9)
    assert evaluate("--run", run) == 0
    assert same_answers(of_answers(run / "report.json"), first)
    assert evaluate("--run", run, "--data", "data/other") == 0
    assert read_json(run / "other-all" / "report.json")["n"] == 24


@pytest.fixture(scope="module")
def begun(shared: Path):
    """A run that nothing has come out of yet."""
    (shared / "saved_models" / "begun").mkdir(parents=True)
    (shared / "saved_models" / "begun" / "split.json").write_text("{}")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--run", "nowhere"], "saved_models/nowhere: no such run"),
        (["--run", "begun"], "start its training again"),
        (["--run", "RUN", "--data", "nowhere"], "nowhere does not exist"),
        (["--run", "RUN", "--explain", "u99"], "'u99' cannot be explained: it is not among"),
        (["--run", "RUN", "--explain", "u00", "--report", "figures"], "draws pictures"),
        (["--run", "RUN", "--map", "sad=blue"], "name it with --data"),
        (["--run", "RUN", "--data", "data/tones", "--map", "sad"], "is the data that"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_mistake_is_answered_in_a_sentence(
    words_run: Path, begun, workplace: Path, arguments, message, capsys
):
    typed = [words_run.name if entry == "RUN" else entry for entry in arguments]
    assert command("evaluate", *typed) == cli.USER_ERROR
    printed = capsys.readouterr().err
    assert message in printed
    assert printed.startswith("error: ") and printed.count("\n") == 1
