"""`python -m mmer_tf.train`: from a recipe and a data set to an evaluated run."""

import argparse
import json
import shutil
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from mmer_tf import cli
from mmer_tf.corpora.labels import parse_labels
from mmer_tf.data.manifest import Dataset
from mmer_tf.protocols.splits import PROTOCOLS, Split, num_folds, split
from mmer_tf.recipe import (
    Recipe,
    RecipeError,
    fingerprint,
    load_recipe,
    save_recipe,
    shipped_recipes,
)

EXAMPLES = """examples:
  python -m mmer_tf.train --model gmu
  python -m mmer_tf.train --model gmu --data data/emodb --protocol speaker --folds all
  python -m mmer_tf.train --model gmu --seeds 0,1,2 train.epochs=30 speech.options.units=128
"""


class RunError(ValueError):
    """A run that cannot be started or continued, with what to do."""


@dataclass(frozen=True)
class Plan:
    """One training: everything that decides what comes out."""

    recipe: Recipe
    data: Dataset
    split: Split
    seed: int
    folder: Path

    @property
    def data_name(self) -> str:
        """What the data set is called in names and reports."""
        return self.data.folder.resolve().name  # resolved, since `.` has no name

    @property
    def finished(self) -> bool:
        """The report is written last."""
        return (self.folder / "report.json").is_file()


def main(args: argparse.Namespace) -> None:
    """Train every seed and fold that was asked for, and sum them up."""
    recipe = load_recipe(cli.recipe_file(args.model, args.config), args.overrides, args.tiny)
    cli.import_tensorflow()
    from mmer_tf.bundle import usable_rows

    dataset, notes = usable_rows(recipe, _open_dataset(args.data, recipe))
    plans = _make_plans(args, recipe, dataset, notes)
    summary = _summary_folder(args, plans) if len(plans) > 1 else None
    _check_folders(plans, summary, args.overwrite)
    reports = []
    for plan in plans:
        if args.overwrite and plan.folder.exists():
            shutil.rmtree(plan.folder)
        reports.append(_train(plan))
    if summary:
        _sum_up(args, plans, reports, summary)


def _open_dataset(data: Path | None, recipe: Recipe) -> Dataset:
    """The prepared data set, with the features that the recipe needs."""
    from mmer_tf.bundle import stored_features
    from mmer_tf.data.prepare import ensure_features, prepare_synthetic

    features = stored_features(recipe)
    if data is None:
        dataset = prepare_synthetic(cli.DATA / "synthetic", features, cli.progress_bar)
    else:
        dataset = ensure_features(data, features, cli.progress_bar)
    return dataset.select(parse_labels(recipe.data.labels)) if recipe.data.labels else dataset


def _make_plans(
    args: argparse.Namespace, recipe: Recipe, dataset: Dataset, notes: Sequence[str]
) -> list[Plan]:
    last = num_folds(dataset.rows, args.protocol)
    folds = range(last) if args.folds == "all" else [args.folds]
    several = len(folds) * len(args.seeds) > 1
    plans = []
    for seed in args.seeds:
        for fold in folds:
            division = split(dataset.rows, args.protocol, fold, seed)
            division = replace(division, notes=(*division.notes, *notes))
            if args.run:
                name = f"{args.run}-fold{fold}-seed{seed}" if several else args.run
            else:
                name = _run_name(recipe, dataset, args.protocol, f"fold{fold}", seed)
            plans.append(Plan(recipe, dataset, division, seed, _run_folder(args.runs, name)))
    return plans


def _summary_folder(args: argparse.Namespace, plans: Sequence[Plan]) -> Path:
    """Where the figures over several runs go."""
    folds = "folds" if args.folds == "all" else f"fold{args.folds}"
    seeds = ",".join(map(str, args.seeds))
    name = args.run or _run_name(plans[0].recipe, plans[0].data, args.protocol, folds, seeds)
    return _run_folder(args.runs, name)


def _run_name(recipe: Recipe, data: Dataset, protocol: str, fold: str, seed: int | str) -> str:
    """Readable, and different whenever the outcome may differ."""
    shipped = shipped_recipes()
    as_shipped = recipe.name in shipped and load_recipe(shipped[recipe.name]) == recipe
    variant = "" if as_shipped else f"+{fingerprint(recipe)}"
    return f"{recipe.name}{variant}-{data.folder.resolve().name}-{protocol}-{fold}-seed{seed}"


def _run_folder(runs: Path, name: str) -> Path:
    if name != Path(name).name or name == "..":
        raise RunError(f"a run needs a name, not a path such as '{name}'; --runs DIR says where")
    return runs / name


def _check_folders(plans: Sequence[Plan], summary: Path | None, overwrite: bool) -> None:
    """Refuse, before anything is trained, what would mix or destroy runs."""
    for plan in plans:
        _check_folder(plan, overwrite)
    if summary and (summary / "split.json").is_file():
        raise RunError(f"{summary} is one run, not the summary of several; choose another --run")
    if len(plans) == 1 and plans[0].finished and not overwrite:
        raise RunError(
            f"{plans[0].folder} is finished; --overwrite trains it anew, --run NAME keeps both, "
            f"python -m mmer_tf.evaluate --run {plans[0].folder.name} shows its report"
        )


