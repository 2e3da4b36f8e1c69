"""One fit of a plan: its batches, its optimizer, its precision, its devices."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from sklearn.utils.class_weight import compute_class_weight

from mmer_tf import cli
from mmer_tf.bundle import Bundle
from mmer_tf.data.manifest import Dataset
from mmer_tf.data.pipeline import batches_per_epoch, make_dataset
from mmer_tf.evaluation.snapshot import Snapshot
from mmer_tf.plan import Plan, Training, trainings
from mmer_tf.recipe import RecipeError, Train, recipe_to_mapping
from mmer_tf.training.distribute import Distribution
from mmer_tf.training.fit import fit
from mmer_tf.training.layer_rates import encoder_rate_factors
from mmer_tf.training.learning_rate_finder import RangeTest, find_learning_rate
from mmer_tf.training.optimizer import make_optimizer
from mmer_tf.training.precision import computing_in, scale_loss
from mmer_tf.training.stages import frozen_encoders
from mmer_tf.training.tensorboard import TrainingBoard, flat_hyperparameters, show_outcome
from mmer_tf.untrained import make_model


@dataclass(frozen=True)
class Execution:
    """How a plan is carried out; the outcome is the same whatever stands here.

    Args:
        distribution: on which devices and machines.
        pictures: draw pictures, in the report and for TensorBoard.
        tensorboard: write for TensorBoard.
    """

    distribution: Distribution = field(default_factory=Distribution)
    pictures: bool = True
    tensorboard: bool = True


def check_steps(plan: Plan, distribution: Distribution) -> None:
    """Refuse batches that cannot be made or shared; no features are read.

    Raises:
        RecipeError: `train.accumulation` waits for more batches than an epoch has.
        RunError: a stage has nothing to train on.
        DistributionError: a batch has fewer utterances than there are devices, or XLA was asked
            for on several.
    """
    for training in trainings(plan):
        settings = training.settings
        distribution.require_batch_size(settings.batch_size)
        distribution.require_compilable(settings.xla)
        steps = batches_per_epoch(plan.data, training.split.train, settings.batch_size)
        if settings.accumulation > steps:
            stage = f" in stage {training.name}" if training.name else ""
            raise RecipeError(
                f"recipe {plan.recipe.name}: train.accumulation must not be above the {steps} "
                f"batches of an epoch{stage}; lower it or train.batch_size. "
                f"Received: {settings.accumulation}."
            )


def fit_training(
    plan: Plan,
    bundle: Bundle,
    training: Training,
    execution: Execution,
    earlier: Sequence[Mapping[str, Any]] = (),
) -> list[dict[str, Any]]:
    """Fit a classifier to the training utterances of a split, or go on with it.

    Args:
        plan: where data, seed and folder come from.
        bundle: untrained, or trained by an earlier stage; has the weights of the best epoch
            afterwards, in float32 whatever the precision of the training.
        training: what is trained on which utterances.
        execution: on which devices, and what is drawn.
        earlier: the history of the stages before.

    Returns:
        The history of this one.
    """
    settings, division, distribution = training.settings, training.split, execution.distribution
    steps = batches_per_epoch(plan.data, division.train, settings.batch_size)
    board = plan.folder / "tensorboard" / training.name
    callbacks: list[keras.callbacks.Callback] = []
    model = bundle.model
    if settings.precision != "float32":
        with computing_in(settings.precision):
            model = make_model(plan, bundle.recipe, bundle.tokenizer)
        model.set_weights(bundle.model.get_weights())
    if execution.tensorboard and distribution.is_chief:
        shown, draw = dataclasses.replace(bundle, model=model), None
        if execution.pictures:
            draw = Snapshot(shown, plan.data, division.validation)
        callbacks.append(TrainingBoard(board, epochs=settings.epochs, draw=draw))
    with frozen_encoders(model) if training.trains == "head" else nullcontext():
        with distribution.scope():
            rate = settings.learning_rate
            optimizer = _optimizer(settings, model, steps * settings.epochs, steps, rate)
            optimizer = scale_loss(optimizer, settings.precision)
        history = fit(
            model,
            lambda first_epoch: _batches(plan, bundle, training, first_epoch, settings.epochs),
            make_dataset(
                plan.data, division.validation, training=False, **_reading(bundle, settings)
            ),
            num_classes=len(bundle.labels),
            optimizer=optimizer,
            epochs=settings.epochs,
            steps_per_epoch=steps,
            folder=plan.folder,
            patience=settings.patience,
            label_smoothing=settings.label_smoothing,
            distribution=distribution,
            xla=settings.xla,
            callbacks=callbacks,
            console=cli.console,
            stage=training.name,
            earlier=earlier,
        )
    if model is not bundle.model:
        bundle.model.set_weights(model.get_weights())
    if execution.tensorboard and distribution.is_chief:
        show_outcome(board, _hyperparameters(training), history)
    return history


def try_learning_rates(
    plan: Plan, bundle: Bundle, training: Training, advance: Callable[[int], None], **options: Any
) -> RangeTest:
    """A learning-rate range test of a fit, in float32 on one device; writes nothing.

    Args:
        plan: where data and seed come from.
        bundle: untrained; has its weights back afterwards.
        training: what is trained on which utterances.
        advance: called with the number of updates done.
        options: `lowest`, `highest` and `updates` of `find_learning_rate`.
    """
    settings = training.settings
    steps = batches_per_epoch(plan.data, training.split.train, settings.batch_size)
    with frozen_encoders(bundle.model) if training.trains == "head" else nullcontext():
        return find_learning_rate(
            bundle.model,
            _batches(plan, bundle, training, 0, None),
            lambda rise: _optimizer(settings, bundle.model, rise.steps, steps, rise),
            accumulation=settings.accumulation,
            label_smoothing=settings.label_smoothing,
            advance=advance,
            **options,
        )


def _batches(
    plan: Plan, bundle: Bundle, training: Training, first_epoch: int, epochs: int | None
) -> tf.data.Dataset:
    """Training batches from `first_epoch` on."""
    settings, recipe = training.settings, bundle.recipe
    weights = _class_weights(plan.data, training.split.train) if settings.class_weights else None
    return make_dataset(
        plan.data,
        training.split.train,
        training=True,
        seed=plan.seed,
        first_epoch=first_epoch,
        epochs=epochs,
        soft_labels=recipe.data.soft_labels,
        class_weights=weights,
        copies=recipe.data.augmented_copies,
        waveform_augment=vars(settings.waveform_augment),
        **_reading(bundle, settings),
    )


def _reading(bundle: Bundle, settings: Train) -> dict[str, Any]:
    """How utterances are read, in training and in validation."""
    return {
        "features": bundle.features,
        "labels": bundle.labels,
        "tokenizer": bundle.tokenizer,
        "cleaning": bundle.recipe.data.cleaning,
        "max_seconds": bundle.recipe.data.max_seconds,
        "batch_size": settings.batch_size,
        "cache": bundle.recipe.data.cache,
    }


def _optimizer(
    settings: Train,
    model: keras.Model,
    batches: int,
    batches_per_epoch: int,
    rate: float | keras.optimizers.schedules.LearningRateSchedule,
) -> keras.optimizers.Optimizer:
    factors = None
    if settings.lowest_learning_rate is not None:
        lowest = settings.lowest_learning_rate / settings.learning_rate
        factors = encoder_rate_factors(model, lowest)
    # What is left over at the end of an epoch is accumulated into the next.
    falling = batches_per_epoch * settings.step_epochs // settings.accumulation
    return make_optimizer(
        settings.optimizer,
        learning_rate=rate,
        steps=max(batches // settings.accumulation, 1),
        schedule=settings.schedule,
        warmup_share=settings.warmup_share,
        decay_steps=max(falling, 1),
        decay_factor=settings.step_factor,
        weight_decay=settings.weight_decay,
        epsilon=settings.epsilon,
        clip_norm=settings.clip_norm,
        rate_factors=factors,
        accumulation=settings.accumulation,
    )


def _class_weights(data: Dataset, ids: Sequence[str]) -> dict[str, float]:
    """Inverse class frequencies of the training split, 1 on average over utterances."""
    training = set(ids)
    labels = [row.label for row in data.rows if row.id in training]
    classes = np.unique(labels)
    weights = compute_class_weight("balanced", classes=classes, y=labels)
    return dict(zip(map(str, classes), map(float, weights), strict=True))


def _hyperparameters(training: Training) -> dict[str, bool | int | float | str]:
    """The settings of a training and the parts of its model."""
    fields = recipe_to_mapping(training.recipe)
    model = {name: fields[name] for name in ("speech", "text", "pooling", "fusion", "dropout")}
    settings = {"train": dataclasses.asdict(training.settings)}  # pyright: ignore
    return flat_hyperparameters(model | settings)
