"""A long recording, classified part by part: speed, memory, and whether the speech is found.

    python benchmarks/timeline.py --root corpora/EmoDB
    python benchmarks/timeline.py --root corpora/EmoDB --run my_run --minutes 10 --asr-minutes 2

Joins clips of EmoDB, drawn in an order of their own, with pauses of 0.6 to 3 seconds and a little
noise, and starts `python -m mmer_tf.predict --timeline` on the file, in a process of its own whose
peak of memory the system tells. The .tflite file is exported on the spot.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
from markdown_table import command_line, markdown_table, versions

from mmer_tf.atomic import write_text
from mmer_tf.audio.decode import decode
from mmer_tf.cli import RUNS, run_folder
from mmer_tf.types import SAMPLE_RATE, Seconds

HEADER = ("model", "words", "recording", "seconds", "processor seconds", "times real time",
          "peak MiB", "segments")  # fmt: skip
RUN = "gmu-synthetic-speaker-fold0-seed0"
SHORTEST_PAUSE, LONGEST_PAUSE = 0.6, 3.0
NOISE = 0.0005
"""Deviation of the noise, -66 dB of full scale."""

STEP: Seconds = 0.01
"""How finely speech found is compared with speech joined."""

Spans = Sequence[tuple[Seconds, Seconds]]


@dataclass(frozen=True)
class Recording:
    """A file with clips and pauses.

    Args:
        file: 16 kHz WAV.
        seconds: its length.
        clips: where they lie in it.
    """

    file: Path
    seconds: Seconds
    clips: Spans


@dataclass(frozen=True)
class Measured:
    """One start of the command.

    Args:
        seconds: from its start to its end.
        processor: seconds of all cores together.
        peak: of its memory, in MiB.
        segments: what it wrote.
    """

    seconds: Seconds
    processor: Seconds
    peak: float
    segments: Sequence[dict]


def main(argv: Sequence[str] | None = None) -> int:
    """Make the recordings, start the commands, and write what came out."""
    args = make_parser().parse_args(argv)
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        lite = work / "emotion.tflite"
        export = ["mmer_tf.export", "--run", args.run, "--runs", args.runs, "--format", "tflite"]
        subprocess.run([sys.executable, "-m", *map(str, [*export, "--out", lite])], check=True)
        run = ("--run", run_folder(args.run, args.runs))
        whole = join_clips(args.root, args.minutes * 60, work / "whole.wav")
        part = join_clips(args.root, args.asr_minutes * 60, work / "part.wav")
        rows, found = [], []
        for recording, asr in ((part, "none"), (whole, "none"), (part, "pocketsphinx")):
            for name, model in (("Keras", run), (".tflite", ("--tflite", lite))):
                measured = measure(recording, (*model, "--asr", asr), work / "out.jsonl")
                rows.append(_row(name, asr, recording, measured))
                print(" | ".join(rows[-1]), flush=True)
                if (recording, name) == (whole, "Keras"):
                    found.append(told_of_speech(whole, measured))
        text = page(rows, found[0], args)
    write_text(args.out, text)
    print(f"written to {args.out}")
    return 0


def join_clips(root: Path, seconds: Seconds, file: Path) -> Recording:
    """Clips of EmoDB with pauses, written one by one."""
    clips = sorted((root / "wav").glob("*.wav"))
    if not clips:
        raise SystemExit(f"{root}: no wav/*.wav of EmoDB there")
    random = np.random.default_rng(0)
    spans, position = [], 0
    with soundfile.SoundFile(file, "w", SAMPLE_RATE, 1, "PCM_16") as out:
        while position < seconds * SAMPLE_RATE:
            pause = np.zeros(round(random.uniform(SHORTEST_PAUSE, LONGEST_PAUSE) * SAMPLE_RATE))
            spoken = decode(clips[random.integers(len(clips))])
            start = position + len(pause)
            joined = np.concatenate([pause, spoken])
            out.write(joined + random.normal(0, NOISE, len(joined)))
            position += len(joined)
            spans.append((start / SAMPLE_RATE, position / SAMPLE_RATE))
    return Recording(file, position / SAMPLE_RATE, spans)


def measure(recording: Recording, options: Sequence[object], out: Path) -> Measured:
    """Start the command, alone, and ask the system what it took."""
    typed = ["-m", "mmer_tf.predict", "--timeline", *options, "--out", out, recording.file]
    started = time.perf_counter()
    process = subprocess.Popen([sys.executable, *map(str, typed)], stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - started
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"exit code {process.returncode}: {' '.join(map(str, typed))}")
    lines = out.read_text(encoding="utf-8").splitlines()
    processor = usage.ru_utime + usage.ru_stime
    segments = [json.loads(line) for line in lines]
    return Measured(seconds, processor, usage.ru_maxrss / 1024, segments)


def told_of_speech(recording: Recording, measured: Measured) -> str:
    """How much of the clips, and of the pauses, lies in segments."""
    spoken = _marked(recording.clips, recording.seconds)
    found = [(segment["start"], segment["end"]) for segment in measured.segments]
    heard = _marked(found, recording.seconds)
    return (
        f"Of the {len(recording.clips)} clips of the long recording {heard[spoken].mean():.1%} of "
        f"the time lies in segments, of the pauses {heard[~spoken].mean():.1%}; the clips begin "
        f"and end with some silence of their own, and the detector adds 0.12 s on both sides."
    )


def _marked(spans: Spans, seconds: Seconds) -> np.ndarray:
    marked = np.zeros(round(seconds / STEP) + 1, bool)
    for start, end in spans:
        marked[round(start / STEP) : round(end / STEP)] = True
    return marked


def _row(name: str, asr: str, recording: Recording, measured: Measured) -> tuple[str, ...]:
    return (
        name,
        asr,
        f"{recording.seconds / 60:.0f} min",
        f"{measured.seconds:.1f}",
        f"{measured.processor:.1f}",
        f"{recording.seconds / measured.seconds:.0f}",
        f"{measured.peak:.0f}",
        str(len(measured.segments)),
    )


def page(rows: Sequence[Sequence[str]], speech: str, args: argparse.Namespace) -> str:
    """The Markdown of all starts."""
    return "\n".join(
        (
            "# A long recording\n",
            command_line(),
            f"Clips of EmoDB, joined with pauses of {SHORTEST_PAUSE} to {LONGEST_PAUSE:.0f} s into "
            f"16 kHz WAV files, through `python -m mmer_tf.predict --timeline` with the run "
            f"`{args.run}`, as Keras model and as .tflite file (dynamic). Seconds and peak of "
            "memory (`ru_maxrss`) are those of the whole command: its start, reading, finding "
            "speech, windows of 3 s every second. Processor seconds depend little on what else the "
            "machine did, seconds and times real time do. With words, only the shorter recording "
            "was classified: pocketsphinx takes most of the time, and its English model "
            "understands no German, so its words are there to be timed.\n",
            versions(),
            markdown_table(HEADER, rows),
            speech + "\n",
        )
    )


def make_parser() -> argparse.ArgumentParser:
    """The script's arguments."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--root", type=Path, required=True, metavar="DIR", help="of EmoDB")
    parser.add_argument("--run", default=RUN, help=f"default: {RUN}")
    parser.add_argument("--runs", type=Path, default=RUNS, metavar="DIR", help="where runs are")
    parser.add_argument("--minutes", type=float, default=60.0, metavar="N", help="default: 60")
    parser.add_argument(
        "--asr-minutes", type=float, default=3.0, metavar="N", help="with words; default: 3"
    )
    parser.add_argument(
        "--out",
        type=Path,
        default=Path(__file__).with_suffix(".md"),
        metavar="FILE",
        help="default: benchmarks/timeline.md",
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
