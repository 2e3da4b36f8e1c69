"""`python -m mmer_tf.train`: from a recipe and a data set to an evaluated run."""

import argparse
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Group
from rich.table import Table
from rich.text import Text

from mmer_tf import cli
from mmer_tf.plan import (
    REPORT,
    Plan,
    check_folders,
    leaky,
    make_plans,
    require_encoder_stages,
    summary_folder,
)
from mmer_tf.protocols.splits import PROTOCOLS
from mmer_tf.recipe import list_models, load_recipe

EXAMPLES = """examples:
  python -m mmer_tf.train --model gmu
  python -m mmer_tf.train --model gmu --data data/emodb --protocol speaker --folds all
  python -m mmer_tf.train --model gmu --seeds 0,1,2 train.epochs=30 speech.options.units=128
  python -m mmer_tf.train --list
"""


def main(args: argparse.Namespace) -> None:
    """Train every seed and fold that was asked for, and sum them up."""
    if args.list:
        _list_recipes()
        return
    recipe = load_recipe(cli.recipe_file(args.model, args.config), args.overrides, args.tiny)
    if args.leaky:
        require_encoder_stages(recipe)
    cli.import_tensorflow()
    from mmer_tf import experiment
    from mmer_tf.assembly import usable_rows

    dataset, notes = usable_rows(recipe, experiment.open_dataset(args.data, recipe))
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
    summary = summary_folder(clean, args.folds, args.seeds, args.run)
    summaries = {kind: _beside(summary, kind) for kind in plans if len(clean) > 1}
    if args.leaky:
        summaries["leakage"] = _beside(summary, "leakage")
    in_order = [plan for fellows in zip(*plans.values(), strict=True) for plan in fellows]
    check_folders(in_order, list(summaries.values()), args.overwrite)
    reports: dict[str, list[dict[str, Any]]] = {kind: [] for kind in plans}
    for plan in in_order:
        if args.overwrite and plan.folder.exists():
            shutil.rmtree(plan.folder)
        kind = "leaky" if plan.encoder_split else "clean"
        reports[kind].append(experiment.run(plan))
    if len(clean) > 1:
        for kind in plans:
            _sum_up(args, plans[kind], reports[kind], summaries[kind])
    if args.leaky:
        _compare(reports, summaries["leakage"])


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


def _sum_up(
    args: argparse.Namespace, plans: Sequence[Plan], reports: list[dict[str, Any]], folder: Path
) -> None:
    """Mean and deviation over the runs, and one report of their pooled predictions."""
    from mmer_tf.evaluation.evaluate import make_report, write_report
    from mmer_tf.evaluation.metrics import mean_and_deviation
    from mmer_tf.evaluation.predictions import load_predictions, pool
    from mmer_tf.evaluation.report import summary_table

    pooled = pool([load_predictions(plan.folder / "predictions.csv") for plan in plans])
    summary = mean_and_deviation(reports)
    report = make_report(
        pooled,
        run=folder.name,
        data=plans[0].data_name,
        split="test",
        protocol=args.protocol,
        fold=args.folds,
        seed=args.seeds,
        notes=_notes_of(reports),
    )
    report |= {"summary": summary, "runs": [plan.folder.name for plan in plans]}
    folder.mkdir(parents=True, exist_ok=True)
    write_report(report, pooled, folder)
    rows = [(f"fold {r['fold']}, seed {r['seed']}", r) for r in reports]
    cli.show_result(summary_table([*rows, ("pooled", report)], summary, folder.name), folder)


def _compare(reports: Mapping[str, list[dict[str, Any]]], folder: Path) -> None:
    """The clean and the leaky runs side by side."""
    from mmer_tf.evaluation.metrics import mean_and_deviation
    from mmer_tf.evaluation.report import write_json

    summary = {kind: mean_and_deviation(of_kind) for kind, of_kind in reports.items()}
    notes = _notes_of(reports["leaky"])
    content = {
        "run": folder.name,
        "data": reports["clean"][0]["data"],
        "summary": summary,
        "runs": {kind: [report["run"] for report in reports[kind]] for kind in reports},
        "notes": notes,
    }
    folder.mkdir(parents=True, exist_ok=True)
    write_json(content, folder / REPORT)
    table = _comparison_table(reports, summary, folder.name)
    cli.show_result(Group(table, *(Text(f"note: {note}") for note in notes)), folder)


def _comparison_table(
    reports: Mapping[str, list[dict[str, Any]]],
    summary: Mapping[str, Mapping[str, Mapping[str, float]]],
    title: str,
) -> Table:
    """Clean and leaky of each fold and seed on lines of their own, then their means."""
    from mmer_tf.evaluation.report import HEADINGS

    table = Table("run", title=title, title_justify="left")
    for heading in (*HEADINGS.values(), "n"):
        table.add_column(heading, justify="right")
    several = len(reports["clean"]) > 1
    for fellows in zip(*reports.values(), strict=True):
        for kind, report in zip(reports, fellows, strict=True):
            where = f", fold {report['fold']}, seed {report['seed']}" if several else ""
            figures = [f"{report[figure]:.3f}" for figure in HEADINGS]
            table.add_row(kind + where, *figures, str(report["n"]))
    if several:
        table.add_section()
        for kind in reports:
            figures = [f"{summary[kind][figure]['mean']:.3f}" for figure in HEADINGS]
            table.add_row(f"{kind}, mean", *figures, "")
    return table


def _notes_of(reports: Sequence[Mapping[str, Any]]) -> list[str]:
    """What the runs have to say together."""
    from mmer_tf.evaluation.report import joint_notes

    return joint_notes([(f"fold {r['fold']}, seed {r['seed']}", r["notes"]) for r in reports])


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
    return parser


if __name__ == "__main__":
    sys.exit(cli.run(main, make_parser()))
