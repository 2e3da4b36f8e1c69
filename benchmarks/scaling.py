"""How training time grows with the data, and what a second worker brings.

Trains `gmu` on the synthetic corpus at 1, 2, 4 and 8 times a size on all cores, then on one core
with one worker against two cores with two. Both by the command `train`, epoch by epoch in turns.
"""

import json
import os
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

from contest import Contender, Line, Timed, line, take_turns
from run import Setting
from training_epochs import EXTRA_EPOCHS, SCRIPT, Worker, leave_training

from mmer_tf import cli

RECIPE = "gmu"
TIMES = (1, 2, 4, 8)
PER_CELL = 5
"""Utterances for each of 10 speakers and 4 emotions at 1x; six speakers train."""

TRAINING_CELLS = 6 * 4

BATCH_OF_WORKERS = 64
"""Utterances of a step that several workers share: what they tell each other after it does not
depend on it."""


def measure(setting: Setting) -> Iterator[Line]:
    """Larger data, then more workers."""
    work = setting.folder("scaling")
    per_cell = 1 if setting.tiny else PER_CELL
    corpora = {times: speak(work, per_cell * times) for times in TIMES}
    yield from more_data(setting, work, per_cell, corpora)
    if setting.cores > 1:
        yield more_workers(setting, work, per_cell * 4, corpora[4])


def speak(work: Path, per_cell: int) -> Path:
    """A part of the synthetic corpus with the features of the recipe, or a larger one."""
    cli.import_tensorflow()
    from mmer_tf.data.prepare import prepare_synthetic

    folder = work / f"data-{per_cell}"
    prepare_synthetic(folder, ["log_mel"], utterances_per_cell=per_cell)
    return folder


def more_data(
    setting: Setting, work: Path, per_cell: int, corpora: dict[int, Path]
) -> Iterator[Line]:
    """A line for each size against as many epochs of the smallest."""
    for times, data in corpora.items():
        leave_training(work, f"{times}x", [Worker(train_arguments(setting, data))])
    timed = take_turns(
        [Contender(f"{times}x", SCRIPT) for times in corpora],
        work,
        threads=setting.cores,
        rounds=setting.rounds,
    )
    for times in TIMES[1:]:
        one = timed["1x"]
        repeated = Timed(tuple(times * seconds for seconds in one.seconds), one.facts)
        count = TRAINING_CELLS * per_cell * times
        yield line(
            (timed[f"{times}x"], repeated),
            count=count,
            what=f"an epoch of `{RECIPE}`, {times} times the data ({count} training utterances)",
            opponent=f"the same command on {count // times} utterances",
            unit="training utterances/s",
            goal=1,
            note="1 is linear; above, what an epoch costs once (checkpoint, tables, first batch) "
            "is shared by more utterances. The epoch ends with the validation of a third as many.",
        )


def more_workers(setting: Setting, work: Path, per_cell: int, data: Path) -> Line:
    """Two workers of one core each against one on one core."""
    cores = sorted(os.sched_getaffinity(0))[-2:]
    arguments = [*train_arguments(setting, data), f"train.batch_size={BATCH_OF_WORKERS}"]
    one_thread = {"TF_NUM_INTRAOP_THREADS": "1", "OMP_NUM_THREADS": "1"}
    leave_training(work, "one", [Worker(arguments, one_thread, cores[1:])])
    addresses = [f"127.0.0.1:{port}" for port in free_ports(2)]
    workers = []
    for number, core in enumerate(cores):
        task = {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": number}}
        variables = one_thread | {"TF_CONFIG": json.dumps(task)}
        workers.append(Worker([*arguments, "--distribute", "multiworker"], variables, (core,)))
    leave_training(work, "two", workers)
    timed = take_turns(
        [Contender("two", SCRIPT), Contender("one", SCRIPT)],
        work,
        threads=2,
        rounds=setting.rounds,
    )
    count = TRAINING_CELLS * per_cell
    return line(
        (timed["two"], timed["one"]),
        count=count,
        what=f"an epoch of `{RECIPE}` with two workers, {count} training utterances",
        opponent="one worker",
        unit="training utterances/s",
        note=f"2 would be perfect. Batches of {BATCH_OF_WORKERS}, of which two workers compute "
        "half each and then add up their gradients. One core a worker, both on this machine: they "
        "share its memory and caches and speak over its loopback, so nothing is said of a network "
        "between machines, nor of more than two.",
    )


def train_arguments(setting: Setting, data: Path) -> list[str]:
    """Of the command, the same for all."""
    epochs = setting.rounds + EXTRA_EPOCHS
    arguments = ["--model", RECIPE, "--data", str(data), "--no-tensorboard"]
    return [*arguments, *(["--tiny"] if setting.tiny else ()), f"train.epochs={epochs}"]


def free_ports(count: int) -> list[int]:
    """Ports of this machine that nobody listens at."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
