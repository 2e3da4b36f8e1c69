"""What a training starts from: the tokenizer, and a classifier that knows its statistics."""

from collections.abc import Sequence

import keras

from mmer_tf.assembly import build_model, stored_upstreams, trained_encoders
from mmer_tf.bundle import Bundle
from mmer_tf.data.families import stored_layout
from mmer_tf.data.statistics import fit_statistics
from mmer_tf.models.branch import find_standardise
from mmer_tf.plan import Plan, RunError, Training, trainings
from mmer_tf.recipe import Recipe, RecipeError
from mmer_tf.text.normalise import clean
from mmer_tf.text.tokenizer import Tokenizer


def make_tokenizer(plan: Plan) -> Tokenizer | None:
    """The tokenizer of published weights, or one whose vocabulary is the training split's.

    Raises:
        RunError: no transcript in the training split.
        RecipeError: a vocabulary that cannot be built.
    """
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


def make_model(plan: Plan, recipe: Recipe, tokenizer: Tokenizer | None) -> keras.Model:
    """An untrained classifier; the same one for the same plan and recipe."""
    shapes = {name: stored_layout(plan.data, name).shape for name in stored_upstreams(recipe)}
    size = tokenizer.vocabulary_size if tokenizer else None
    return build_model(recipe, len(plan.data.labels), size, plan.seed, shapes)


def make_bundle(
    plan: Plan, recipe: Recipe, training: Sequence[str], tokenizer: Tokenizer | None
) -> Bundle:
    """An untrained classifier that knows the statistics of its training utterances.

    Args:
        plan: where data and seed come from.
        recipe: of the model; the plan's, or one of a branch alone.
        training: ids of the utterances that the statistics are taken from.
        tokenizer: of the words.
    """
    model = make_model(plan, recipe, tokenizer)
    for feature in recipe.speech.features if recipe.speech else ():
        if (layer := find_standardise(model, feature)) is not None:
            layer.set_statistics(*fit_statistics(plan.data, training, feature))
    families = {name: plan.data.families[name].parameters for name in stored_upstreams(recipe)}
    encoders = trained_encoders(recipe, families)
    return Bundle(recipe, plan.data.labels, tokenizer, model, encoders)


def make_branch(plan: Plan, training: Training, tokenizer: Tokenizer | None) -> Bundle:
    """The untrained classifier of a stage that trains one branch alone."""
    words = tokenizer if training.recipe.text else None
    return make_bundle(plan, training.recipe, training.split.train, words)


def trained_on(plan: Plan, tokenizer: Tokenizer | None) -> dict[str, tuple[str, ...]]:
    """What is fitted to which utterances, for the audit of leaks."""
    fitted = {"model": plan.split.train}
    if plan.recipe.speech:
        # A stage of the voice hands its statistics over with its encoder.
        voice = [
            training.split.train for training in trainings(plan) if training.trains == "speech"
        ]
        fitted["normalisation"] = voice[-1] if voice else plan.split.train
    if tokenizer is not None and plan.recipe.text and not plan.recipe.text.tokenizer_source:
        fitted["vocabulary"] = plan.split.train
    stages = {training.name: training.split.train for training in trainings(plan) if training.name}
    return fitted | stages
