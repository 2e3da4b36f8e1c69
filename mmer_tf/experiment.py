"""One planned training of the command `train`, from the shards to the report."""

import json
import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import keras

from mmer_tf import cli
from mmer_tf.assembly import (
    build_model,
    shard_features,
    stored_upstreams,
    trained_encoders,
    usable_rows,
)
from mmer_tf.bundle import Bundle
from mmer_tf.corpora.labels import parse_labels
from mmer_tf.data.families import stored_layout
from mmer_tf.data.manifest import Dataset
from mmer_tf.data.pipeline import batches_per_epoch, make_dataset
from mmer_tf.data.prepare import ensure_features, prepare_synthetic
from mmer_tf.data.statistics import fit_statistics
from mmer_tf.evaluation.evaluate import make_report, predict_ids, write_report
from mmer_tf.evaluation.report import report_table, write_json
from mmer_tf.models.branch import find_standardise
from mmer_tf.plan import REPORT, SPLIT, Plan, RunError
from mmer_tf.protocols.splits import Split
from mmer_tf.recipe import Recipe, RecipeError, Stage, Train, save_recipe
from mmer_tf.text.normalise import clean
from mmer_tf.text.tokenizer import Tokenizer
from mmer_tf.training.checkpoint import best_epoch
from mmer_tf.training.fit import fit
from mmer_tf.training.layer_rates import encoder_rate_factors
from mmer_tf.training.optimizer import make_optimizer
from mmer_tf.training.stages import frozen_encoders, hand_over

BUILT_IN = ("modality_dropout", "spec_augment", "vocal_tract_warp")
"""Fields of `train` that are layers of the model, hence the same in all stages of one model."""


def open_dataset(data: Path | None, recipe: Recipe) -> Dataset:
    """The prepared data set with the features that the recipe needs, in the recipe's classes.

    Args:
        data: its folder; None stands for the synthetic corpus, which is made on demand.
        recipe: overrides applied.
    """
    features = shard_features(recipe)
    if data is None:
        dataset = prepare_synthetic(cli.DATA / "synthetic", features, cli.progress_bar)
    else:
        dataset = ensure_features(data, features, cli.progress_bar)
    return dataset.select(parse_labels(recipe.data.labels)) if recipe.data.labels else dataset


def run(plan: Plan) -> dict[str, Any]:
    """Train, or go on, or take the report of a finished run."""
    if plan.finished:
        cli.console.print(f"{plan.folder.name}: finished before")
        return json.loads((plan.folder / REPORT).read_text(encoding="utf-8"))
    _announce(plan)
    _check_settings(plan.recipe)
    tokenizer = _make_tokenizer(plan)
    bundle = _make_bundle(plan, plan.recipe, plan.split.train, tokenizer)
    bundle = replace(bundle, trained_on=_trained_on(plan, tokenizer))
    _claim_folder(plan)  # not before: a recipe that cannot be built leaves no run
    if plan.recipe.stages:
        stages = {"stages": _train_in_stages(plan, bundle)}
    else:
        _train(plan, bundle, plan.split, plan.recipe.train)
        stages = {}
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
    report |= stages
    write_report(report, predictions, plan.folder)
    shutil.rmtree(plan.folder / "checkpoint")
    cli.show_result(report_table(report, f"{plan.folder.name}: test"), plan.folder)
    return report


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


def _make_bundle(
    plan: Plan, recipe: Recipe, training: Sequence[str], tokenizer: Tokenizer | None
) -> Bundle:
    """An untrained classifier that knows the statistics of its training utterances."""
    states = stored_upstreams(recipe)
    shapes = {name: stored_layout(plan.data, name).shape for name in states}
    model = build_model(recipe, len(plan.data.labels), tokenizer, plan.seed, shapes)
    for feature in recipe.speech.features if recipe.speech else ():
        if (layer := find_standardise(model, feature)) is not None:
            layer.set_statistics(*fit_statistics(plan.data, training, feature))
    families = {name: plan.data.families[name].parameters for name in states}
    encoders = trained_encoders(recipe, families)
    return Bundle(recipe, plan.data.labels, tokenizer, model, encoders)


def _trained_on(plan: Plan, tokenizer: Tokenizer | None) -> dict[str, tuple[str, ...]]:
    """What is fitted to which utterances, for the audit of leaks."""
    fitted = {"model": plan.split.train}
    if plan.recipe.speech:
        fitted["normalisation"] = plan.split.train
    if tokenizer is not None and plan.recipe.text and not plan.recipe.text.tokenizer_source:
        fitted["vocabulary"] = plan.split.train
    division = plan.encoder_split or plan.split
    for number, stage in enumerate(plan.recipe.stages, 1):
        alone = stage.trains in ("speech", "text")
        fitted[f"{number}-{stage.trains}"] = (division if alone else plan.split).train
    return fitted


def _claim_folder(plan: Plan) -> None:
    """Write what the run is; `split.json` comes last and marks the folder as a run."""
    plan.folder.mkdir(parents=True, exist_ok=True)
    save_recipe(plan.recipe, plan.folder / "recipe.yaml")
    identity = {name: value for name, value in plan.identity.items() if value is not None}
    content = asdict(plan.split) | identity | {"data": str(plan.data.folder)}
    if plan.encoder_split:
        content["encoder_split"] = asdict(plan.encoder_split)
    write_json(content, plan.folder / SPLIT)


