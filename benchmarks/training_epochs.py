"""Trainings by the command `train` that stop after every epoch, so that they can take turns.

A section leaves their command lines with `leave_training`; contest.py starts this script for each.
A round is one epoch, from the end of the one before to its own end, validation and checkpoint
included. The first epoch, in which graphs are traced, ends before anything is timed.
"""

import atexit
import csv
import dataclasses
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
from contender import Work, contend

SCRIPT = Path(__file__).name
EPOCH = re.compile(r"epoch +\d+/\d+")
FIGURES = ("val_loss", "val_ua", "val_wa")
EXTRA_EPOCHS = 3
"""The first, the one that is not counted, and one that is never finished, since an evaluation
would follow it."""


@dataclass(frozen=True)
class Worker:
    """One process of a training.

    Args:
        arguments: of `python -m mmer_tf.train`, without the run's folder.
        environment: variables that it has besides.
        cores: numbers of the cores that it is bound to; empty for all that the contest gives.
    """

    arguments: Sequence[str]
    environment: dict[str, str] = field(default_factory=dict)
    cores: Sequence[int] = ()


def leave_training(work: Path, name: str, workers: Sequence[Worker]) -> None:
    """Write down what the contender `name` trains; of several workers the first is the chief."""
    described = [dataclasses.asdict(worker) for worker in workers]
    (work / f"{name}.json").write_text(json.dumps(described), encoding="utf-8")


def read_history(work: Path, name: str) -> dict[str, np.ndarray]:
    """Validation figures of all epochs so far: name -> (epochs,)."""
    with (work / name / "history.csv").open(encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    return {figure: np.array([float(row[figure]) for row in rows]) for figure in FIGURES}


def make_training(name: str, work: Path) -> Work:
    """The training, stopped after its first epoch."""
    described = json.loads((work / f"{name}.json").read_text(encoding="utf-8"))
    started = time.monotonic()
    processes = [_start(Worker(**worker), work, name) for worker in described]

    def one_epoch() -> None:
        _signal(processes, signal.SIGCONT)
        _until_epoch_ends(name, processes[0])
        _signal(processes, signal.SIGSTOP)

    one_epoch()
    return Work(
        run=one_epoch,
        answers=read_history(work, name),
        facts={"until_first_epoch": time.monotonic() - started},
    )


def _start(worker: Worker, work: Path, name: str) -> subprocess.Popen:
    command = [sys.executable, "-m", "mmer_tf.train", *worker.arguments]
    command += ["--runs", str(work), "--run", name, "--overwrite"]
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
        text=True,
        env=os.environ | {"PYTHONUNBUFFERED": "1"} | worker.environment,
        preexec_fn=partial(_bind, worker.cores),
    )
    atexit.register(process.kill)
    return process


def _bind(cores: Sequence[int]) -> None:
    if cores:
        os.sched_setaffinity(0, cores)


def _signal(processes: Sequence[subprocess.Popen], number: int) -> None:
    for process in processes:
        process.send_signal(number)


def _until_epoch_ends(name: str, chief: subprocess.Popen) -> None:
    assert chief.stdout is not None
    for line in chief.stdout:
        print(f"{name}: {line}", end="", flush=True)
        if EPOCH.match(line):
            return
    raise SystemExit(f"{name}: the training ended with exit code {chief.wait()}")


if __name__ == "__main__":
    contend({sys.argv[1]: partial(make_training, sys.argv[1])})
