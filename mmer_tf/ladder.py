"""`python -m mmer_tf.ladder`: one recipe under every protocol, so that leaks show their worth."""

import argparse
import shutil
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mmer_tf import cli
from mmer_tf.data.manifest import MANIFEST, Dataset, read_dataset
from mmer_tf.feasibility import check_data, check_recipe, in_classes, usable_rows
from mmer_tf.plan import Plan, RunError, check_folders, make_plans, summary_folder
from mmer_tf.protocols import PROMISES, PROTOCOLS
from mmer_tf.protocols.splits import ProtocolError
from mmer_tf.recipe import Recipe, load_recipe

EXAMPLES = """examples:
  python -m mmer_tf.ladder --model gmu
  python -m mmer_tf.ladder --model blstm_attention --data data/emodb --folds all
  python -m mmer_tf.ladder --model gmu --protocols random,speaker --seeds 0,1,2

Every run is that of `python -m mmer_tf.train` with the same arguments: what either of them has
finished is read and not trained again, and a killed one goes on after its last epoch.
"""


@dataclass(frozen=True)
class Rungs:
    """What one ladder trains.

    Args:
        plans: protocol -> the trainings of its folds and seeds.
        refused: protocol -> why it cannot divide the corpus.
        folder: where the ladder goes.
    """

    plans: dict[str, list[Plan]]
    refused: dict[str, str]
    folder: Path

    @property
    def in_order(self) -> list[Plan]:
        """The trainings one after the other."""
        return [plan for of_protocol in self.plans.values() for plan in of_protocol]


def main(args: argparse.Namespace) -> None:
    """Train under each protocol that the corpus allows, and set the figures side by side."""
    recipe = load_recipe(cli.recipe_file(args.model, args.config), args.overrides, args.tiny)
    _look_ahead(args, recipe)
    cli.import_tensorflow()
    from mmer_tf import experiment
    from mmer_tf.evaluation.ladder import ladder_table, make_ladder, write_ladder
    from mmer_tf.fitting import check_steps

    rungs = _plan(args, recipe, experiment.open_dataset(args.data, recipe))
    for plan in rungs.in_order:
        check_steps(plan, experiment.ONE_DEVICE)
    for protocol, why in rungs.refused.items():
        cli.console.print(f"not on the ladder: {protocol}: {why}", highlight=False, soft_wrap=True)
    reports: dict[str, list[dict[str, Any]]] = {protocol: [] for protocol in rungs.plans}
    for protocol, plans in rungs.plans.items():
        for plan in plans:
            if args.overwrite and plan.folder.exists():
                shutil.rmtree(plan.folder)
            reports[protocol].append(experiment.run(plan))
    ladder = make_ladder(
        reports,
        {name: [len(plan.split.train) for plan in plans] for name, plans in rungs.plans.items()},
        rungs.refused,
        run=rungs.folder.name,
        data=rungs.in_order[0].data_name,
        fold=args.folds,
        seed=args.seeds,
    )
    rungs.folder.mkdir(parents=True, exist_ok=True)
    write_ladder(ladder, rungs.folder)
    cli.show_result(ladder_table(ladder), rungs.folder)


def _look_ahead(args: argparse.Namespace, recipe: Recipe) -> None:
    """Tell every mistake that can be told before TensorFlow is loaded."""
    check_recipe(recipe)
    if args.data is not None or (cli.SYNTHETIC / MANIFEST).is_file():
        dataset = in_classes(recipe, read_dataset(args.data or cli.SYNTHETIC))
        check_data(recipe, dataset)
        _plan(args, recipe, dataset)


def _plan(args: argparse.Namespace, recipe: Recipe, dataset: Dataset) -> Rungs:
    """What is trained on these utterances, after a look at the folders it goes to."""
    dataset, notes = usable_rows(recipe, dataset)
    plans: dict[str, list[Plan]] = {}
    refused: dict[str, str] = {}
    for protocol in args.protocols:
        try:
            plans[protocol] = make_plans(
                recipe,
                dataset,
                notes,
                protocol=protocol,
                fold=args.folds,
                seeds=args.seeds,
                run=f"{args.run}-{protocol}" if args.run else None,
                runs=args.runs,
            )
        except ProtocolError as error:
            refused[protocol] = str(error)
    if len(plans) < 2:
        reasons = " ".join(f"{protocol}: {why}" for protocol, why in refused.items())
        raise RunError(
            f"a ladder compares two protocols or more, of which {dataset.folder} allows "
            f"{', '.join(plans) or 'none'}. {reasons}"
        )
    first = next(iter(plans.values()))[0]
    # Named like the summary of a protocol that is called `ladder`.
    first = replace(first, split=replace(first.split, protocol="ladder"))
    rungs = Rungs(plans, refused, summary_folder([first], args.folds, args.seeds, args.run))
    check_folders(rungs.in_order, [rungs.folder], args.overwrite)
    return rungs


def make_parser() -> argparse.ArgumentParser:
    """The command's arguments."""
    parser = cli.make_parser(
        "ladder", "Train and evaluate a recipe under every protocol that a corpus allows."
    )
    parser.epilog = EXAMPLES
    cli.add_training_arguments(parser)
    parser.add_argument(
        "--protocols",
        type=_protocols,
        default=tuple(PROMISES),
        metavar="NAME,NAME",
        help=f"the protocols to compare (default: all of {', '.join(PROMISES)})",
    )
    return parser


def _protocols(text: str) -> tuple[str, ...]:
    """Named protocols, in the order of the ladder."""
    names = text.split(",")
    for name in names:
        if name not in PROTOCOLS:
            raise argparse.ArgumentTypeError(f"must be of {', '.join(PROMISES)}; not '{name}'")
    return tuple(name for name in PROMISES if name in names)


if __name__ == "__main__":
    sys.exit(cli.run(main, make_parser()))
