"""Whether a recipe can be followed, and on which utterances; told before anything is computed.

Imports neither TensorFlow nor Keras.
"""

import dataclasses
from collections.abc import Iterator

from mmer_tf.corpora.labels import parse_labels
from mmer_tf.data.manifest import Dataset, DatasetError
from mmer_tf.recipe import Recipe, RecipeError, Train, WaveformAugment

BUILT_IN = ("modality_dropout", "spec_augment", "vocal_tract_warp")
"""Fields of `train` that are layers of the model, hence the same in all stages of one model."""

TIMED_FUSIONS = ("hierarchical",)
"""Fusions that go by the word timings of the corpus."""

NOT_COMPUTED_IN_TRAINING = ("lld",)
"""Features that no layer computes, so that they cannot be had of a changed waveform."""


def check_recipe(recipe: Recipe) -> None:
    """Refuse settings that contradict each other.

    Raises:
        RecipeError: names the field and what to do.
    """
    for place, trains, settings in _settings(recipe):
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
        if settings.deterministic != recipe.train.deterministic:
            raise RecipeError(
                f"recipe {recipe.name}: {place}train.deterministic holds for a whole training, "
                "not for one of its stages; set it in `train`"
            )
        if settings.waveform_augment != WaveformAugment() and trains != "text":
            _check_waveform_augment(recipe, f"{place}train.waveform_augment")


def check_data(recipe: Recipe, dataset: Dataset) -> None:
    """Refuse a data set that lacks what the recipe goes by.

    Args:
        recipe: overrides applied.
        dataset: as its manifest has it, with the recipe's choice of labels; no features needed.

    Raises:
        RecipeError: names the field and what to do.
        DatasetError: names the data set, what it lacks, and another choice.
    """
    rows, folder = dataset.rows, dataset.folder
    if len(dataset.labels) < 2:
        raise RecipeError(
            f"recipe {recipe.name}: data.labels must leave at least two classes. "
            f"Received: {', '.join(dataset.labels)}."
        )
    if recipe.speech and all(row.audio is None for row in rows):
        raise DatasetError(f"{folder} holds no recordings; choose a recipe of the words alone")
    if recipe.text and not any(row.transcript.strip() for row in rows):
        raise DatasetError(
            f"{folder} has no transcripts to train on; choose a recipe of the voice alone"
        )
    if recipe.fusion in TIMED_FUSIONS and not any(row.words for row in rows):
        raise DatasetError(
            f"{folder} holds no word timings, by which fusion '{recipe.fusion}' goes; choose "
            "another `fusion`, or a corpus with timings (iemocap, synthetic)"
        )
    if recipe.data.soft_labels and not any(row.soft_label for row in rows):
        raise DatasetError(
            f"{folder} holds no votes, on which data.soft_labels=true trains; set it to false, or "
            "prepare the corpus with --soft-labels"
        )


def in_classes(recipe: Recipe, dataset: Dataset) -> Dataset:
    """The data set with the classes that the recipe keeps and merges."""
    return dataset.select(parse_labels(recipe.data.labels)) if recipe.data.labels else dataset


def usable_rows(recipe: Recipe, dataset: Dataset) -> tuple[Dataset, list[str]]:
    """The data set without utterances of which a model of one modality has nothing to read.

    Returns:
        The data set, and what a reader of the figures must know about the utterances it holds.

    Raises:
        DatasetError: nothing is left.
    """
    if recipe.speech and recipe.text:
        lacking, rows = "", dataset.rows
    elif recipe.speech:
        lacking, rows = "recording", tuple(row for row in dataset.rows if row.audio)
    else:
        lacking, rows = "transcript", tuple(row for row in dataset.rows if row.transcript.strip())
    if not rows:
        raise DatasetError(f"{dataset.folder} has no utterance with a {lacking} to read")
    notes, kept = [], dataclasses.replace(dataset, rows=rows)
    if left_out := len(dataset.rows) - len(rows):
        notes.append(f"utterances left out because they have no {lacking}: {left_out}")
    seconds = recipe.data.max_seconds
    if recipe.speech and (longer := kept.longer_than(seconds)):
        notes.append(f"clips cropped to {seconds:g} s (`data.max_seconds`): {longer}")
    return kept, notes


def _settings(recipe: Recipe) -> Iterator[tuple[str, str, Train]]:
    """Each training of a recipe: its place in the file, what it trains, its settings."""
    if not recipe.stages:
        yield "", "all", recipe.train
    for number, stage in enumerate(recipe.stages):
        yield f"stages.{number}.", stage.trains, recipe.train_of(stage)


def _check_waveform_augment(recipe: Recipe, field: str) -> None:
    """Refuse takes of recordings of which nothing can be computed in training."""
    speech = recipe.speech
    if speech is None:
        raise RecipeError(
            f"recipe {recipe.name}: {field} changes recordings, which a recipe of the words alone "
            "does not read; leave it out"
        )
    if speech.upstream and speech.upstream.stored:
        raise RecipeError(
            f"recipe {recipe.name}: {field} cannot change stored hidden states; set "
            "speech.upstream.stored=false, or store perturbed copies with data.augmented_copies"
        )
    for feature in speech.features:
        if feature in NOT_COMPUTED_IN_TRAINING:
            raise RecipeError(
                f"recipe {recipe.name}: {field} needs features that training can compute, and "
                f"`{feature}` is only stored; choose another speech.feature, or store perturbed "
                "copies with data.augmented_copies"
            )
