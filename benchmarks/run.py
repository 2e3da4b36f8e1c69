"""All measurements against other libraries, side by side, into one table.

    make benchmark                              # sets up the opponents' environments first
    make benchmark ARGS="--only features,training_step"

Writes benchmarks/results/DATE.json and DATE.md after every section. Ratios are what counts: the
same inputs, the same number of threads, in turns on one machine. Each section is one file of this
folder with a function `measure(setting)` that yields lines.
"""

import argparse
import dataclasses
import datetime
import functools
import importlib
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from contest import ROUNDS, Line
from markdown_table import command_line, markdown_table, versions
from profiles import missed

from mmer_tf.atomic import write_text

HERE = Path(__file__).parent
SECTIONS = {
    "features": "Features",
    "preparing": "Preparing a corpus",
    "reading": "Input pipeline",
    "training_step": "Training step",
    "stored_states": "Frozen encoders, computed once",
    "deployment": "Latency and throughput of a trained model",
    "scaling": "Scaling",
}
"""Module of this folder -> title."""

TORCH = ("torch", "transformers", "tokenizers", "onnxruntime", "numpy")
AUDIO = ("librosa", "scipy", "opensmile", "numpy")
ASK_VERSIONS = """
import platform, sys
from importlib.metadata import PackageNotFoundError, version
print("Python==" + platform.python_version())
for name in sys.argv[1:]:
    try:
        print(f"{name}=={version(name)}")
    except PackageNotFoundError:  # a trial without an opponent
        pass
"""


@dataclass(frozen=True)
class Setting:
    """What every section is given.

    Args:
        work: folder for inputs and outputs; a section makes one of its name in it.
        torch: interpreter of the environment with PyTorch, transformers and ONNX Runtime.
        audio: interpreter of the environment with librosa, scipy and openSMILE.
        corpora: folder of real corpora, where there is one.
        rounds: that are timed.
        cores: that the machine has.
        tiny: a trial in seconds, where a section has a smaller size; its figures mean nothing.
    """

    work: Path
    torch: Path
    audio: Path
    corpora: Path | None
    rounds: int
    cores: int
    tiny: bool = False

    def folder(self, section: str) -> Path:
        """The section's own folder, made."""
        folder = self.work / section
        folder.mkdir(parents=True, exist_ok=True)
        return folder


def main(argv: Sequence[str] | None = None) -> None:
    """Measure section by section, and write the table after each."""
    args = make_parser().parse_args(argv)
    for python in (args.torch, args.audio):
        if not python.is_file():
            raise SystemExit(f"{python} is missing; `make benchmark` sets it up")
    setting = Setting(
        work=args.work.resolve(),
        torch=args.torch.absolute(),  # not resolved: an environment is known by its link
        audio=args.audio.absolute(),
        corpora=args.corpora.resolve() if args.corpora.is_dir() else None,
        rounds=args.rounds,
        cores=len(os.sched_getaffinity(0)),
        tiny=args.tiny,
    )
    results: dict[str, dict] = {}
    for name in args.only:
        started = time.monotonic()
        lines, failed = [], ""
        try:
            for line in importlib.import_module(name).measure(setting):
                print(f"{name}: {line.what} against {line.opponent}: {_ratio(line)}", flush=True)
                lines.append(_explained(name, line))
        except SystemExit as error:  # the next section may well work
            failed = str(error)
            print(f"{name}: {failed}", file=sys.stderr, flush=True)
        seconds = time.monotonic() - started
        results[name] = {"lines": lines, "failed": failed, "seconds": seconds}
        write(args.out, results, setting)
    print(f"written to {args.out}.json and .md")
    if any(section["failed"] for section in results.values()):
        raise SystemExit("a section failed; what it had measured is in the table")


def write(out: Path, results: dict[str, dict], setting: Setting) -> None:
    """Both files, with the sections that are done."""
    out.parent.mkdir(parents=True, exist_ok=True)
    told = {
        "machine": machine(setting),
        "recordings": recordings(setting),
        "versions": versions(),
        "opponents": opponents(setting),
        "sections": {
            name: {
                "seconds": round(section["seconds"]),
                "failed": section["failed"],
                "lines": [line.to_json() for line in section["lines"]],
            }
            for name, section in results.items()
        },
    }
    write_text(out.with_suffix(".json"), json.dumps(told, indent=1, ensure_ascii=False) + "\n")
    write_text(out.with_suffix(".md"), page(out.name, results, setting))


