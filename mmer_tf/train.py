"""`python -m mmer_tf.train`: from a recipe and a data set to an evaluated run."""

import argparse
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.table import Table
from rich.text import Text

from mmer_tf import cli
from mmer_tf.corpora.synthetic import unspoken
from mmer_tf.data.manifest import MANIFEST, Dataset, read_dataset
from mmer_tf.feasibility import check_data, check_recipe, in_classes, usable_rows
from mmer_tf.plan import (
    Plan,
    RunError,
    check_folders,
    leaky,
    make_plans,
    require_encoder_stages,
    summary_folder,
)
from mmer_tf.protocols.splits import PROTOCOLS, num_folds, split
from mmer_tf.recipe import Recipe, list_models, load_recipe

EXAMPLES = """examples:
  python -m mmer_tf.train --model gmu
  python -m mmer_tf.train --model gmu --data data/emodb --protocol speaker --folds all
  python -m mmer_tf.train --model gmu --seeds 0,1,2 train.epochs=30 speech.options.units=128
  python -m mmer_tf.train --model gmu --find-lr
  python -m mmer_tf.train --list
"""


@dataclass(frozen=True)
class Work:
    """What one command trains, and where the figures over several runs go.

    Args:
        plans: "clean", and with `--leaky` "leaky" -> the trainings.
        summaries: kind of summary -> its folder.
    """

    plans: dict[str, list[Plan]]
    summaries: dict[str, Path]

    @property
    def in_order(self) -> list[Plan]:
        """The trainings one after the other, each leaky one behind its clean one."""
        return [plan for fellows in zip(*self.plans.values(), strict=True) for plan in fellows]


def main(args: argparse.Namespace) -> None:
    """Train every seed and fold that was asked for, and sum them up."""
    if args.list:
        _list_recipes()
        return
    overrides = [*args.overrides, *(["train.deterministic=true"] if args.deterministic else [])]
    recipe = load_recipe(cli.recipe_file(args.model, args.config), overrides, args.tiny)
    work = _look_ahead(args, recipe)
    cli.import_tensorflow()
    from mmer_tf import experiment, summary
    from mmer_tf.fitting import Execution, check_steps
    from mmer_tf.learning_rate import report_learning_rate
    from mmer_tf.training.distribute import make_distribution

    # Before TensorFlow computes anything: several workers must know of each other first.
    distribution = make_distribution("none" if args.find_lr else args.distribute)
    for plan in work.in_order if work else ():
        check_steps(plan, distribution)
    dataset = experiment.open_dataset(args.data, recipe, distribution)
    work = _plan(args, recipe, dataset)
    if args.find_lr:
        report_learning_rate(work.plans["clean"][0])
        return
    execution = Execution(distribution, args.report == "full", not args.no_tensorboard)
    reports: dict[str, list[dict[str, Any]]] = {kind: [] for kind in work.plans}
    for plan in work.in_order:
        check_steps(plan, distribution)
        if args.overwrite and plan.folder.exists() and distribution.is_chief:
            shutil.rmtree(plan.folder)
        kind = "leaky" if plan.encoder_split else "clean"
        reports[kind].append(experiment.run(plan, execution))
    if not distribution.is_chief:
        return
    for kind, plans in work.plans.items():
        if len(plans) > 1:
            summary.sum_up(
                plans,
                reports[kind],
                work.summaries[kind],
                fold=args.folds,
                seeds=args.seeds,
                pictures=execution.pictures,
            )
    if args.leaky:
        summary.compare_leaky(reports, work.summaries["leakage"])


