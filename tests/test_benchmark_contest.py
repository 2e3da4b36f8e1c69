"""Contests between processes: turns, comparison, ratios, and what is left when one dies."""

import dataclasses
import os
import sys
import time
from pathlib import Path

import numpy as np
import pytest

BENCHMARKS = Path(__file__).resolve().parents[1] / "benchmarks"
sys.path.insert(0, str(BENCHMARKS))

import contest  # noqa: E402
from contest import Contender, Timed, largest_difference, take_turns  # noqa: E402

SCRIPT = f"""
import os, subprocess, sys
sys.path.insert(0, {str(BENCHMARKS)!r})
import numpy as np
from contender import Work, contend

def log(work, text):
    with (work / "log.txt").open("a") as stream:
        stream.write(text + "\\n")

def maker(name, answer, dies_in_round=None):
    def make(work):
        print("what a library prints")
        child = subprocess.Popen(["sleep", "600"])
        (work / f"{{name}}.pids").write_text(f"{{os.getpid()}} {{child.pid}}")
        (work / f"{{name}}.cores").write_text(str(sorted(os.sched_getaffinity(0))))
        facts = {{"rounds": 0, "threads": os.environ["OMP_NUM_THREADS"]}}
        def run():
            log(work, name)
            facts["rounds"] += 1
            if facts["rounds"] == dies_in_round:
                os._exit(3)
        return Work(run, {{"values": np.array(answer)}}, facts)
    return make

def broken(work):
    raise RuntimeError("no such weights")

contend({{
    "ours": maker("ours", [1.0, 2.0]),
    "theirs": maker("theirs", [1.0, 2.5]),
    "dying": maker("dying", [1.0, 2.0], dies_in_round=3),
    "broken": broken,
}})
"""


@pytest.fixture
def contenders(tmp_path: Path):
    """Makes contenders of the script above by their names."""
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    return lambda *names: [Contender(name, str(script)) for name in names]


def log(work: Path) -> list[str]:
    file = work / "log.txt"
    return file.read_text().split() if file.exists() else []


def assert_nothing_left(work: Path) -> None:
    """Neither contenders nor what they started; a killed child may take a moment to go."""
    pids = [int(pid) for file in work.glob("*.pids") for pid in file.read_text().split()]
    assert pids
    ends = time.monotonic() + 5
    while alive := [pid for pid in pids if _runs(pid)]:
        assert time.monotonic() < ends, alive
        time.sleep(0.01)


def _runs(pid: int) -> bool:
    """A zombie that nobody has waited for runs no more."""
    stat = Path(f"/proc/{pid}/stat")
    try:
        return stat.read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_contenders_take_turns(contenders, tmp_path):
    seen = {}
    timed = take_turns(
        contenders("ours", "theirs"),
        tmp_path,
        threads=1,
        compare=lambda answers: seen.update(answers),
    )
    assert log(tmp_path) == ["ours", "theirs"] * (contest.ROUNDS + 1)
    assert [len(one.seconds) for one in timed.values()] == [contest.ROUNDS] * 2
    assert timed["ours"].facts == {"rounds": contest.ROUNDS + 1, "threads": "1"}
    np.testing.assert_array_equal(seen["theirs"]["values"], [1.0, 2.5])
    assert (tmp_path / "ours.cores").read_text() == f"[{max(os.sched_getaffinity(0))}]"
    assert_nothing_left(tmp_path)


def test_processes_share_the_threads(contenders, tmp_path):
    if len(os.sched_getaffinity(0)) < 2:
        pytest.skip("two threads need two cores")
    one, other = contenders("ours", "theirs")
    both = [one, dataclasses.replace(other, processes=2)]
    timed = take_turns(both, tmp_path, threads=2)
    assert [timed[name].facts["threads"] for name in ("ours", "theirs")] == ["2", "1"]
    assert (tmp_path / "ours.cores").read_text() == (tmp_path / "theirs.cores").read_text()


def test_other_answers_are_not_timed(contenders, tmp_path):
    def compare(answers) -> None:
        largest_difference(answers, "ours", "theirs", 0.1)

    with pytest.raises(SystemExit, match=r"ours and theirs .* differ by 5\.0e-01, 1e-01 is perm"):
        take_turns(contenders("ours", "theirs"), tmp_path, threads=1, compare=compare)
    assert log(tmp_path) == []
    assert_nothing_left(tmp_path)


def test_a_contender_that_dies_is_named(contenders, tmp_path):
    with pytest.raises(SystemExit, match=r"^dying failed with exit code 3$"):
        take_turns(contenders("ours", "dying"), tmp_path, threads=1)
    assert log(tmp_path) == ["ours", "dying"] * 3
    assert_nothing_left(tmp_path)


def test_a_contender_that_does_not_start_is_named(contenders, tmp_path, capfd):
    with pytest.raises(SystemExit, match=r"^broken failed with exit code 1$"):
        take_turns(contenders("ours", "broken"), tmp_path, threads=1)
    assert "no such weights" in capfd.readouterr().err
    assert_nothing_left(tmp_path)


def test_too_few_rounds_or_cores(contenders, tmp_path):
    with pytest.raises(SystemExit, match="5 rounds or more, not 4"):
        take_turns(contenders("ours"), tmp_path, threads=1, rounds=4)
    with pytest.raises(SystemExit, match="as many cores"):
        take_turns(contenders("ours"), tmp_path, threads=10_000)


def test_ratios_by_hand():
    """Three rounds of 12 clips: ratios 2, 4, 1.5, so the median is 2; not that of the medians."""
    ours = Timed((1.0, 1.0, 4.0), {})
    theirs = Timed((2.0, 4.0, 6.0), {})
    line = contest.line((ours, theirs), count=12, what="w", opponent="o", unit="clips/s", goal=3)
    assert line.ratios == (2.0, 4.0, 1.5)
    assert line.ratio == 2.0
    assert line.ours == 12.0
    assert line.theirs == 3.0
    told = line.to_json()
    assert told["ratio"] == 2.0 and told["goal"] == 3 and told["unit"] == "clips/s"


def test_rounds_are_paired():
    with pytest.raises(ValueError, match="shorter"):
        contest.line(
            (Timed((1.0,), {}), Timed((1.0, 2.0), {})),
            count=1, what="w", opponent="o", unit="u/s",
        )  # fmt: skip


@pytest.mark.parametrize(
    ("theirs", "said"),
    [
        ({"a": [1.0, 2.0], "b": [0.0]}, None),
        ({"a": [1.0, 2.2], "b": [0.0]}, "differ by 2.0e-01"),
        ({"a": [1.0, np.nan], "b": [0.0]}, "differ by nan"),
        ({"a": [1.0], "b": [0.0]}, r"a has \(2,\) and \(1,\)"),
    ],
)
def test_largest_difference(theirs, said):
    ours = {"a": np.array([1.0, 2.0], "float32"), "b": np.array([0.05])}
    answers = {"x": ours, "y": {key: np.array(values) for key, values in theirs.items()}}
    if said is None:
        assert largest_difference(answers, "x", "y", 0.1) == 0.05
    else:
        with pytest.raises(SystemExit, match=said):
            largest_difference(answers, "x", "y", 0.1)
