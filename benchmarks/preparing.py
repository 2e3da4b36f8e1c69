"""Preparing a corpus, as a user does it: one command from recordings to shards, at three sizes.

The corpus is real clips of EmoDB where there are any, else synthetic speech; larger ones are the
same recordings under other names. Both sides are commands with their start, on two cores.
"""

import csv
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from contest import THREAD_VARIABLES, Line

from mmer_tf.data.manifest import read_dataset

if TYPE_CHECKING:
    from run import Setting

SIZES = (1, 4, 16)
CORES = 2
GOAL = 150.0
"""Seconds of speech a second."""

PER_CELL = 9
"""Utterances a speaker and emotion of the synthetic corpus, for as many clips as EmoDB has."""

TOLERANCE = 0.02
"""Both store float16, which steps by 0.008 at the largest values."""


@dataclass(frozen=True)
class Outcome:
    """One run of a command.

    Args:
        seconds: wall clock, with the start.
        megabytes: largest memory of all its processes together, shared pages counted once.
    """

    seconds: float
    megabytes: float


def measure(setting: "Setting") -> Iterator[Line]:
    """Yield the lines of this section."""
    with tempfile.TemporaryDirectory(dir=setting.folder("preparing")) as work:
        yield from _measure(setting, Path(work))


def _measure(setting: "Setting", work: Path) -> Iterator[Line]:
    tables = {size: _corpus(setting, work, size) for size in SIZES}
    out, theirs_out = work / "data", work / "librosa"

    def ours(size: int, feature: str = "log_mel") -> Outcome:
        command = [sys.executable, "-m", "mmer_tf.prepare", "--corpus", "table", "--root"]
        command += [str(tables[size]), "--out", str(out), "--features", feature]
        return _run(command, out)

    def theirs(size: int) -> Outcome:
        script = Path(__file__).with_name("librosa_loop.py")
        command = [str(setting.audio), str(script), str(tables[size].parent), str(theirs_out)]
        return _run(command, theirs_out, dict.fromkeys(THREAD_VARIABLES, "1"))

    smallest, largest = SIZES[0], SIZES[-1]
    ours(smallest), theirs(smallest)  # does not count
    difference = _difference(out, theirs_out)
    seconds = read_dataset(out).seconds
    mine: dict[int, list[Outcome]] = {size: [] for size in SIZES}
    other: dict[int, list[Outcome]] = {size: [] for size in SIZES}
    for _ in range(setting.rounds):
        for size in (smallest, largest):
            mine[size].append(ours(size))
            other[size].append(theirs(size))
    mine[SIZES[1]].append(ours(SIZES[1]))

    def rates(runs: dict[int, list[Outcome]], size: int) -> list[float]:
        return [size * seconds / run.seconds for run in runs[size]]

    def marginal(runs: dict[int, list[Outcome]]) -> list[float]:
        pairs = zip(runs[smallest], runs[largest], strict=True)
        return [(largest - smallest) * seconds / (b.seconds - a.seconds) for a, b in pairs]

    def line(what: str, our_rates: list[float], their_rates: list[float], **fields) -> Line:
        return Line(
            section="preparing",
            what=what,
            unit="× real time",
            ours=statistics.median(our_rates),
            theirs=statistics.median(their_rates),
            ratios=tuple(a / b for a, b in zip(our_rates, their_rates, strict=True)),
            **fields,
        )

    loop = "librosa and np.save in two processes"
    speech = f"{largest * seconds / 3600:.1f} h of speech"
    started = {size: statistics.median(run.seconds for run in mine[size]) for size in SIZES}
    yield line(
        f"log_mel of {speech}, two cores, start included",
        rates(mine, largest),
        [1.0] * setting.rounds,
        opponent="real time",
        goal=GOAL,
        note="with the start "
        + ", ".join(f"{size}× {size * seconds / started[size]:.0f}" for size in SIZES)
        + f" × real time; {_times(started)}",
    )
    yield line(
        f"log_mel of {speech}, start included",
        rates(mine, largest),
        rates(other, largest),
        opponent=loop,
        difference=f"{difference:.1e}",
        note="the command imports TensorFlow, writes checked shards and the tables of what it left "
        "out; the loop does neither",
    )
    yield line("log_mel, each further hour", marginal(mine), marginal(other), opponent=loop)
    spectrogram = [largest * seconds / ours(largest, "log_spectrogram").seconds]
    yield line(
        f"log_spectrogram of {speech}, two cores, start included",
        spectrogram,
        [1.0],
        opponent="real time",
        goal=GOAL,
        note="15 times as many values as log_mel, all of them written",
    )
    peaks = {size: max(run.megabytes for run in mine[size]) for size in SIZES}
    yield Line(
        section="preparing",
        what=f"peak memory of all processes at {largest}× the corpus",
        opponent="the same at 1×",
        unit="MB",
        ours=peaks[largest],
        theirs=peaks[smallest],
        ratios=(peaks[smallest] / peaks[largest],),
        note=", ".join(f"{size}× {peaks[size]:.0f} MB" for size in SIZES)
        + "; shared pages are counted once",
    )


