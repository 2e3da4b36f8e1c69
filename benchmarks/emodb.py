"""Networks and a support vector machine on EmoDB, with held-out speakers and five folds.

    python benchmarks/emodb.py
    python benchmarks/emodb.py --root corpora/EmoDB --systems support_vector_machine

Four emotions, ten speakers: each fold tests two of them, two choose the epoch, six train. The
systems stand in `SYSTEMS`, chosen before any test figure was read. A finished training is not
repeated, a killed one goes on.
"""

import argparse
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from markdown_table import command_line, markdown_table, versions
from runs import REPORT, add_arguments, read_json, train

from mmer_tf.atomic import write_text
from mmer_tf.data.manifest import MANIFEST, read_dataset
from mmer_tf.evaluation.bootstrap import bootstrap_interval
from mmer_tf.evaluation.metrics import score
from mmer_tf.evaluation.predictions import load_predictions, pool
from mmer_tf.registry import Registry

REPOSITORY = Path(__file__).resolve().parents[1]
CORPORA = Path(os.environ.get("MMER_TF_CORPORA", REPOSITORY.parent / "shared" / "corpora"))

LABELS = "anger,happiness,neutral,sadness"
FOLDS = 5
SEED = 0
RESAMPLES = 10_000

FROM_SCRATCH = (
    "speech.weights=null",
    "stages=[]",
    "train.learning_rate=1e-3",
    "train.lowest_learning_rate=null",
    "train.epochs=10",
)
"""Of ResNet34, whose recipe starts from published weights and unfreezes them in stages; of its 15
epochs the 10 unfrozen ones, since each takes minutes on two cores."""

AUGMENTED = (
    "train.spec_augment.time_masks=2",
    "train.spec_augment.frequency_masks=2",
    "data.augmented_copies=3",
)


@dataclass(frozen=True)
class System:
    """One line of the table.

    Args:
        what: for the reader.
        recipe: name of a shipped recipe; None for the support vector machine.
        overrides: changes of the recipe.
    """

    what: str
    recipe: str | None
    overrides: tuple[str, ...] = ()


SYSTEMS = Registry(
    "system",
    {
        "support_vector_machine": System("RBF, C = 1, balanced; statistics of LLDs", None),
        "alexnet": System("AlexNet on the log-spectrogram, from scratch", "alexnet"),
        "alexnet_augmented": System(
            "the same, SpecAugment and three perturbed copies", "alexnet", AUGMENTED
        ),
        "resnet34": System("ResNet34 on mel images, from scratch", "resnet34", FROM_SCRATCH),
        "blstm_last": System("BLSTM on LLDs, last step", "blstm_last"),
        "blstm_mean": System("BLSTM on LLDs, mean over the steps", "blstm_mean"),
        "blstm_attention": System("BLSTM on LLDs, attention", "blstm_attention"),
        "blstm_attention_augmented": System(
            "the same, SpecAugment and three perturbed copies", "blstm_attention", AUGMENTED
        ),
    },
)

HEADER = ("system", "what", *(f"fold {k}" for k in range(FOLDS)), "UA, mean of the folds",
          "UA, pooled [95 %]", "WA, mean of the folds", "WA, pooled [95 %]")  # fmt: skip


def main(argv: Sequence[str] | None = None) -> None:
    """Prepare, train what is missing, and write the table after every system."""
    args = make_parser().parse_args(argv)
    systems = {name: SYSTEMS[name] for name in args.systems}
    if not (args.data / MANIFEST).is_file():
        prepare(args.root, args.data)
    speakers = {row.id: row.speaker or "" for row in read_dataset(args.data).rows}
    rows = []
    for name, system in systems.items():
        folders = run_folders(name, system, args.data, args.runs, args.tiny)
        rows.append(row(name, system.what, folders, speakers))
        write_text(args.out, page(rows, len(speakers), args.tiny))
    print(f"written to {args.out}")