def _look_ahead(args: argparse.Namespace, recipe: Recipe) -> Work | None:
    """Tell every mistake that can be told before TensorFlow is loaded.

    Returns:
        What will be trained; None where the synthetic corpus has yet to be spoken.
    """
    check_recipe(recipe)
    if args.leaky:
        require_encoder_stages(recipe)
    if args.find_lr:
        _require_one(args)
    if args.data is None and not (cli.SYNTHETIC / MANIFEST).is_file():
        rows = list(unspoken())
        fold = num_folds(rows, args.protocol) - 1 if args.folds == "all" else args.folds
        split(rows, args.protocol, fold)
        return None
    dataset = in_classes(recipe, read_dataset(args.data or cli.SYNTHETIC))
    check_data(recipe, dataset)
    return _plan(args, recipe, dataset)


def _require_one(args: argparse.Namespace) -> None:
    """Refuse a learning-rate test of several trainings."""
    if args.folds == "all" or len(args.seeds) > 1 or args.leaky:
        raise RunError(
            "--find-lr looks at one training: give it one fold and one seed, without --leaky"
        )
    if args.distribute not in ("none", "auto"):
        raise RunError("--find-lr uses one device: leave --distribute out")


def _plan(args: argparse.Namespace, recipe: Recipe, dataset: Dataset) -> Work:
    """What is trained on these utterances, after a look at the folders it goes to."""
    dataset, notes = usable_rows(recipe, dataset)
    clean = make_plans(
        recipe,
        dataset,
        notes,
        protocol=args.protocol,
        fold=args.folds,
        seeds=args.seeds,
        run=args.run,
        runs=args.runs,
    )
    plans = {"clean": clean}
    if args.leaky:
        plans["leaky"] = [leaky(plan) for plan in clean]
    if args.find_lr:
        return Work(plans, {})
    folder = summary_folder(clean, args.folds, args.seeds, args.run)
    summaries = {kind: _beside(folder, kind) for kind in plans if len(clean) > 1}
    if args.leaky:
        summaries["leakage"] = _beside(folder, "leakage")
    work = Work(plans, summaries)
    check_folders(work.in_order, list(summaries.values()), args.overwrite)
    return work


def _beside(folder: Path, kind: str) -> Path:
    """The folder for a kind of run; the clean ones keep the plain name."""
    return folder if kind == "clean" else folder.with_name(f"{folder.name}-{kind}")


def _list_recipes() -> None:
    """Every shipped recipe, with what its authors reported; a line each where it is piped."""
    if not cli.console.is_terminal:
        for name, (summary, published) in list_models().items():
            print(f"{name}: {summary}. Published: {published}")
        return
    table = Table("model", "what it is", "published by its authors", show_lines=True)
    table.columns[0].no_wrap = True
    for name, (summary, published) in list_models().items():
        table.add_row(name, Text(summary), Text(published))
    cli.console.print(table)


def make_parser() -> argparse.ArgumentParser:
    """The command's arguments."""
    parser = cli.make_parser("train", "Train, evaluate and save a recipe.")
    parser.epilog = EXAMPLES
    which = cli.add_training_arguments(parser)
    which.add_argument(
        "--list", action="store_true", help="show the shipped recipes and their published scores"
    )
    parser.add_argument("--protocol", choices=sorted(PROTOCOLS), default="speaker")
    parser.add_argument(
        "--leaky",
        action="store_true",
        help="train beside it, for a recipe in stages, what its score becomes once its encoders "
        "have seen test utterances",
    )
    parser.add_argument(
        "--find-lr",
        action="store_true",
        help="train nothing, but test which learning rate suits; see docs/training.md",
    )
    parser.add_argument(
        "--distribute",
        choices=("none", "auto", "mirrored", "multiworker"),
        default="auto",
        help="one device, all GPUs of this machine, or the machines that TF_CONFIG names; "
        "auto takes what there is (default)",
    )
    parser.add_argument(
        "--deterministic",
        action="store_true",
        help="the same bits from run to run: short for train.deterministic=true",
    )
    cli.add_report_argument(parser)
    parser.add_argument(
        "--no-tensorboard", action="store_true", help="write nothing for TensorBoard"
    )
    return parser


if __name__ == "__main__":
    sys.exit(cli.run(main, make_parser()))
