"""Side by side: contenders in processes of their own take turns, and a ratio comes out.

Every contender stays loaded while the others work: it waits for a line of standard input, so it
takes no processor time. All of them work once before the clock counts.
"""

import contextlib
import dataclasses
import json
import os
import signal
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

ROUNDS = 5
"""Fewest rounds that a median is taken of."""

THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "NUMBA_NUM_THREADS",
    "TF_NUM_INTRAOP_THREADS",
)


@dataclass(frozen=True)
class Contender:
    """One process of a contest.

    Args:
        name: key of the script's makers.
        script: file in this folder.
        python: interpreter of its environment.
        processes: that it works in; they share the threads.
    """

    name: str
    script: str
    python: Path = Path(sys.executable)
    processes: int = 1


@dataclass(frozen=True)
class Timed:
    """What one contender needed.

    Args:
        seconds: wall clock, round by round.
        facts: what it told of itself after the last round.
    """

    seconds: tuple[float, ...]
    facts: Mapping[str, Any]

    @property
    def median(self) -> float:
        """Seconds of the median round."""
        return statistics.median(self.seconds)


@dataclass(frozen=True)
class Line:
    """One line of the table.

    Args:
        what: the work, with its size.
        opponent: who else did it.
        unit: of `ours` and `theirs`, as "utterances/s".
        ours: the median of our rounds.
        theirs: the median of the opponent's.
        ratios: how many times as fast we were, round by round.
        goal: the ratio aimed at; None where none was set.
        difference: the largest between the answers, as text; "" where there is nothing to compare.
        note: what a reader must know besides.
    """

    what: str
    opponent: str
    unit: str
    ours: float
    theirs: float
    ratios: tuple[float, ...]
    goal: float | None = None
    difference: str = ""
    note: str = ""

    @property
    def ratio(self) -> float:
        """The median of the rounds' ratios."""
        return statistics.median(self.ratios)

    def to_json(self) -> dict[str, Any]:
        """All fields, with the ratio that follows from them."""
        return dataclasses.asdict(self) | {"ratio": self.ratio}


def line(
    timed: tuple[Timed, Timed], *, count: float, what: str, opponent: str, unit: str,
    **fields: Any,
) -> Line:  # fmt: skip
    """The line of two contenders that took turns, ours first.

    Args:
        timed: ours and theirs.
        count: how many of `unit` (without its "/s") one round does.
        what, opponent, unit, fields: see `Line`.
    """
    ours, theirs = timed
    pairs = zip(theirs.seconds, ours.seconds, strict=True)
    return Line(
        what=what,
        opponent=opponent,
        unit=unit,
        ours=count / ours.median,
        theirs=count / theirs.median,
        ratios=tuple(them / us for them, us in pairs),
        **fields,
    )


def take_turns(
    contenders: Sequence[Contender],
    work: Path,
    *,
    threads: int,
    rounds: int = ROUNDS,
    compare: Callable[[Mapping[str, Mapping[str, np.ndarray]]], None] | None = None,
) -> dict[str, Timed]:
    """Time the contenders round after round, each once a round.

    Args:
        contenders: in the order in which they work.
        work: folder with their inputs; each leaves its answers there as NAME.npz.
        threads: how many each may use, all its processes together; they are bound to as many
            cores.
        rounds: that count, after one that does not.
        compare: called with the answers by contender before the first round; raises where they
            differ.

    Raises:
        SystemExit: a contender failed; it has said why on standard error.
    """
    if rounds < ROUNDS:
        raise SystemExit(f"a median needs {ROUNDS} rounds or more, not {rounds}")
    with contextlib.ExitStack() as stack:
        running = {one.name: stack.enter_context(_start(one, work, threads)) for one in contenders}
        facts = {name: _read(name, process)["facts"] for name, process in running.items()}
        if compare is not None:
            compare({name: read_answers(work, name) for name in running})
        seconds: dict[str, list[float]] = {name: [] for name in running}
        for number in range(rounds + 1):
            for name, process in running.items():
                reply = _round(name, process)
                facts[name] = reply["facts"]
                if number:
                    seconds[name].append(reply["seconds"])
        return {name: Timed(tuple(seconds[name]), facts[name]) for name in running}


def read_answers(work: Path, name: str) -> dict[str, np.ndarray]:
    """What a contender answered."""
    with np.load(work / f"{name}.npz") as stored:
        return dict(stored)


def largest_difference(
    answers: Mapping[str, Mapping[str, np.ndarray]], ours: str, theirs: str, tolerance: float
) -> float:
    """The largest absolute difference over all arrays of two contenders.

    Raises:
        SystemExit: it is above `tolerance`, or the arrays are not of the same shape: times of
            different work are not compared.
    """
    differences = [0.0]
    for key, array in answers[ours].items():
        other = answers[theirs][key]
        if array.shape != other.shape:
            raise SystemExit(f"{ours} and {theirs}: {key} has {array.shape} and {other.shape}")
        differences.append(float(np.abs(array.astype("float64") - other).max()))
    largest = float(np.max(differences))  # Python's max would pass over what is no number
    if not largest <= tolerance:
        raise SystemExit(
            f"{ours} and {theirs} do not do the same work: they differ by {largest:.1e}, "
            f"{tolerance:.0e} is permitted"
        )
    return largest


@contextlib.contextmanager
def _start(one: Contender, work: Path, threads: int) -> Iterator[subprocess.Popen]:
    cores = sorted(os.sched_getaffinity(0))[-threads:]
    if len(cores) < threads:
        raise SystemExit(f"{threads} threads need as many cores; there are {len(cores)}")
    command = [str(one.python), str(Path(__file__).parent / one.script), one.name, str(work)]
    process = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | dict.fromkeys(THREAD_VARIABLES, str(max(1, threads // one.processes))),
        start_new_session=True,  # what it starts itself ends with it
        preexec_fn=lambda: os.sched_setaffinity(0, cores),
    )
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        with contextlib.suppress(BrokenPipeError):  # what it did not read any more
            process.communicate()


def _round(name: str, process: subprocess.Popen) -> dict[str, Any]:
    assert process.stdin is not None
    with contextlib.suppress(BrokenPipeError):  # told when its reply is read
        process.stdin.write("\n")
        process.stdin.flush()
    return _read(name, process)


def _read(name: str, process: subprocess.Popen) -> dict[str, Any]:
    assert process.stdout is not None
    reply = process.stdout.readline()
    if not reply:
        raise SystemExit(f"{name} failed with exit code {process.wait()}")
    return json.loads(reply)
