"""Several devices and workers: mistakes told, and the same training as on one device.

Two logical CPUs stand in for two GPUs, and two processes on loopback for two machines. Both are
compared with one process that gets the same batches, among which are some of an odd size and one
of a single utterance. The tolerance is what the order of additions makes of float32.
"""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from mmer_tf.training.distribute import Distribution, DistributionError, make_distribution

SCRIPT = Path(__file__).with_name("train_apart.py")
FIGURES = ("loss", "ua", "wa", "val_loss", "val_ua", "val_wa")
TOLERANCE = {"rtol": 1e-5, "atol": 1e-5}


def start(how: str, folder: Path, *settings: str, **environment: str) -> subprocess.Popen[str]:
    """A training in a process of its own."""
    command = [sys.executable, str(SCRIPT), how, str(folder), *settings]
    inherited = {name: value for name, value in os.environ.items() if name != "TF_CONFIG"}
    return subprocess.Popen(
        command,
        env=inherited | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def start_workers(folder: Path, *settings: str, how: str = "multiworker") -> list[subprocess.Popen]:
    """Two workers, each with a folder of its own."""
    ports = []
    for _ in range(2):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            ports.append(free.getsockname()[1])
    cluster = {"worker": [f"127.0.0.1:{port}" for port in ports]}
    return [
        start(
            how,
            folder / str(index),
            *settings,
            TF_CONFIG=json.dumps({"cluster": cluster, "task": {"type": "worker", "index": index}}),
        )
        for index in range(2)
    ]


def results(process: subprocess.Popen) -> dict[tuple[str, str], dict]:
    """What it printed, by device and case."""
    out, err = process.communicate(timeout=1500)
    assert process.returncode == 0, err[-3000:]
    rows = [json.loads(line) for line in out.splitlines()]
    return {(row["how"], row["case"]): row for row in rows}


def curve(result: dict) -> np.ndarray:
    return np.array([[row[figure] for figure in FIGURES] for row in result["history"]])


def assert_same_training(one: dict, other: dict, **tolerance: float) -> None:
    """Figures of every epoch, and the weights at the end."""
    print("one device:", *curve(one), "several:", *curve(other), sep="\n")
    np.testing.assert_allclose(curve(other), curve(one), **(tolerance or TOLERANCE))
    for weight, other_weight in zip(one["weights"], other["weights"], strict=True):
        np.testing.assert_allclose(other_weight, weight, **(tolerance or TOLERANCE))


# === Mistakes ===


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (None, "needs the variable TF_CONFIG, such as"),
        ("{", "TF_CONFIG names no task of a cluster"),
        ('{"cluster": {"worker": ["a:1", "b:1"]}}', "TF_CONFIG names no task"),
        (
            '{"cluster": {"worker": ["a:1", "b:1"]}, "task": {"type": "worker", "index": 2}}',
            "TF_CONFIG names no task",
        ),
        (
            '{"cluster": {"worker": ["a", "b:1"]}, "task": {"type": "worker", "index": 1}}',
            "'a' is no address of a worker; write it as host:port",
        ),
        (
            '{"cluster": {"worker": ["a:1", "a:1"]}, "task": {"type": "worker", "index": 1}}',
            "address of a worker twice",
        ),
        (
            '{"cluster": {"worker": ["a:1"], "ps": ["b:1"]}, "task": '
            '{"type": "worker", "index": 0}}',
            "only `chief` and `worker` can train together, not `ps`",
        ),
        (
            '{"cluster": {"worker": ["a:1"]}, "task": {"type": "worker", "index": 0}}',
            "TF_CONFIG names one worker",
        ),
    ],
)
def test_cluster_that_is_none_is_refused(text, told, monkeypatch):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    if text is not None:
        monkeypatch.setenv("TF_CONFIG", text)
    with pytest.raises(DistributionError, match=told):
        make_distribution("multiworker")


def test_one_device_is_not_several(monkeypatch):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    for name in ("none", "auto"):
        alone = make_distribution(name)
        assert (alone.num_replicas, alone.num_workers, alone.is_chief) == (1, 1, True)
    with pytest.raises(DistributionError, match="needs several GPUs, and TensorFlow sees one"):
        make_distribution("mirrored")