def page(name: str, results: dict[str, dict], setting: Setting) -> str:
    """The Markdown of all sections."""
    parts = [
        f"# Benchmarks, {name}\n",
        command_line(),
        *(["**A trial at tiny sizes: no result.**\n"] if setting.tiny else ()),
        f"{machine(setting)}. {versions()}",
        f"{opponents(setting)}\n",
        f"{recordings(setting)}\n",
        f"Contenders take turns in processes of their own; medians of {setting.rounds} rounds or "
        "more, after one that does not count. The ratio says how many times as fast as the "
        "opponent this package is: median of the rounds (smallest–largest). Difference: the "
        "largest between the answers of both, looked at before they are timed. Where the time "
        "goes was profiled apart, on an AMD EPYC with two cores, and is a constant of "
        "profiles.py.\n",
    ]
    for module, section in results.items():
        parts += [f"## {SECTIONS[module]}\n", _table(section["lines"])]
        parts += [f"- {line.what}: {line.note}" for line in section["lines"] if line.note]
        parts += [f"**Stopped: {section['failed']}**"] if section["failed"] else []
        parts.append("")
    return "\n".join(parts)


def machine(setting: Setting) -> str:
    """One sentence on what it ran on."""
    information = Path("/proc/cpuinfo")
    model = platform.processor() or platform.machine()
    if information.is_file():
        named = (row for row in information.read_text().splitlines() if "model name" in row)
        model = next(named, f":{model}").split(":", 1)[1].strip()
    return f"{model}, {setting.cores} cores, {platform.system()}"


def recordings(setting: Setting) -> str:
    """One sentence on the speech of the sections that read recordings."""
    real = setting.corpora and (setting.corpora / "EmoDB" / "wav").is_dir()
    return f"Recordings: {'EmoDB' if real else 'synthetic speech and noise, for want of EmoDB'}."


@functools.cache
def opponents(setting: Setting) -> str:
    """One sentence on the versions in the opponents' environments."""
    told = {}  # of a package that both have, once where the versions are equal
    for python, packages in ((setting.torch, TORCH), (setting.audio, AUDIO)):
        command = [str(python), "-c", ASK_VERSIONS, *packages]
        answer = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        told |= dict.fromkeys(answer.replace("==", " ").splitlines())
    return f"Opponents: {', '.join(told)}."


def _explained(section: str, line: Line) -> Line:
    """The line, whose note says where the time goes if it is below its goal."""
    said = missed(section, line.what, line.goal, line.ratio)
    return dataclasses.replace(line, note="; ".join(filter(None, (line.note, said))))


def _table(lines: Sequence[Line]) -> str:
    rows = [
        (
            line.what,
            line.opponent,
            f"{_figure(line.ours)} {line.unit}",
            _figure(line.theirs),
            _ratio(line),
            "" if line.goal is None else f"{line.goal:g}",
            line.difference,
        )
        for line in lines
    ]
    header = ("work", "opponent", "this package", "opponent's", "ratio", "goal", "difference")
    return markdown_table(header, rows)


def _ratio(line: Line) -> str:
    low, high = min(line.ratios), max(line.ratios)
    return f"{_figure(line.ratio)} ({_figure(low)}–{_figure(high)})"


def _figure(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def make_parser() -> argparse.ArgumentParser:
    """The script's arguments."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    opponents = Path(".opponents")
    python = Path("bin") / "python"
    today = datetime.date.today().isoformat()
    parser.add_argument(
        "--only", type=_sections, default=tuple(SECTIONS), metavar="LIST", help=", ".join(SECTIONS)
    )
    parser.add_argument("--rounds", type=int, default=ROUNDS, metavar="N", help="5 or more")
    parser.add_argument("--tiny", action="store_true", help="a trial; its figures mean nothing")
    parser.add_argument("--torch", type=Path, default=opponents / "torch" / python)
    parser.add_argument("--audio", type=Path, default=opponents / "audio" / python)
    parser.add_argument(
        "--corpora",
        type=Path,
        default=Path(os.environ.get("MMER_TF_CORPORA", Path("..") / "shared" / "corpora")),
        metavar="DIR",
        help="with real recordings; without it synthetic speech is measured",
    )
    parser.add_argument(
        "--work", type=Path, default=Path("saved_models") / "benchmarks", metavar="DIR"
    )
    parser.add_argument(
        "--out", type=Path, default=HERE / "results" / today, metavar="NAME", help="without ending"
    )
    return parser


def _sections(text: str) -> tuple[str, ...]:
    names = tuple(name.strip() for name in text.split(","))
    for name in names:
        if name not in SECTIONS:
            raise argparse.ArgumentTypeError(
                f"no section '{name}'; known are {', '.join(SECTIONS)}"
            )
    return names


if __name__ == "__main__":
    main()
