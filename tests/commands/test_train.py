"""The train command as a user types it: what it leaves, resumes, refuses, and never looks at."""

import csv
import dataclasses
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import keras
import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score, confusion_matrix, f1_score
from workplace import (
    BOTH,
    FIGURES,
    OVERRIDES,
    command,
    command_of_a_stranger,
    read_json,
    write_recipe,
    write_tones,
)

from mmer_tf import cli, experiment
from mmer_tf.audio.decode import decode
from mmer_tf.data.features import FEATURES
from mmer_tf.data.manifest import read_dataset
from mmer_tf.evaluation.calibration import expected_calibration_error
from mmer_tf.evaluation.predictions import load_predictions
from mmer_tf.recipe import load_recipe, shipped_recipes
from mmer_tf.training.progress import EpochProgress

FILES = {
    "recipe.yaml", "labels.json", "model.keras", "tokenizer", "split.json", "history.csv",
    "calibration.json", "trained_on.json", "tensorboard", "report.json", "predictions.csv",
    "model_card.md",
}  # fmt: skip
DATA = ("--data", "data/tones")


def rows_of(file: Path) -> list[dict[str, str]]:
    with file.open(newline="") as stream:
        return list(csv.DictReader(stream))


def weights_of(run: Path) -> list[np.ndarray]:
    return keras.saving.load_model(run / "model.keras", compile=False).get_weights()


def assert_same_training(run: Path, other: Path) -> None:
    """Bit by bit the same weights, chosen from the same epochs."""
    for weight, other_weight in zip(weights_of(run), weights_of(other), strict=True):
        np.testing.assert_array_equal(weight, other_weight)
    assert (run / "history.csv").read_bytes() == (other / "history.csv").read_bytes()
    vocabulary = Path("tokenizer") / "vocab.txt"
    assert (run / vocabulary).read_bytes() == (other / vocabulary).read_bytes()


# === What a run holds ===


def test_run_holds_the_promised_files(both_run: Path):
    assert {file.name for file in both_run.iterdir()} == FILES
    for part in ("train", "validation"):
        assert list((both_run / "tensorboard" / part).glob("events.out.tfevents.*"))
    assert read_json(both_run / "labels.json")["labels"] == ["angry", "happy", "neutral", "sad"]
    history = rows_of(both_run / "history.csv")
    assert [row["epoch"] for row in history] == ["1", "2"]
    assert set(history[0]) == {"epoch", "loss", "ua", "wa", "val_loss", "val_ua", "val_wa"}


def test_recipe_is_stored_as_trained(both_run: Path):
    stored = load_recipe(both_run / "recipe.yaml")
    assert stored == load_recipe(shipped_recipes()["gmu"], OVERRIDES, tiny=True)
    assert (stored.train.epochs, stored.speech.options["units"]) == (2, 4)


def test_report_is_what_scikit_learn_makes_of_the_predictions(both_run: Path, shared: Path):
    report, split = read_json(both_run / "report.json"), read_json(both_run / "split.json")
    predictions = load_predictions(both_run / "predictions.csv")
    targets, predicted = predictions.targets, predictions.predicted
    assert list(predictions.ids) == split["test"]
    rows = {row.id: row for row in read_dataset(shared / "data" / "tones").rows}
    assert {rows[id].speaker for id in split["test"]} == {"a"}
    assert {rows[id].speaker for id in split["validation"]} == {"b"}
    assert [predictions.labels[i] for i in targets] == [rows[id].label for id in predictions.ids]
    assert report["wa"] == pytest.approx(np.mean(targets == predicted))
    assert report["ua"] == pytest.approx(balanced_accuracy_score(targets, predicted))
    assert report["macro_f1"] == pytest.approx(f1_score(targets, predicted, average="macro"))
    assert report["weighted_f1"] == pytest.approx(f1_score(targets, predicted, average="weighted"))
    chosen = predictions.probabilities[np.arange(12), targets]
    assert report["loss"] == pytest.approx(-np.log(chosen).mean(), abs=1e-5)
    assert report["confusion_matrix"] == confusion_matrix(targets, predicted).tolist()
    assert set(report["per_class"]) == set(report["labels"])
    expected = {"n": 12, "split": "test", "protocol": "speaker", "seed": 0, "fold": 0}
    expected |= {"data": "tones", "run": both_run.name, "notes": []}
    assert {key: report[key] for key in expected} == expected


