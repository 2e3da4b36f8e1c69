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

TINY = 6
"""Clips of a trial."""

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
        script = Path(__file__).with_name("preparing_librosa.py")
        command = [str(setting.audio), str(script), str(tables[size].parent), str(theirs_out)]
        return _run(command, theirs_out, dict.fromkeys(THREAD_VARIABLES, "1"))

    small, middle, large = SIZES
    ours(small), theirs(small)  # does not count
    difference = _difference(out, theirs_out)
    hour = read_dataset(out).seconds / 3600
    mine: dict[int, list[Outcome]] = {size: [] for size in SIZES}
    other: dict[int, list[Outcome]] = {size: [] for size in SIZES}
    wide = []
    for _ in range(setting.rounds):
        for size in (small, large):
            mine[size].append(ours(size))
            other[size].append(theirs(size))
        mine[middle].append(ours(middle))
        wide.append(ours(middle, "log_spectrogram"))

    def rates(runs: list[Outcome], size: int) -> list[float]:
        return [size * hour * 3600 / run.seconds for run in runs]

    def further(runs: dict[int, list[Outcome]]) -> list[float]:
        pairs = zip(runs[small], runs[large], strict=True)
        return [(large - small) * hour * 3600 / (b.seconds - a.seconds) for a, b in pairs]

    def line(what: str, our_rates: list[float], their_rates: list[float], **fields) -> Line:
        return Line(
            what=what,
            unit="× real time",
            ours=statistics.median(our_rates),
            theirs=statistics.median(their_rates),
            ratios=tuple(a / b for a, b in zip(our_rates, their_rates, strict=True)),
            **fields,
        )

    loop = "librosa and np.save in two processes"
    real_time = [1.0] * setting.rounds
    started = {size: statistics.median(run.seconds for run in mine[size]) for size in SIZES}
    yield line(
        f"log_mel of {large * hour:.1f} h of speech on two cores, with the start",
        rates(mine[large], large),
        real_time,
        opponent="real time",
        goal=GOAL,
        note=", ".join(
            f"{size * hour:.2f} h in {seconds:.0f} s" for size, seconds in started.items()
        ),
    )
    yield line(
        f"log_mel of {large * hour:.1f} h, with the start",
        rates(mine[large], large),
        rates(other[large], large),
        opponent=loop,
        difference=f"{difference:.1e}",
        note="the command writes checked shards, and tables of what was left out or converted; the "
        "loop writes a file a clip. Larger corpora are the same files under other names, in "
        "the page cache; those of EmoDB are 16 kHz, so that none is resampled",
    )
    yield line(
        f"log_mel of {small * hour:.2f} h, with the start",
        rates(mine[small], small),
        rates(other[small], small),
        opponent=loop,
        note="the start, most of it the import of TensorFlow, is what a small corpus costs",
    )
    if not setting.tiny:  # where the larger corpus may have been the quicker one
        yield line("log_mel, each further hour", further(mine), further(other), opponent=loop)
    yield line(
        f"log_spectrogram of {middle * hour:.1f} h, with the start",
        rates(wide, middle),
        real_time,
        opponent="real time",
        goal=GOAL,
        note="seven times as many values as log_mel",
    )
    peaks = {size: statistics.median(run.megabytes for run in mine[size]) for size in SIZES}
    yield Line(
        what=f"peak memory at {large}× the corpus, all processes",
        opponent="the same at 1×",
        unit="MB",
        ours=peaks[large],
        theirs=peaks[small],
        ratios=tuple(
            a.megabytes / b.megabytes for a, b in zip(mine[small], mine[large], strict=True)
        ),
        note=", ".join(f"{size}× {peak:.0f} MB" for size, peak in peaks.items())
        + "; of a page that several processes share, each counts its part",
    )


def _corpus(setting: "Setting", work: Path, size: int) -> Path:
    """A table of recordings, each under `size` names."""
    table = work / f"corpus{size}" / "table.csv"
    if setting.corpora and (setting.corpora / "EmoDB" / "wav").is_dir():
        recordings = sorted((setting.corpora / "EmoDB" / "wav").glob("*.wav"))[::2]
    else:
        from mmer_tf.corpora.synthetic import speak_corpus

        if not (work / "speech").is_dir():
            speak_corpus(work / "speech", PER_CELL)
        recordings = sorted((work / "speech").rglob("*.wav"))
    recordings = recordings[:TINY] if setting.tiny else recordings
    table.parent.mkdir(parents=True)
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
    """Keep the largest memory of a process and all below it, seen ten times a second."""
    while process.poll() is None:
        peak[0] = max(peak[0], sum(map(_megabytes, _tree(process.pid))))
        time.sleep(0.1)


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