def _train_in_stages(plan: Plan, bundle: Bundle) -> list[dict[str, Any]]:
    """One training after the other; what the report says of them."""
    history, told = [], []
    for number, stage in enumerate(plan.recipe.stages, 1):
        settings = plan.recipe.train_of(stage)
        about: dict[str, Any] = {"stage": f"{number}-{stage.trains}", "earlier": history}
        if stage.trains in ("speech", "text"):
            alone, division = _one_branch(plan, bundle, stage, settings)
            rows = _train(plan, alone, division, settings, **about)
            hand_over(alone.model, bundle.model)
        else:
            # The encoders are put back to what the recipe declares, as the bundle is to keep it.
            head = stage.trains == "head"
            with frozen_encoders(bundle.model) if head else nullcontext():
                rows = _train(plan, bundle, plan.split, settings, **about)
        best = best_epoch(rows)
        told.append(
            {
                "trains": stage.trains,
                "epochs": len(rows),
                "best_epoch": int(best["epoch"]),
                "validation_ua": best["val_ua"],
            }
        )
        history = [*history, *rows]
    return told


def _one_branch(plan: Plan, bundle: Bundle, stage: Stage, settings: Train) -> tuple[Bundle, Split]:
    """The classifier of the voice or of the words alone, and the utterances that have them."""
    other = "text" if stage.trains == "speech" else "speech"
    changes: dict[str, Any] = {other: None, "fusion": None, "fusion_options": {}, "stages": ()}
    recipe = replace(plan.recipe, train=settings, **changes)
    division = plan.encoder_split or plan.split
    readable = {row.id for row in usable_rows(recipe, plan.data)[0].rows}
    parts = {}
    for part in ("train", "validation"):
        parts[part] = tuple(id for id in getattr(division, part) if id in readable)
        if not parts[part]:
            lacking = "recording" if recipe.speech else "transcript"
            raise RunError(
                f"no {part} utterance of {plan.data.folder} has a {lacking} for the stage "
                f"`{stage.trains}`; choose another --protocol or a recipe without that stage"
            )
    tokenizer = bundle.tokenizer if recipe.text else None
    return _make_bundle(plan, recipe, parts["train"], tokenizer), replace(division, **parts)


def _train(
    plan: Plan,
    bundle: Bundle,
    division: Split,
    settings: Train,
    *,
    stage: str = "",
    earlier: Sequence[Mapping[str, Any]] = (),
) -> list[dict[str, Any]]:
    """Fit a classifier to the training utterances of a split, or go on with it."""
    recipe = bundle.recipe
    reading = {
        "features": bundle.features,
        "labels": bundle.labels,
        "tokenizer": bundle.tokenizer,
        "cleaning": recipe.data.cleaning,
        "max_seconds": recipe.data.max_seconds,
        "batch_size": settings.batch_size,
        "cache": recipe.data.cache,
    }
    weights = _class_weights(plan.data, division.train) if settings.class_weights else None

    def training_data(first_epoch: int):
        return make_dataset(
            plan.data,
            division.train,
            training=True,
            seed=plan.seed,
            first_epoch=first_epoch,
            epochs=settings.epochs,
            soft_labels=recipe.data.soft_labels,
            class_weights=weights,
            copies=recipe.data.augmented_copies,
            waveform_augment=vars(settings.waveform_augment),
            **reading,
        )

    steps = batches_per_epoch(plan.data, division.train, settings.batch_size)
    return fit(
        bundle.model,
        training_data,
        make_dataset(plan.data, division.validation, training=False, **reading),
        num_classes=len(bundle.labels),
        optimizer=_optimizer(settings, bundle.model, steps),
        epochs=settings.epochs,
        steps_per_epoch=steps,
        folder=plan.folder,
        patience=settings.patience,
        label_smoothing=settings.label_smoothing,
        console=cli.console,
        stage=stage,
        earlier=earlier,
    )


def _optimizer(
    settings: Train, model: keras.Model, steps_per_epoch: int
) -> keras.optimizers.Optimizer:
    factors = None
    if settings.lowest_learning_rate is not None:
        lowest = settings.lowest_learning_rate / settings.learning_rate
        factors = encoder_rate_factors(model, lowest)
    return make_optimizer(
        settings.optimizer,
        learning_rate=settings.learning_rate,
        steps=steps_per_epoch * settings.epochs,
        schedule=settings.schedule,
        warmup_share=settings.warmup_share,
        decay_steps=steps_per_epoch * settings.step_epochs,
        decay_factor=settings.step_factor,
        weight_decay=settings.weight_decay,
        epsilon=settings.epsilon,
        clip_norm=settings.clip_norm,
        rate_factors=factors,
    )


def _check_settings(recipe: Recipe) -> None:
    """Refuse settings that cannot be followed, before a folder is claimed."""
    stages = [
        (f"stages.{n}.", stage.trains, recipe.train_of(stage))
        for n, stage in enumerate(recipe.stages)
    ]
    for place, trains, settings in stages or [("", "all", recipe.train)]:
        lowest = settings.lowest_learning_rate
        if lowest is not None and lowest > settings.learning_rate:
            raise RecipeError(
                f"recipe {recipe.name}: {place}train.lowest_learning_rate must not be above "
                f"learning_rate. Received: {lowest:g} and {settings.learning_rate:g}."
            )
        for name in BUILT_IN if trains in ("head", "all") else ():
            if getattr(settings, name) != getattr(recipe.train, name):
                raise RecipeError(
                    f"recipe {recipe.name}: {place}train.{name} belongs to the model, which a "
                    f"stage `{trains}` takes over as it is; set it in `train`"
                )


def _make_tokenizer(plan: Plan) -> Tokenizer | None:
    """The tokenizer of published weights, or one whose vocabulary is the training split's."""
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


def _class_weights(data: Dataset, ids: Sequence[str]) -> dict[str, float]:
    """Inverse class frequencies of the training split, 1 on average over utterances."""
    training = set(ids)
    counts = Counter(row.label for row in data.rows if row.id in training)
    return {label: sum(counts.values()) / (len(counts) * count) for label, count in counts.items()}