def test_statistics_are_those_of_the_training_recordings(both_run: Path, shared: Path):
    split = read_json(both_run / "split.json")
    frames = np.concatenate(
        [
            FEATURES["log_mel"].extract(decode(row.audio)).astype("float64")
            for row in read_dataset(shared / "data" / "tones").rows
            if row.id in split["train"]
        ]
    )
    model = keras.saving.load_model(both_run / "model.keras", compile=False)
    mean, deviation = model.get_layer("standardise_log_mel").get_weights()
    np.testing.assert_allclose(mean, frames.mean(axis=0), rtol=1e-5)
    np.testing.assert_allclose(deviation, frames.std(axis=0), rtol=1e-4)


def test_nothing_of_the_test_split_reaches_the_model(
    both_run: Path, workplace: Path, own_runs: Path
):
    """Other labels, words and sounds of the test speaker leave epoch and weights as they were."""

    def change(row: dict) -> None:
        if row["speaker"] == "a":
            labels = ["angry", "happy", "neutral", "sad"]
            label = labels[(labels.index(row["label"]) + 1) % 4]
            row.update(label=label, text="Quick foxes jump", number=row["number"] + 60)

    write_tones(own_runs.parent / "tones", change=change)
    assert command("train", *BOTH, "--data", own_runs.parent / "tones", "--runs", own_runs,
                   *FIGURES, *OVERRIDES) == 0  # fmt: skip
    (run,) = own_runs.iterdir()
    assert_same_training(both_run, run)
    assert "q" not in (run / "tokenizer" / "vocab.txt").read_text().split()
    assert read_json(both_run / "report.json")["loss"] != read_json(run / "report.json")["loss"]


# === What a run is called ===


def name_of(monkeypatch, *arguments: str) -> str:
    """The name of the run that would be trained."""
    plans = []
    monkeypatch.setattr(experiment, "run", lambda plan, execution: plans.append(plan))
    assert command("train", *DATA, *arguments) == 0
    return plans[0].folder.name


def test_name_tells_what_decides_the_outcome(workplace: Path, monkeypatch):
    def name(*arguments: str) -> str:
        return name_of(monkeypatch, *arguments)

    assert name() == "gmu-tones-speaker-fold0-seed0"
    chosen = ("--model", "gmu_text", "--protocol", "random", "--folds", "4", "--seed", "7")
    assert name(*chosen) == "gmu_text-tones-random-fold4-seed7"
    changed = name("train.epochs=3")
    assert re.fullmatch(r"gmu\+[0-9a-f]{8}-tones-speaker-fold0-seed0", changed)
    assert changed == name("train.epochs=3") != name("train.epochs=4")
    assert "+" in name("--tiny")
    assert name("--run", "mine", "train.epochs=3") == "mine"
    monkeypatch.chdir("data/tones")
    assert name("--data", ".") == "gmu-tones-speaker-fold0-seed0"


# === Runs that are there already ===


def test_finished_run_asks_for_overwrite(both_run: Path, workplace: Path, capsys):
    before = (both_run / "model.keras").stat()
    assert command("train", *BOTH, *DATA, "--run", "both", *OVERRIDES) == cli.USER_ERROR
    assert "--overwrite" in capsys.readouterr().err
    assert (both_run / "model.keras").stat() == before


@pytest.mark.slow
def test_overwrite_trains_anew(
    words_run: Path, workplace: Path, own_runs: Path, monkeypatch, capsys
):
    """And killed when all is trained, the new run goes on without another epoch."""
    run = own_runs / words_run.name
    shutil.copytree(words_run, run)
    for name in ("report.json", "model.keras", "predictions.csv"):
        (run / name).write_text("{}")
    arguments = ("--config", "words.yaml", *DATA, "--runs", own_runs, *FIGURES)

    def interrupt(*arguments, **options):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(experiment, "write_report", interrupt)
        assert command("train", *arguments, "--overwrite") == cli.INTERRUPTED
    assert "epoch   2/2" in capsys.readouterr().out

    assert command("train", *arguments) == 0
    shown = capsys.readouterr().out
    assert f"going on with {run}" in shown and "epoch " not in shown
    assert "macro F1" in shown and f"written to {run}/" in shown
    assert {file.name for file in run.iterdir()} == FILES
    assert_same_training(words_run, run)
    for name in ("report.json", "predictions.csv"):
        assert (run / name).read_bytes() == (words_run / name).read_bytes()