def _check_folder(plan: Plan, overwrite: bool) -> None:
    recipe_file, split_file = plan.folder / "recipe.yaml", plan.folder / "split.json"
    if not split_file.is_file():
        if plan.folder.exists() and any(file != recipe_file for file in plan.folder.iterdir()):
            raise RunError(f"{plan.folder} holds other files than a run's; choose another --run")
        return
    if overwrite:
        return
    stored = json.loads(split_file.read_text(encoding="utf-8"))
    same = all(stored.get(key) == value for key, value in _identity(plan).items())
    if not same or load_recipe(recipe_file) != plan.recipe:
        raise RunError(
            f"{plan.folder} is a run of another recipe, data set, split or seed; "
            "--overwrite replaces it, --run NAME keeps both"
        )


def _identity(plan: Plan) -> dict[str, Any]:
    """What, with the recipe, makes two runs one and the same."""
    return {"digest": plan.split.digest, "seed": plan.seed, "data_digest": plan.data.digest}


def _train(plan: Plan) -> dict[str, Any]:
    """Train, or go on, or take the report of a finished run."""
    from mmer_tf.bundle import Bundle, build_model
    from mmer_tf.data.pipeline import batches_per_epoch, fit_statistics, make_dataset
    from mmer_tf.evaluation.evaluate import make_report, predict_ids, write_report
    from mmer_tf.evaluation.report import report_table
    from mmer_tf.models.branch import find_standardise
    from mmer_tf.training.fit import fit
    from mmer_tf.training.optimizer import make_optimizer

    recipe, settings = plan.recipe, plan.recipe.train
    if plan.finished:
        cli.console.print(f"{plan.folder.name}: finished before")
        return json.loads((plan.folder / "report.json").read_text(encoding="utf-8"))
    if (plan.folder / "checkpoint").is_dir():
        cli.console.print(f"going on with {plan.folder}", highlight=False, soft_wrap=True)
    cli.console.print(
        f"[bold]{plan.folder.name}[/]: {len(plan.split.train)} train, "
        f"{len(plan.split.validation)} validation, {len(plan.split.test)} test utterances",
        highlight=False,
        soft_wrap=True,
    )
    for note in plan.split.notes:
        cli.console.print(f"note: {note}", highlight=False, soft_wrap=True)

    tokenizer = _make_tokenizer(plan)
    model = build_model(recipe, len(plan.data.labels), tokenizer, plan.seed)
    bundle = Bundle(recipe, plan.data.labels, tokenizer, model)
    if recipe.speech:
        for feature in recipe.speech.features:
            if (layer := find_standardise(model, feature)) is not None:
                layer.set_statistics(*fit_statistics(plan.data, plan.split.train, feature))
    _claim_folder(plan)  # not before: a recipe that cannot be built leaves no run

    reading = {
        "features": bundle.features,
        "labels": plan.data.labels,
        "tokenizer": tokenizer,
        "cleaning": recipe.data.cleaning,
        "max_seconds": recipe.data.max_seconds,
        "batch_size": settings.batch_size,
        "cache": recipe.data.cache,
    }

    def training_data(first_epoch: int):
        return make_dataset(
            plan.data,
            plan.split.train,
            training=True,
            seed=plan.seed,
            first_epoch=first_epoch,
            epochs=settings.epochs,
            soft_labels=recipe.data.soft_labels,
            class_weights=_class_weights(plan) if settings.class_weights else None,
            **reading,
        )

    validation = make_dataset(plan.data, plan.split.validation, training=False, **reading)
    steps = batches_per_epoch(plan.data, plan.split.train, settings.batch_size)
    fit(
        model,
        training_data,
        validation,
        num_classes=len(plan.data.labels),
        optimizer=make_optimizer(
            settings.optimizer,
            learning_rate=settings.learning_rate,
            steps=steps * settings.epochs,
            schedule=settings.schedule,
            warmup_share=settings.warmup_share,
            weight_decay=settings.weight_decay,
            clip_norm=settings.clip_norm,
        ),
        epochs=settings.epochs,
        steps_per_epoch=steps,
        folder=plan.folder,
        patience=settings.patience,
        label_smoothing=settings.label_smoothing,
        console=cli.console,
    )
    bundle.save(plan.folder)

    predictions = predict_ids(bundle, plan.data, plan.split.test)
    report = make_report(
        predictions,
        run=plan.folder.name,
        data=plan.data_name,
        split="test",
        protocol=plan.split.protocol,
        fold=plan.split.fold,
        seed=plan.seed,
        notes=plan.split.notes,
    )
    write_report(report, predictions, plan.folder)
    shutil.rmtree(plan.folder / "checkpoint")
    cli.show_result(report_table(report, f"{plan.folder.name}: test"), plan.folder)
    return report