def prepare(root: Path, data: Path) -> None:
    """Write the corpus as a data set."""
    corpus = ("--corpus", "emodb", "--root", str(root), "--labels", LABELS)
    _run("-m", "mmer_tf.prepare", *corpus, "--features", "lld", "--out", str(data))


def run_folders(name: str, system: System, data: Path, runs: Path, tiny: bool) -> list[Path]:
    """One folder a fold, each with a report and predictions."""
    if system.recipe is None:
        script = Path(__file__).with_name("support_vector_machine.py")
        _run(str(script), "--data", str(data), "--runs", str(runs))
        return [runs / f"{name}-{data.resolve().name}-speaker-fold{fold}" for fold in range(FOLDS)]
    return [
        train(
            name,
            system.recipe,
            system.overrides,
            data=data,
            fold=fold,
            seed=SEED,
            runs=runs,
            tiny=tiny,
        ).folder
        for fold in range(FOLDS)
    ]


def row(
    name: str, what: str, folders: Sequence[Path], speakers: Mapping[str, str]
) -> tuple[str, ...]:
    """One system's line.

    Args:
        name: of the system.
        what: it is.
        folders: a run a fold.
        speakers: id -> speaker, which the interval is drawn over.
    """
    reports: list[Mapping[str, Any]] = [read_json(folder / REPORT) for folder in folders]
    pooled = pool([load_predictions(folder / "predictions.csv") for folder in folders])
    spoken_by = [speakers[str(id)] for id in pooled.ids]
    whole = score(pooled)
    summary = []
    for figure in ("ua", "wa"):
        low, high = bootstrap_interval(pooled, spoken_by, figure, resamples=RESAMPLES, seed=SEED)
        summary.append(f"{np.mean([report[figure] for report in reports]):.3f}")
        summary.append(f"{whole[figure]:.3f} [{low:.3f}, {high:.3f}]")
    return (f"`{name}`", what, *(f"{report['ua']:.3f}" for report in reports), *summary)


def page(rows: Sequence[Sequence[str]], utterances: int, tiny: bool) -> str:
    """The Markdown of the results so far."""
    size = "**Trial size (`--tiny`): no result.**\n\n" if tiny else ""
    return "\n".join(
        (
            "# EmoDB, held-out speakers\n",
            command_line(),
            f"{size}{utterances} utterances, {LABELS.replace(',', ', ')}; the ten sentences are "
            "the same in every emotion, so that only the voice tells. Protocol `speaker`: fold k "
            "tests speakers k and k + 5 in sorted order, the next pair chooses the epoch, six "
            f"speakers train; seed {SEED}. The columns of the folds are UA. Pooled: of the "
            f"predictions of all folds together; interval: {RESAMPLES} resamples of the ten test "
            "speakers with replacement. The systems were named before any test figure was read; "
            "the support vector machine trains on the same six speakers.\n",
            versions(),
            markdown_table(HEADER, rows),
        )
    )


def make_parser() -> argparse.ArgumentParser:
    """The script's arguments."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--root",
        type=Path,
        default=CORPORA / "EmoDB",
        metavar="DIR",
        help="the corpus as downloaded (default: $MMER_TF_CORPORA/EmoDB or "
        "../shared/corpora/EmoDB)",
    )
    parser.add_argument(
        "--systems",
        type=lambda text: tuple(text.split(",")),
        default=tuple(SYSTEMS),
        metavar="NAME,NAME",
        help=f"default: {','.join(SYSTEMS)}",
    )
    parser.add_argument(
        "--data",
        type=Path,
        default=Path("data") / "emodb",
        metavar="DIR",
        help="where the data set is, or is prepared (default: data/emodb)",
    )
    add_arguments(parser, __file__)
    return parser


def _run(*arguments: str) -> None:
    """Run a script or module; its own message is all that a failure needs."""
    code = subprocess.run([sys.executable, *arguments]).returncode
    if code:
        raise SystemExit(code)


if __name__ == "__main__":
    sys.exit(main())