@pytest.mark.slow
def test_killed_run_goes_on_as_if_nothing_had_happened(
    both_run: Path, workplace: Path, own_runs: Path, monkeypatch, capsys
):
    arguments = (*BOTH, *DATA, "--run", "both", "--runs", own_runs, *FIGURES, *OVERRIDES)
    run = own_runs / "both"
    batches = []

    def count(callback, batch, logs=None):
        batches.append(batch)
        if len(batches) == 5:  # the second of three in epoch 2
            raise KeyboardInterrupt

    monkeypatch.setattr(EpochProgress, "on_train_batch_end", count)
    assert command("train", *arguments) == cli.INTERRUPTED
    assert (run / "checkpoint" / "last.npz").is_file() and not (run / "model.keras").exists()
    assert len(rows_of(run / "history.csv")) == 1

    assert command("train", *arguments) == 0
    assert batches == [0, 1, 2, 0, 1, 0, 1, 2]
    assert f"going on with {run}" in capsys.readouterr().out
    assert {file.name for file in run.iterdir()} == FILES
    assert_same_training(both_run, run)
    for name in ("report.json", "predictions.csv", "split.json"):
        assert (run / name).read_bytes() == (both_run / name).read_bytes()


@pytest.mark.parametrize("finished", [True, False])
@pytest.mark.parametrize(
    ("options", "overrides"),
    [
        ((), ("train.epochs=3",)),
        (("--seed", "1"), ()),
        (("--folds", "1"), ()),
        (("--data", "data/other"), ()),
    ],
    ids=lambda value: " ".join(value),
)
def test_another_run_of_the_same_name_is_refused(
    both_run: Path,
    other_data: Path,
    workplace: Path,
    own_runs: Path,
    finished,
    options,
    overrides,
    capsys,
):
    run = own_runs / "both"
    shutil.copytree(both_run, run)
    if not finished:
        (run / "report.json").unlink()
    before = (run / "model.keras").read_bytes()
    code = command("train", *BOTH, *DATA, "--run", "both", "--runs", own_runs, *options,
                   *OVERRIDES, *overrides)  # fmt: skip
    assert code == cli.USER_ERROR
    assert "is a run of another recipe, data set, split or seed" in capsys.readouterr().err
    assert (run / "model.keras").read_bytes() == before


@pytest.mark.parametrize("name", ["/elsewhere", "../elsewhere", "a/b", "..", "."])
def test_name_of_a_run_is_no_path(workplace: Path, name: str, capsys):
    assert command("train", *DATA, "--run", name, "--overwrite") == cli.USER_ERROR
    assert "not a path" in capsys.readouterr().err


def test_overwrite_removes_nothing_but_runs(workplace: Path, capsys):
    code = command("train", *DATA, "--runs", "data", "--run", "tones", "--overwrite")
    assert code == cli.USER_ERROR
    assert "holds other files" in capsys.readouterr().err
    assert (workplace / "data" / "tones" / "dataset.json").is_file()


def test_summary_does_not_replace_a_run(both_run: Path, workplace: Path, capsys):
    code = command("train", *BOTH, *DATA, "--run", "both", "--seeds", "0,1", *OVERRIDES)
    assert code == cli.USER_ERROR
    assert "not the summary of several" in capsys.readouterr().err


# === Several folds and seeds ===


@pytest.fixture(scope="module")
def voice_folds(voice_run: Path, shared: Path):
    """All folds of the voice, of which one was trained before; and what was shown."""
    before = (voice_run / "model.keras").stat()
    with pytest.MonkeyPatch.context() as patch, cli.console.capture() as shown:
        patch.chdir(shared)
        assert command("train", "--config", "voice.yaml", *DATA, "--folds", "all", *FIGURES) == 0
    assert (voice_run / "model.keras").stat() == before
    folders = [
        voice_run.with_name(voice_run.name.replace("fold1", fold))
        for fold in ("fold0", "fold1", "fold2", "folds")
    ]
    return folders, shown.get()


@pytest.mark.slow
def test_folds_are_summed_up(voice_folds, shared: Path):
    (*folds, summary), shown = voice_folds
    assert f"{folds[1].name}: finished before" in shown
    assert "mean" in shown and "deviation" in shown
    reports = [read_json(fold / "report.json") for fold in folds]
    report = read_json(summary / "report.json")
    assert {file.name for file in summary.iterdir()} == {"report.json", "predictions.csv"}
    for figure in ("wa", "ua", "macro_f1", "weighted_f1", "loss"):
        values = [fold[figure] for fold in reports]
        assert report["summary"][figure]["mean"] == pytest.approx(np.mean(values))
        assert report["summary"][figure]["deviation"] == pytest.approx(np.std(values, ddof=1))
    assert report["runs"] == [fold.name for fold in folds]
    assert (report["fold"], report["n"]) == ("all", 33)
    matrices = [fold["confusion_matrix"] for fold in reports]
    assert report["confusion_matrix"] == np.sum(matrices, axis=0).tolist()
    pooled = load_predictions(summary / "predictions.csv")
    assert sorted(pooled.ids) == sorted(read_dataset(shared / "data" / "tones").records)
    assert report["ua"] == pytest.approx(balanced_accuracy_score(pooled.targets, pooled.predicted))
    # At temperature 1 the probabilities are p^T / sum p^T of each fold's own T.
    raw = []
    for fold, told in zip(folds, reports, strict=True):
        powers = load_predictions(fold / "predictions.csv").probabilities
        powers = powers ** told["calibration"]["temperature"]
        raw.append(powers / powers.sum(axis=1, keepdims=True))
    uncalibrated = dataclasses.replace(pooled, probabilities=np.concatenate(raw))
    assert report["calibration"]["temperature"] is None
    error = expected_calibration_error(uncalibrated)
    assert report["calibration"]["ece_uncalibrated"] == pytest.approx(error)


