"""The evaluate command with several runs: who judges what, what is written, and mistakes."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, balanced_accuracy_score
from workplace import command, read_json, train_shared

from mmer_tf import cli
from mmer_tf.data.manifest import read_dataset
from mmer_tf.evaluation.predictions import load_predictions


@pytest.fixture(scope="session")
def second_voice_run(shared: Path) -> Path:
    """The voice alone with another seed; tests speaker b."""
    return train_shared(shared, "voice.yaml", "--folds", "1", "--seed", "1")


def evaluate(*arguments: str | Path) -> int:
    """The command without its pictures."""
    return command("evaluate", *arguments, "--report", "figures")


def mean_of(*files: Path) -> np.ndarray:
    return np.mean([load_predictions(file).probabilities for file in files], axis=0)


def test_runs_of_one_fold_judge_its_test_speakers(
    both_run: Path, words_run: Path, workplace: Path, tmp_path: Path, capsys
):
    runs = ("--ensemble", both_run.name, words_run)
    assert command("evaluate", *runs, "--out", tmp_path / "mean") == 0
    report = read_json(tmp_path / "mean" / "report.json")
    ours = load_predictions(tmp_path / "mean" / "predictions.csv")
    expected = mean_of(both_run / "predictions.csv", words_run / "predictions.csv")
    np.testing.assert_allclose(ours.probabilities, expected, atol=2e-6)
    assert list(ours.ids) == read_json(both_run / "split.json")["test"]
    assert report["wa"] == pytest.approx(accuracy_score(ours.targets, ours.predicted))
    assert report["ua"] == pytest.approx(balanced_accuracy_score(ours.targets, ours.predicted))
    assert (report["vote"], report["split"], report["fold"], report["seed"]) == (
        "mean",
        "test",
        0,
        [0],
    )
    for member, run in zip(report["members"], (both_run, words_run), strict=True):
        alone = read_json(run / "report.json")
        assert member == {"run": run.name, "wa": alone["wa"], "ua": alone["ua"], "n": alone["n"]}
    assert report["votes"]["mean"] == {key: report[key] for key in ("wa", "ua", "n")}
    assert report["audit"]["verdict"] == "clean"
    assert report["calibration"]["temperature"] is None  # each member has its own
    assert (tmp_path / "mean" / "report.html").is_file()
    shown = capsys.readouterr().out
    for row in (both_run.name, "majority vote", "mean probability"):
        assert row in shown

    assert evaluate(*runs, "--out", tmp_path / "vote", "--vote", "majority") == 0
    voted = read_json(tmp_path / "vote" / "report.json")
    assert voted["vote"] == "majority"
    assert voted["votes"] == report["votes"]
    assert {key: voted[key] for key in ("wa", "ua", "n")} == report["votes"]["majority"]


@pytest.mark.slow
def test_runs_of_two_folds_judge_what_they_tested(
    both_run: Path,
    words_run: Path,
    voice_run: Path,
    second_voice_run: Path,
    workplace: Path,
    own_runs: Path,
):
    """Two runs test speaker a, two others b; the report goes to a folder named after them all."""
    runs = (both_run, words_run, voice_run, second_voice_run)
    assert evaluate("--ensemble", *runs, "--runs", own_runs) == 0
    (out,) = own_runs.iterdir()
    report = read_json(out / "report.json")
    assert out.name.startswith("ensemble-") and report["run"] == out.name
    assert (report["fold"], report["seed"], report["n"]) == ("0, 1", [0, 1], 24)
    ours = load_predictions(out / "predictions.csv")
    parts = [mean_of(runs[i] / "predictions.csv", runs[i + 1] / "predictions.csv") for i in (0, 2)]
    np.testing.assert_allclose(ours.probabilities, np.concatenate(parts), atol=2e-6)


def test_other_data_is_judged_whole_by_runs_of_any_fold(
    voice_run: Path, words_run: Path, other_data: Path, workplace: Path, own_runs: Path
):
    arguments = ("--ensemble", voice_run, words_run, "--data", "data/other", "--runs", own_runs)
    assert evaluate(*arguments) == 0
    (out,) = own_runs.glob("ensemble-*/other-all")
    report = read_json(out / "report.json")
    assert (report["data"], report["split"], report["n"]) == ("other", "all", 33)
    ids = load_predictions(out / "predictions.csv").ids
    assert list(ids) == sorted(read_dataset(other_data).records)


@pytest.mark.slow
def test_utterances_that_a_member_was_trained_on_are_left_out(
    voice_run: Path, words_run: Path, shared: Path, workplace: Path, own_runs: Path
):
    """The run's own utterances come back in a data set that was prepared in another way."""
    copy = shutil.copytree(shared / "data" / "tones", own_runs / "data")
    manifest = read_json(copy / "dataset.json") | {"digest": "another"}
    (copy / "dataset.json").write_text(json.dumps(manifest))
    arguments = ("--ensemble", words_run, voice_run, "--data", copy, "--out", own_runs / "out")
    # Words were tested on speaker a alone, the voice on b alone.
    assert evaluate(*arguments) == cli.USER_ERROR

    again = shutil.copytree(words_run, own_runs / "again")
    arguments = ("--ensemble", words_run, again, "--data", copy, "--out", own_runs / "out")
    assert evaluate(*arguments) == 0
    report = read_json(own_runs / "out" / "report.json")
    tested = read_json(words_run / "split.json")["test"]
    assert list(load_predictions(own_runs / "out" / "predictions.csv").ids) == tested
    assert any(f"{words_run.name} was trained on them: 21" in note for note in report["notes"])


