"""One planned training of the command `train`, from the shards to the report."""

import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf
from rich.console import Group

from mmer_tf import cli
from mmer_tf.assembly import require_buildable, shard_features
from mmer_tf.bundle import Bundle
from mmer_tf.data.manifest import MANIFEST, Dataset, read_dataset
from mmer_tf.data.prepare import ensure_features, missing_families, prepare_synthetic
from mmer_tf.evaluation.analysis import analyse
from mmer_tf.evaluation.auditing import audit_text
from mmer_tf.evaluation.calibration import fit_temperature, logits_of
from mmer_tf.evaluation.evaluate import make_report, predict_ids, write_report
from mmer_tf.evaluation.history import told_stages
from mmer_tf.evaluation.modalities import judge_modalities, modalities_table
from mmer_tf.evaluation.report import report_table, write_json
from mmer_tf.feasibility import check_data, check_recipe, in_classes
from mmer_tf.fitting import Execution, fit_training
from mmer_tf.leakage import audit_dataset, published_weights
from mmer_tf.plan import Plan, trainings
from mmer_tf.recipe import Recipe, save_recipe
from mmer_tf.run_files import SPLIT, read_report
from mmer_tf.training.distribute import Distribution
from mmer_tf.training.stages import hand_over
from mmer_tf.untrained import make_branch, make_bundle, make_tokenizer, trained_on

ONE_DEVICE = Distribution()


def open_dataset(
    data: Path | None, recipe: Recipe, distribution: Distribution = ONE_DEVICE
) -> Dataset:
    """The prepared data set with the features that the recipe needs, in the recipe's classes.

    Of several workers the chief adds what is missing, and the others wait for it.

    Args:
        data: its folder; None stands for the synthetic corpus, which is made on demand.
        recipe: overrides applied.
        distribution: of the training.

    Raises:
        RecipeError, DatasetError, HubError: the recipe cannot be followed on this data set, or
            makes no model; told before any feature is computed.
    """
    check_recipe(recipe)
    features = shard_features(recipe)

    def add_features() -> Dataset:
        folder = cli.SYNTHETIC if data is None else data
        is_there = data is not None or (folder / MANIFEST).is_file()
        if is_there:
            dataset = read_dataset(folder)
            check_data(recipe, in_classes(recipe, dataset))
        if not is_there or missing_families(dataset, features):
            require_buildable(recipe, features)
        if data is None:
            return prepare_synthetic(folder, features, cli.progress_bar)
        return ensure_features(folder, features, cli.progress_bar)

    if not distribution.is_chief:
        distribution.text_from_chief("")
        return in_classes(recipe, add_features())
    dataset = add_features()
    distribution.text_from_chief("")
    return in_classes(recipe, dataset)


def run(plan: Plan, execution: Execution | None = None) -> dict[str, Any]:
    """Train, or go on, or take the report of a finished run.

    Of several workers the chief alone writes and evaluates; all return its report.
    """
    execution = execution or Execution()
    distribution = execution.distribution
    if _of_chief(plan.finished, distribution):
        report = {}
        if distribution.is_chief:
            cli.console.print(f"{plan.folder.name}: finished before")
            report = read_report(plan.folder)
        return _of_chief(report, distribution)
    if distribution.is_chief:
        _announce(plan)
    check_recipe(plan.recipe)
    if plan.recipe.train.deterministic:
        keras.utils.set_random_seed(plan.seed)  # an operation without a seed is then refused
        tf.config.experimental.enable_op_determinism()
    tokenizer = make_tokenizer(plan)
    bundle = make_bundle(plan, plan.recipe, plan.split.train, tokenizer)
    bundle = replace(bundle, trained_on=trained_on(plan, tokenizer))
    if distribution.is_chief:
        _claim_folder(plan)  # not before: a recipe that cannot be built leaves no run
    audit = _audit(plan, bundle) if distribution.is_chief else {}
    _train(plan, bundle, execution)
    report = _evaluate(plan, bundle, execution, audit) if distribution.is_chief else {}
    return _of_chief(report, distribution)


def _of_chief(value: Any, distribution: Distribution) -> Any:
    """What the chief has of this, plain values all; the other workers wait for it."""
    if distribution.num_workers == 1:
        return value
    return json.loads(distribution.text_from_chief(json.dumps(value)))


def _announce(plan: Plan) -> None:
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


def _claim_folder(plan: Plan) -> None:
    """Write what the run is; `split.json` comes last and marks the folder as a run."""
    plan.folder.mkdir(parents=True, exist_ok=True)
    save_recipe(plan.recipe, plan.folder / "recipe.yaml")
    identity = {name: value for name, value in plan.identity.items() if value is not None}
    content = asdict(plan.split) | identity | {"data": str(plan.data.folder)}
    if plan.encoder_split:
        content["encoder_split"] = asdict(plan.encoder_split)
    write_json(content, plan.folder / SPLIT)


def _audit(plan: Plan, bundle: Bundle) -> dict[str, Any]:
    """What the test utterances share with what will be trained; leaks are told before the work."""
    division = asdict(plan.split)
    if plan.encoder_split:
        division["encoder_split"] = asdict(plan.encoder_split)
    audit = audit_dataset(
        plan.data,
        division,
        trained_on=bundle.trained_on,
        published=published_weights(plan.recipe),
        progress=cli.progress_bar,
    ).to_mapping()
    if audit["verdict"] == "leak":
        cli.console.print(audit_text(audit), soft_wrap=True)
    return audit


def _train(plan: Plan, bundle: Bundle, execution: Execution) -> None:
    """Fit what the plan fits, stage by stage where it has stages."""
    history: list[dict[str, Any]] = []
    for training in trainings(plan):
        if training.alone:
            alone = make_branch(plan, training, bundle.tokenizer)
            rows = fit_training(plan, alone, training, execution, history)
            hand_over(alone.model, bundle.model)
        else:
            rows = fit_training(plan, bundle, training, execution, history)
        history = [*history, *rows]


def _evaluate(
    plan: Plan, bundle: Bundle, execution: Execution, audit: Mapping[str, Any]
) -> dict[str, Any]:
    """Calibrate, save and judge the trained classifier; the report is written last."""
    validation = predict_ids(bundle, plan.data, plan.split.validation)
    temperature = fit_temperature(logits_of(validation), validation.targets)
    bundle = replace(bundle, temperature=temperature)
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
        utterances=plan.data.rows,
        audit=audit,
        temperature=temperature,
    )
    stages = told_stages(plan.folder)
    report |= {"stages": stages} if stages else {}
    modalities = judge_modalities(bundle, plan.data, predictions)
    report |= {"modalities": modalities} if modalities else {}
    analysis = None
    if execution.pictures:
        analysis = analyse(bundle, plan.data, predictions, plan.split.test)
    write_report(report, predictions, plan.folder, pictures=execution.pictures, analysis=analysis)
    shutil.rmtree(plan.folder / "checkpoint")
    table = report_table(report, f"{plan.folder.name}: test")
    tables = [table, *([modalities_table(modalities)] if modalities else [])]
    cli.show_result(Group(*tables, audit_text(audit)), plan.folder)
    return report
