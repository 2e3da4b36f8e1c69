"""Heads on stored hidden states against the same heads behind frozen transformers.

    python benchmarks/stored_states.py
    python benchmarks/stored_states.py --per-cell 1 --epochs 2 --size tiny --out tiny.md

Trains the recipe `hubert_bert_cross_attention`, in one stage, on a part of the synthetic corpus:
once on hidden states that the shards hold, once with HuBERT and BERT in the model. No network: the
checkpoints have random weights in the published layout, at the size of the published base models,
so the figures tell about time and sameness and not about emotions.
"""

import argparse
import csv
import itertools
import os
import re
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from markdown_table import command_line, markdown_table, versions
from runs import read_json

from mmer_tf import cli
from mmer_tf.atomic import write_text

RECIPE = "hubert_bert_cross_attention"
EPOCH = re.compile(r"epoch +(\d+)/\d+")
FIGURES = ("val_loss", "val_ua", "val_wa")
GOAL = 20


@dataclass(frozen=True)
class Training:
    """One training by the command.

    Args:
        epochs: wall-clock seconds from each epoch's end to the next one's: the first, in which
            the graph is traced, is left out.
        before: seconds from the start of the process to the end of the first epoch.
        history: rows of `history.csv`.
        report: content of `report.json`.
    """

    epochs: tuple[float, ...]
    before: float
    history: tuple[Mapping[str, float], ...]
    report: Mapping[str, Any]

    @property
    def seconds(self) -> float:
        """Of one epoch, its validation included; the median."""
        return statistics.median(self.epochs)


def main(argv: Sequence[str] | None = None) -> None:
    """Prepare, train both ways, and write what came out."""
    args = make_parser().parse_args(argv)
    data, weights = prepare(args)
    trainings = {}
    for name, stored in (("stored", True), ("frozen", False)):
        trainings[name] = train(args, data, weights, stored)
    text = page(args, trainings["stored"], trainings["frozen"])
    write_text(args.out, text)
    print(text)
    print(f"written to {args.out}")


def prepare(args: argparse.Namespace) -> tuple[Path, dict[str, Path]]:
    """The part of the corpus without features, and a checkpoint for each transformer."""
    cli.import_tensorflow()
    from mmer_tf.data.prepare import prepare_synthetic
    from mmer_tf.testing_checkpoints import write_checkpoint, write_tiny_checkpoint

    shutil.rmtree(args.work / "data", ignore_errors=True)  # states are to be computed, not found
    dataset = prepare_synthetic(
        args.work / "data", ["waveform"], utterances_per_cell=args.per_cell, workers=0
    )
    write, vocabulary = write_tiny_checkpoint, {}
    if args.size == "base":
        write, vocabulary = write_checkpoint, {"vocabulary_size": 30_522}
    texts = tuple(row.transcript for row in dataset.rows)
    of_kind: dict[str, Any] = {"hubert": {}, "bert": {"texts": texts, **vocabulary}}
    # 12 layers even when tiny: the recipe names the ninth.
    return dataset.folder, {
        kind: write(kind, args.work / f"{kind}-{args.size}", num_layers=12, **settings)
        for kind, settings in of_kind.items()
    }


def train(
    args: argparse.Namespace, data: Path, weights: Mapping[str, Path], stored: bool
) -> Training:
    """Run the command, and look at the clock at the end of every epoch."""
    name = "stored" if stored else "frozen"
    command = [sys.executable, "-m", "mmer_tf.train", "--model", RECIPE, "--data", str(data)]
    command += ["--runs", str(args.work), "--run", name, "--overwrite", "--seed", str(args.seed)]
    command += [f"train.epochs={args.epochs}", "stages=[]"]
    for part, kind in (("speech", "hubert"), ("text", "bert")):
        command += [f"{part}.upstream.weights={weights[kind]}"]
        command += [f"{part}.upstream.stored={str(stored).lower()}"]
    started, ends = time.monotonic(), []
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, env=os.environ | {"PYTHONUNBUFFERED": "1"}
    ) as process:
        for line in process.stdout or ():
            if EPOCH.match(line):
                ends.append(time.monotonic())
            print(f"{name}: {line}", end="", flush=True)
    if process.returncode:
        raise SystemExit(f"{name}: exit code {process.returncode}")
    with (args.work / name / "history.csv").open(encoding="utf-8") as stream:
        history = tuple({key: float(row[key]) for key in FIGURES} for row in csv.DictReader(stream))
    return Training(
        epochs=tuple(b - a for a, b in itertools.pairwise(ends)),
        before=ends[0] - started,
        history=history,
        report=read_json(args.work / name / "report.json"),
    )


def page(args: argparse.Namespace, stored: Training, frozen: Training) -> str:
    """The Markdown of both trainings."""
    ratio = frozen.seconds / stored.seconds
    rows = [
        (
            name,
            f"{training.seconds:.2f}",
            f"{training.before:.0f}",
            *(f"{training.history[-1][figure]:.4f}" for figure in FIGURES),
            f"{training.report['wa']:.4f}",
            f"{training.report['ua']:.4f}",
        )
        for name, training in (("stored", stored), ("frozen, in the model", frozen))
    ]
    largest = max(
        abs(a[figure] - b[figure])
        for a, b in zip(stored.history, frozen.history, strict=True)
        for figure in FIGURES
    )
    same = all(stored.report[figure] == frozen.report[figure] for figure in ("wa", "ua"))
    return "\n".join(
        (
            "# Stored hidden states\n",
            command_line(),
            f"Recipe `{RECIPE}` in one stage, {args.epochs} epochs, on {args.per_cell * 40} "
            f"utterances of the synthetic corpus; HuBERT and BERT with random weights, "
            f"{args.size} size. Seconds an epoch: wall clock of the command `train` from the end "
            "of an epoch to the end of the next (median), with its validation and its checkpoint. "
            "First epoch: from the start of the command, with all that comes before; for "
            "`stored` the hidden states are computed there, once for all later trainings.\n",
            versions(),
            markdown_table(
                ("hidden states", "seconds an epoch", "until the first epoch's end",
                 *FIGURES, "test WA", "test UA"),
                rows,
            ),
            f"**{ratio:.0f} times as fast an epoch** (goal: {GOAL}). Test figures are "
            f"{'the same' if same else 'not the same'}; the validation figures of all epochs "
            f"differ by {largest:.1e} at most (states are stored in float16).\n",
        )
    )  # fmt: skip


def make_parser() -> argparse.ArgumentParser:
    """The script's arguments."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--size", choices=("base", "tiny"), default="base", help="of both encoders")
    parser.add_argument(
        "--per-cell",
        type=int,
        default=2,
        metavar="N",
        help="utterances for each of 10 speakers and 4 emotions (default: 2)",
    )
    parser.add_argument("--epochs", type=int, default=5, metavar="N", help="2 at least; default: 5")
    parser.add_argument("--seed", type=int, default=0, metavar="N")
    parser.add_argument(
        "--work",
        type=Path,
        default=Path("saved_models") / "benchmarks" / "stored_states",
        metavar="DIR",
        help="data, checkpoints (0.8 GB) and runs (default: saved_models/benchmarks/stored_states)",
    )
    parser.add_argument(
        "--out",
        type=Path,
        default=Path(__file__).with_suffix(".md"),
        metavar="FILE",
        help="default: benchmarks/stored_states.md",
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