def test_batch_must_suffice_for_all_devices(monkeypatch):
    monkeypatch.setattr(Distribution, "num_replicas", 4)
    Distribution().require_batch_size(4)
    with pytest.raises(DistributionError, match=r"`train\.batch_size` must be .* 3 for 4 devices"):
        Distribution().require_batch_size(3)


# === The same training ===


@pytest.mark.slow
def test_two_devices_train_as_one(tmp_path: Path):
    done = results(start("none,mirrored", tmp_path, "devices=2"))
    assert_same_training(done["none", ""], done["mirrored", ""])


@pytest.mark.slow
def test_two_devices_accumulate_and_compute_in_half_as_one(tmp_path: Path):
    cases = {"accumulation": {"accumulation": 3}, "half": {"precision": "mixed_float16"}}
    done = results(start("none,mirrored", tmp_path, "devices=2", f"cases={json.dumps(cases)}"))
    assert_same_training(done["none", "accumulation"], done["mirrored", "accumulation"])
    assert_same_training(done["none", "half"], done["mirrored", "half"], rtol=0, atol=5e-3)


@pytest.mark.slow
def test_resumed_on_two_devices_is_as_uninterrupted(tmp_path: Path):
    """Dropout, accumulation and the scale of the loss go on where they were."""
    settings = {"dropout": 0.4, "accumulation": 3, "precision": "mixed_float16"}
    cases = {
        "whole": settings,
        "parts/": settings | {"last_epoch": 2},
        "parts": settings,
    }
    done = results(start("none,mirrored", tmp_path, "devices=2", f"cases={json.dumps(cases)}"))
    for how in ("none", "mirrored"):
        np.testing.assert_array_equal(curve(done[how, "parts"]), curve(done[how, "whole"]))
        for one, other in zip(
            done[how, "parts"]["weights"], done[how, "whole"]["weights"], strict=True
        ):
            np.testing.assert_array_equal(one, other)
    assert curve(done["none", "whole"])[0, 0] != curve(done["mirrored", "whole"])[0, 0]


@pytest.mark.slow
def test_two_workers_train_as_one_and_the_chief_alone_writes(tmp_path: Path):
    cases = {"plain": {}, "accumulation": {"accumulation": 3}}
    workers = start_workers(tmp_path, f"cases={json.dumps(cases)}")
    alone = results(start("none", tmp_path / "alone", f"cases={json.dumps(cases)}"))
    chief, other = (results(worker) for worker in workers)
    for case in cases:
        assert_same_training(alone["none", case], chief["multiworker", case])
        assert chief["multiworker", case] == other["multiworker", case]
    assert (tmp_path / "0" / "multiworker" / "plain" / "history.csv").is_file()
    assert not (tmp_path / "1").exists()


@pytest.mark.slow
@pytest.mark.parametrize("victim", [0, 1])
def test_killed_worker_is_told_and_the_training_goes_on(tmp_path: Path, victim: int):
    """Kill one of two; the other says so; both go on to where an uninterrupted training ends."""
    settings = ("epochs=24", "dropout=0.4")
    whole = [results(worker) for worker in start_workers(tmp_path / "whole", *settings)]
    workers = start_workers(tmp_path / "parts", *settings)
    history = tmp_path / "parts" / "0" / "multiworker" / "history.csv"
    while not history.is_file() or len(history.read_text().splitlines()) < 5:
        assert workers[0].poll() is None, workers[0].communicate()[1][-3000:]
        time.sleep(0.02)
    workers[victim].send_signal(signal.SIGKILL)
    workers[victim].communicate()
    survivor = workers[1 - victim]
    try:
        err = survivor.communicate(timeout=120)[1]
    finally:
        survivor.kill()
    assert survivor.returncode != 0 and "another worker of this training has stopped" in err
    assert len(history.read_text().splitlines()) < 25

    resumed = [results(worker) for worker in start_workers(tmp_path / "parts", *settings)]
    key = ("multiworker", "")
    assert resumed[0][key] == resumed[1][key] == whole[0][key]


@pytest.mark.slow
def test_keras_alone_still_cannot_train_on_several_workers(tmp_path: Path):
    """Once it can (keras issue 20585), `replicated.py` may lose what it does about that."""
    workers = start_workers(tmp_path, how="keras")
    failed = [worker.communicate(timeout=300)[1] for worker in workers]
    assert all(worker.returncode for worker in workers), "Keras trains on several workers now"
    assert any("PerReplica" in err or "reduc" in err for err in failed), failed[0][-3000:]