@pytest.mark.slow
def test_a_stranger_to_the_data_joins_on_what_the_others_tested(
    words_run: Path, workplace: Path, own_runs: Path
):
    stranger = shutil.copytree(words_run, own_runs / "stranger")
    stored = read_json(stranger / "split.json")
    stored |= {"data_digest": "another", "train": [], "validation": []}
    (stranger / "split.json").write_text(json.dumps(stored))
    runs = ("--ensemble", words_run, stranger)
    arguments = ("--data", "data/tones", "--out", own_runs / "out")
    assert evaluate(*runs, *arguments) == 0
    report = read_json(own_runs / "out" / "report.json")
    assert (report["split"], report["n"]) == ("test", 12)
    assert evaluate(*runs) == cli.USER_ERROR  # which data is not said


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--ensemble", "WORDS"], "at least two runs"),
        (["--ensemble", "WORDS", "WORDS"], "named twice"),
        (["--ensemble", "WORDS", "VOICE"], "tested different utterances"),
        (["--ensemble", "WORDS", "nowhere"], "saved_models/nowhere: no such run"),
        (["--ensemble", "WORDS", "VOICE", "--split", "all"], "takes --split test or validation"),
        (["--ensemble", "WORDS", "VOICE", "--split", "train"], "takes --split test or validation"),
        (["--run", "WORDS", "--vote", "mean"], "--vote is for several runs"),
        (["--ensemble", "WORDS", "VOICE", "--robustness"], "--robustness looks into one run"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_mistake_is_answered_in_a_sentence(
    words_run: Path, voice_run: Path, workplace: Path, arguments, message, capsys
):
    names = {"WORDS": words_run.name, "VOICE": voice_run.name}
    assert evaluate(*(names.get(entry, entry) for entry in arguments)) == cli.USER_ERROR
    printed = capsys.readouterr().err
    assert message in printed
    assert printed.startswith("error: ") and printed.count("\n") == 1


def test_one_run_or_several(capsys):
    for arguments in ([], ["--run", "a", "--ensemble", "b", "c"]):
        with pytest.raises(SystemExit):
            command("evaluate", *arguments)
        assert "--ensemble" in capsys.readouterr().err
