"""The train command on two workers, and on a disk that fills up."""

import json
import os
import resource
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from workplace import OVERRIDES, read_json, write_recipe

from mmer_tf import cli
from mmer_tf.evaluation.history import read_history
from mmer_tf.evaluation.predictions import load_predictions

CALM = ("train.modality_dropout=0", "train.vocal_tract_warp=0", "dropout=0",
        "speech.options.dropout=0", "text.options.dropout=0")  # fmt: skip
"""Without what each device draws for itself."""


def start(cwd: Path, *arguments: str | Path, room: int | None = None, **environment: str):
    """A training in a process of its own, where no file may grow beyond `room` bytes."""

    def limit():
        if room is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (room, room))

    return subprocess.Popen(
        [sys.executable, "-m", "mmer_tf.train", *map(str, arguments)],
        cwd=cwd,
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=limit,
    )


@pytest.mark.slow
def test_two_workers_train_as_one_process(shared: Path, tmp_path: Path):
    """In one folder, as on a shared disk; the chief alone talks and writes."""
    recipe = write_recipe(tmp_path / "calm.yaml", "calm")
    arguments = ("--config", recipe, "--data", "data/tones", "--run", "both",
                 *OVERRIDES, *CALM, "train.epochs=4", "--runs")  # fmt: skip
    with socket.socket() as one, socket.socket() as other:
        one.bind(("127.0.0.1", 0))
        other.bind(("127.0.0.1", 0))
        addresses = [f"127.0.0.1:{free.getsockname()[1]}" for free in (one, other)]
    workers = []
    for index in range(2):
        task = {"type": "worker", "index": index}
        config = json.dumps({"cluster": {"worker": addresses}, "task": task})
        workers.append(start(shared, *arguments, tmp_path / "two", TF_CONFIG=config))
    alone = start(shared, *arguments, tmp_path / "one", "--distribute", "none")
    (out, err), (quiet, other_err), _ = (
        process.communicate(timeout=900) for process in (*workers, alone)
    )
    assert [process.returncode for process in (*workers, alone)] == [0, 0, 0], err + other_err
    assert "written to" in out and quiet == ""

    one, two = (tmp_path / name / "both" for name in ("one", "two"))
    assert {file.name for file in two.iterdir()} == {file.name for file in one.iterdir()}
    curves = [
        np.array([[row[name] for name in ("loss", "ua", "val_loss", "val_ua")] for row in rows])
        for rows in (read_history(run)[""] for run in (one, two))
    ]
    print("one process:", curves[0], "two workers:", curves[1], sep="\n")
    np.testing.assert_allclose(*curves, atol=1e-4)
    answers = [load_predictions(run / "predictions.csv") for run in (one, two)]
    np.testing.assert_allclose(*(a.probabilities for a in answers), atol=1e-3)
    assert read_json(one / "split.json") == read_json(two / "split.json")


@pytest.mark.slow
def test_full_disk_is_one_sentence_and_the_run_goes_on(shared: Path, tmp_path: Path):
    """Wherever the run is when its disk is full; with room again, it ends as any other."""
    recipe = write_recipe(tmp_path / "words.yaml", "words", speech=None, fusion=None)
    arguments = ("--config", recipe, "--data", "data/tones", "--run", "words", *OVERRIDES,
                 "--runs")  # fmt: skip
    whole = start(shared, *arguments, tmp_path / "whole")
    out, err = whole.communicate(timeout=600)
    assert whole.returncode == 0, err
    finished = tmp_path / "whole" / "words"
    sizes = {name: (finished / name).stat().st_size for name in ("model.keras", "report.html")}
    for room in (5_000, sizes["model.keras"] - 1, sizes["report.html"] - 500):
        process = start(shared, *arguments, tmp_path / "full", room=room)
        out, err = process.communicate(timeout=600)
        assert process.returncode == cli.USER_ERROR, out + err
        assert err.startswith("error: ") and err.count("\n") == 1, err
        assert "cannot be written, the disk is full" in err and "start the same command" in err
        assert not list((tmp_path / "full").rglob("partial-*"))
        assert not (tmp_path / "full" / "words" / "report.json").exists()
    again = start(shared, *arguments, tmp_path / "full")
    out, err = again.communicate(timeout=600)
    assert again.returncode == 0, err
    for name in ("history.csv", "predictions.csv"):
        assert (tmp_path / "full" / "words" / name).read_bytes() == (finished / name).read_bytes()
