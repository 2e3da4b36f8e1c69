"""From a recipe to what it takes: its model, the features of the shards, the usable utterances."""

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any

import keras

from mmer_tf.data.families import FeatureFamily, with_copies
from mmer_tf.data.features import WAVEFORM
from mmer_tf.data.states import StatesFeature
from mmer_tf.hidden_states import absolute_source, describe_states
from mmer_tf.models.api import create_model
from mmer_tf.models.branch import Speech, Text, Upstream
from mmer_tf.recipe import Recipe, RecipeError, SpecAugment, WaveformAugment
from mmer_tf.recipe import Upstream as RecipeUpstream


def build_model(
    recipe: Recipe,
    num_classes: int,
    vocabulary_size: int | None,
    seed: int,
    states_shapes: Mapping[str, tuple[int, int]] | None = None,
) -> keras.Model:
    """The untrained model that a recipe describes.

    Args:
        recipe: the description.
        num_classes: number of logits.
        vocabulary_size: of the words' tokenizer; None for a model of the voice, and where
            published weights say it.
        seed: of the initial weights.
        states_shapes: name of stored hidden states -> (layers, dim), as the data set says.

    Raises:
        RecipeError: names that do not exist, options that an encoder does not take.
    """
    augment = recipe.train.spec_augment
    try:
        return create_model(
            speech=_branch(Speech, recipe.speech, states_shapes),
            text=_branch(
                Text,
                recipe.text,
                states_shapes,
                vocabulary_size=vocabulary_size,
            ),
            pooling=recipe.pooling,
            pooling_options=recipe.pooling_options,
            fusion=recipe.fusion,
            fusion_options=recipe.fusion_options,
            num_classes=num_classes,
            dropout=recipe.dropout,
            modality_dropout=recipe.train.modality_dropout,
            spec_augment=vars(augment) if augment != SpecAugment() else None,
            vocal_tract_warp=recipe.train.vocal_tract_warp,
            seed=seed,
        )
    except (TypeError, ValueError) as error:  # options are plain values, of whatever type
        raise RecipeError(f"recipe {recipe.name}: {error}") from error


def require_buildable(recipe: Recipe, families: Iterable[FeatureFamily]) -> None:
    """Refuse a recipe of which no model can be built, before anything is computed for it.

    Args:
        recipe: overrides applied.
        families: what it reads from the shards, as of `shard_features`.

    Raises:
        RecipeError, HubError: as `build_model`.
    """
    states = (one.feature for one in families if isinstance(one.feature, StatesFeature))
    learned = recipe.text is not None and not recipe.text.tokenizer_source
    vocabulary_size = recipe.text.vocabulary_size if learned else None
    shapes = {feature.name: feature.shape for feature in states}
    build_model(recipe, 2, vocabulary_size, seed=0, states_shapes=shapes)


def _branch(kind, part, states_shapes: Mapping[str, tuple[int, int]] | None, **sizes):
    """A branch of `create_model` from the fields of the recipe that are its arguments."""
    if part is None:
        return None
    arguments = {entry.name for entry in dataclasses.fields(kind)}
    values = {name: value for name, value in vars(part).items() if name in arguments}
    if (upstream := part.upstream) is not None:
        values["upstream"] = Upstream(**vars(upstream))
        if upstream.stored:
            values["shape"] = (states_shapes or {}).get(f"{upstream.encoder}_states")
    return kind(**values | sizes)


def stored_upstreams(recipe: Recipe) -> dict[str, RecipeUpstream]:
    """Names of the stored hidden states that a recipe reads, with the transformers they are of."""
    parts = (recipe.speech, recipe.text)
    upstreams = [part.upstream for part in parts if part is not None]
    return {f"{u.encoder}_states": u for u in upstreams if u is not None and u.stored}


def batch_features(recipe: Recipe) -> tuple[str, ...]:
    """Names of the features and hidden states that a recipe reads from the shards."""
    speech, states = recipe.speech, tuple(stored_upstreams(recipe))
    if speech is None or (speech.upstream and speech.upstream.stored):
        return states
    return (*speech.features, *states)


def shard_features(recipe: Recipe) -> tuple[FeatureFamily, ...]:
    """The same and what else training reads, as `ensure_features` and `prepare_dataset` take it.

    Perturbed copies, and with `train.waveform_augment` the waveform, of which alone there are
    copies then: the features are computed from it.

    Raises:
        RecipeError: the weights of a transformer cannot be had, or do not have what is asked for.
    """
    trainings = [recipe.train_of(stage) for stage in recipe.stages] or [recipe.train]
    augmented = [settings.waveform_augment != WaveformAugment() for settings in trainings]
    upstreams = stored_upstreams(recipe)
    features = [
        _described(recipe, upstreams[name]) if name in upstreams else name
        for name in batch_features(recipe)
    ]
    drawn = [] if all(augmented) else list(features)
    if any(augmented):
        drawn.append(WAVEFORM)
    return (*with_copies(features, 0), *with_copies(drawn, recipe.data.augmented_copies))


def _described(recipe: Recipe, upstream: RecipeUpstream) -> StatesFeature:
    try:
        return describe_states(
            upstream.encoder,
            upstream.weights,
            upstream.layers,
            options=upstream.options,
            **_text_settings(recipe, upstream),
        )
    except (TypeError, ValueError) as error:  # options are plain values, of whatever type
        raise RecipeError(f"recipe {recipe.name}: {error}") from error


def trained_encoders(
    recipe: Recipe, families: Mapping[str, Mapping[str, Any]]
) -> dict[str, dict[str, Any]]:
    """What a run keeps of the transformers behind the stored hidden states that it reads.

    Args:
        recipe: of the run.
        families: name of stored hidden states -> their parameters. The shards may have been
            computed from a copy of the weights elsewhere: the place is that of the recipe.
    """
    return {
        name: {**families[name], "source": absolute_source(upstream.weights)}
        for name, upstream in stored_upstreams(recipe).items()
        if upstream.weights is not None
    }


def _text_settings(recipe: Recipe, upstream: RecipeUpstream) -> dict[str, Any]:
    """How the words reach a transformer of text."""
    if recipe.text is None or recipe.text.upstream is not upstream:
        return {}
    return {"cleaning": recipe.data.cleaning, "max_tokens": recipe.text.max_tokens}