@pytest.mark.slow
def test_class_absent_from_a_fold_is_left_out_of_its_ua(voice_folds):
    (*_, third, summary), _ = voice_folds
    report, pooled = read_json(third / "report.json"), read_json(summary / "report.json")
    assert report["per_class"]["sad"]["n"] == 0
    recalls = [report["per_class"][label]["recall"] for label in ("angry", "happy", "neutral")]
    assert report["ua"] == pytest.approx(np.mean(recalls))
    assert len(report["notes"]) == 1 and "sad" in report["notes"][0]
    assert pooled["notes"] == [f"fold 2, seed 0: {report['notes'][0]}"]
    assert pooled["per_class"]["sad"]["n"] == 6


@pytest.mark.slow
def test_seeds_are_summed_up(words_run: Path, workplace: Path):
    assert command("train", "--config", "words.yaml", *DATA, "--seeds", "0,1", *FIGURES) == 0
    second = words_run.with_name(words_run.name.replace("seed0", "seed1"))
    summary = read_json(words_run.with_name(words_run.name + ",1") / "report.json")
    reports = [read_json(run / "report.json") for run in (words_run, second)]
    assert summary["seed"] == [0, 1] and summary["n"] == 24
    assert summary["summary"]["ua"]["mean"] == pytest.approx(np.mean([r["ua"] for r in reports]))
    first, other = (load_predictions(run / "predictions.csv") for run in (words_run, second))
    assert (first.ids == other.ids).all() and (first.probabilities != other.probabilities).any()


# === In a process of its own ===


def test_stranger_reads_nothing_but_ours(stranger: subprocess.CompletedProcess[str]):
    assert stranger.returncode == 0
    assert stranger.stderr == ""
    for foreign in ("WARNING", "warning", "oneDNN", "cuda", "I0000"):
        assert foreign not in stranger.stdout
    assert "UA" in stranger.stdout and "written to" in stranger.stdout


@pytest.mark.slow
def test_process_killed_in_an_epoch_goes_on_to_the_same_end(shared: Path, tmp_path: Path):
    recipe = write_recipe(tmp_path / "long.yaml", "long")
    arguments = [sys.executable, "-m", "mmer_tf.train", "--config", str(recipe), *DATA,
                 *OVERRIDES, "train.epochs=40", "--runs"]  # fmt: skip

    def start(runs: str) -> subprocess.Popen:
        return subprocess.Popen([*arguments, str(tmp_path / runs)], cwd=shared)

    assert start("whole").wait() == 0
    (whole,) = (tmp_path / "whole").iterdir()
    killed = tmp_path / "killed" / whole.name
    for _ in range(2):  # the second time, a process that had itself resumed
        process = start("killed")
        history, seen = killed / "history.csv", 0
        done = len(rows_of(history)) if history.exists() else 0
        while seen < done + 5 and process.poll() is None:
            time.sleep(0.02)
            seen = len(rows_of(history)) if history.exists() else 0
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
    assert not (killed / "model.keras").exists()
    assert start("killed").wait() == 0
    assert_same_training(whole, killed)
    assert (whole / "predictions.csv").read_bytes() == (killed / "predictions.csv").read_bytes()


@pytest.mark.slow
def test_command_alone_speaks_prepares_and_trains(tmp_path: Path):
    pytest.importorskip("espeakng_loader", reason="needs the extra 'synthetic'")
    done = command_of_a_stranger(
        "train", "--model", "gmu", "--folds", "0", "train.epochs=1", cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    dataset = read_dataset(tmp_path / "data" / "synthetic")
    assert (len(dataset.rows), len(dataset.count("speaker"))) == (1000, 10)
    (run,) = (tmp_path / "saved_models").iterdir()
    assert re.fullmatch(r"gmu\+[0-9a-f]{8}-synthetic-speaker-fold0-seed0", run.name)
    report = read_json(run / "report.json")
    assert report["n"] == 200
    assert {file.name for file in run.iterdir()} == FILES | {"plots", "report.html"}