def _claim_folder(plan: Plan) -> None:
    """Write what the run is; `split.json` comes last and marks the folder as a run."""
    from mmer_tf.evaluation.report import write_json

    plan.folder.mkdir(parents=True, exist_ok=True)
    save_recipe(plan.recipe, plan.folder / "recipe.yaml")
    content = asdict(plan.split) | _identity(plan) | {"data": str(plan.data.folder)}
    write_json(content, plan.folder / "split.json")


def _make_tokenizer(plan: Plan):
    """The tokenizer of published weights, or one whose vocabulary is the training split's."""
    from mmer_tf.text.normalise import clean
    from mmer_tf.text.tokenizer import Tokenizer

    text = plan.recipe.text
    if text is None:
        return None
    if text.tokenizer_source:
        return Tokenizer.from_pretrained(text.tokenizer_source, max_tokens=text.max_tokens)
    training = set(plan.split.train)
    texts = [
        clean(row.transcript, plan.recipe.data.cleaning)
        for row in plan.data.rows
        if row.id in training
    ]
    if not any(texts):
        raise RunError(
            f"{plan.data.folder} has no transcripts to train on; choose a recipe of the voice alone"
        )
    try:
        return Tokenizer.from_texts(texts, text.vocabulary_size, text.max_tokens)
    except ValueError as error:
        raise RecipeError(f"recipe {plan.recipe.name}: text: {error}") from error


def _class_weights(plan: Plan) -> dict[str, float]:
    """Inverse class frequencies of the training split, 1 on average over utterances."""
    training = set(plan.split.train)
    counts = Counter(row.label for row in plan.data.rows if row.id in training)
    return {label: sum(counts.values()) / (len(counts) * count) for label, count in counts.items()}


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
        notes=_joint_notes(reports),
    )
    report |= {"summary": summary, "runs": [plan.folder.name for plan in plans]}
    folder.mkdir(parents=True, exist_ok=True)
    write_report(report, pooled, folder)
    rows = [(f"fold {r['fold']}, seed {r['seed']}", r) for r in reports]
    cli.show_result(summary_table([*rows, ("pooled", report)], summary, folder.name), folder)


def _joint_notes(reports: list[dict[str, Any]]) -> list[str]:
    """Each note once; one that is not true of every run says of which."""
    notes = []
    for report in reports:
        for note in report["notes"]:
            of_all = all(note in other["notes"] for other in reports)
            where = "" if of_all else f"fold {report['fold']}, seed {report['seed']}: "
            notes.append(where + note)
    return list(dict.fromkeys(notes))


def make_parser() -> argparse.ArgumentParser:
    """The command's arguments."""
    parser = cli.make_parser("train", "Train, evaluate and save a recipe.")
    parser.epilog = EXAMPLES
    which = parser.add_mutually_exclusive_group()
    which.add_argument(
        "--model",
        metavar="NAME",
        help=f"a shipped recipe (default: gmu): {', '.join(shipped_recipes())}",
    )
    which.add_argument("--config", type=Path, metavar="FILE", help="a recipe of your own")
    parser.add_argument(
        "--data",
        type=Path,
        metavar="DIR",
        help="data set written by mmer_tf.prepare (default: the synthetic corpus, made on demand)",
    )
    parser.add_argument("--protocol", choices=sorted(PROTOCOLS), default="speaker")
    parser.add_argument(
        "--folds",
        type=_fold,
        default=0,
        metavar="K|all",
        help="the fold to test on, counted from 0, or all of them",
    )
    seeds = parser.add_mutually_exclusive_group()
    seeds.add_argument("--seed", dest="seeds", type=_seeds, metavar="N", default=(0,))
    seeds.add_argument("--seeds", type=_seeds, metavar="N,N", help="mean and deviation over seeds")
    parser.add_argument("--run", metavar="NAME", help="name of the run (default: derived)")
    parser.add_argument("--runs", type=Path, default=cli.RUNS, metavar="DIR", help="where runs go")
    parser.add_argument("--overwrite", action="store_true", help="train a finished run anew")
    parser.add_argument("--tiny", action="store_true", help="the recipe at its trial size")
    parser.add_argument(
        "overrides", nargs="*", metavar="field=value", help="change the recipe: train.epochs=3"
    )
    return parser


def _fold(text: str) -> int | str:
    if text != "all" and not text.isdecimal():
        raise argparse.ArgumentTypeError(f"must be `all` or a number from 0, not '{text}'")
    return text if text == "all" else int(text)


def _seeds(text: str) -> tuple[int, ...]:
    numbers = text.split(",")
    if not all(number.isdecimal() for number in numbers) or len(set(numbers)) < len(numbers):
        raise argparse.ArgumentTypeError(f"must be different numbers from 0, not '{text}'")
    return tuple(int(number) for number in numbers)


if __name__ == "__main__":
    sys.exit(cli.run(main, make_parser()))