def _times(seconds: dict[int, float]) -> str:
    return "in " + ", ".join(f"{value:.0f} s" for value in seconds.values())


def _corpus(setting: "Setting", work: Path, size: int) -> Path:
    """A table of recordings, each under `size` names."""
    table = work / f"corpus{size}" / "table.csv"
    if setting.corpora and (setting.corpora / "EmoDB" / "wav").is_dir():
        recordings = sorted((setting.corpora / "EmoDB" / "wav").glob("*.wav"))
    else:
        from mmer_tf.corpora.synthetic import speak_corpus

        if not (work / "speech").is_dir():
            speak_corpus(work / "speech", PER_CELL)
        recordings = sorted((work / "speech").rglob("*.wav"))
    table.parent.mkdir(parents=True, exist_ok=True)
    names = []
    for copy in range(size):
        for recording in recordings:
            names.append(f"{recording.stem}_{copy}.wav")
            shutil.copyfile(recording, table.parent / names[-1])
    with table.open("w", newline="") as stream:
        csv.writer(stream).writerows([("file", "label"), *((name, "any") for name in names)])
    return table


def _run(command: list[str], out: Path, variables: dict[str, str] | None = None) -> Outcome:
    """Run a command to its end on two cores, and watch its memory."""
    shutil.rmtree(out, ignore_errors=True)
    cores = sorted(os.sched_getaffinity(0))[-CORES:]
    if len(cores) < CORES:
        raise SystemExit(f"preparing is measured on {CORES} cores; there is {len(cores)}")
    started = time.monotonic()
    process = subprocess.Popen(
        command,
        stdout=subprocess.DEVNULL,
        env=os.environ | (variables or {}),
        preexec_fn=lambda: os.sched_setaffinity(0, cores),
    )
    peak = [0.0]
    watching = threading.Thread(target=_watch, args=(process, peak))
    watching.start()
    code = process.wait()
    seconds = time.monotonic() - started
    watching.join()
    if code:
        raise SystemExit(f"{' '.join(command)} failed with exit code {code}")
    return Outcome(seconds, peak[0])


def _watch(process: subprocess.Popen, peak: list[float]) -> None:
    """Keep the largest memory of a process and all below it, seen twice a second."""
    while process.poll() is None:
        peak[0] = max(peak[0], sum(map(_megabytes, _tree(process.pid))))
        time.sleep(0.5)


def _tree(number: int) -> list[int]:
    """A process and all that it started."""
    try:
        files = Path(f"/proc/{number}/task").glob("*/children")
        children = [int(child) for file in files for child in file.read_text().split()]
    except OSError:  # it has ended meanwhile
        return []
    return [number, *(below for child in children for below in _tree(child))]


def _megabytes(number: int) -> float:
    """Memory of a process; of a page that several share, its part."""
    try:
        rows = Path(f"/proc/{number}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0.0
    return next(int(row.split()[1]) for row in rows if row.startswith("Pss:")) / 1024


def _difference(ours: Path, theirs: Path) -> float:
    """The largest difference between the two sides' log-mel of all recordings.

    Raises:
        SystemExit: it is above the tolerance, or they are not of the same recordings.
    """
    from mmer_tf.data.pipeline import make_dataset

    dataset = read_dataset(ours)
    batches = make_dataset(
        dataset, sorted(dataset.records), ("log_mel",), dataset.labels, batch_size=16,
        training=False, max_seconds=600.0,
    )  # fmt: skip
    largest, seen = 0.0, 0
    for batch in batches.as_numpy_iterator():
        rows = zip(batch["id"], batch["log_mel"], batch["log_mel_mask"], strict=True)
        for id, values, mask in rows:
            other = np.load(theirs / f"{Path(id.decode()).stem}.npy").astype(np.float32)
            if other.shape != values[mask].shape:
                raise SystemExit(f"{id}: {values[mask].shape} frames against {other.shape}")
            largest = max(largest, float(np.abs(values[mask] - other).max()))
            seen += 1
    if largest > TOLERANCE or seen != len(list(theirs.iterdir())):
        raise SystemExit(f"the two sides differ by {largest:g} in {seen} recordings")
    return largest
