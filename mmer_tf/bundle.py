"""A run on disk, and the one way back from it to a classifier that answers.

A bundle holds everything that turns a recording and a transcript into a label: the recipe, the
labels, the tokenizer, and the model with its normalisation statistics inside.
"""

import dataclasses
import json
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from mmer_tf.atomic import replacing
from mmer_tf.data.features import FEATURES
from mmer_tf.data.manifest import Dataset
from mmer_tf.models.api import create_model
from mmer_tf.models.branch import Speech, Text, Upstream
from mmer_tf.recipe import Recipe, RecipeError, SpecAugment, load_recipe, save_recipe
from mmer_tf.recipe import Upstream as RecipeUpstream
from mmer_tf.text.normalise import clean
from mmer_tf.text.tokenizer import Tokenizer
from mmer_tf.types import SAMPLE_RATE

FORMAT_VERSION = 1


class BundleError(ValueError):
    """A run that is missing, unfinished, or asked for what it cannot do."""


@dataclass(frozen=True)
class Answer:
    """What a bundle says about one utterance.

    Args:
        label: the most probable class.
        probabilities: class -> probability.
        speech_attention: (steps,) weights over the voice, None without.
        text_attention: (tokens,) weights over the words, None without.
        gate: (dim,) share of the voice in each unit of the fusion, None without.
    """

    label: str
    probabilities: dict[str, float]
    speech_attention: np.ndarray | None = None
    text_attention: np.ndarray | None = None
    gate: np.ndarray | None = None


def build_model(
    recipe: Recipe,
    num_classes: int,
    tokenizer: Tokenizer | None,
    seed: int,
    states_shapes: Mapping[str, tuple[int, int]] | None = None,
) -> keras.Model:
    """The untrained model that a recipe describes.

    Args:
        recipe: the description.
        num_classes: number of logits.
        tokenizer: of the words; None for a model of the voice.
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
                vocabulary_size=tokenizer.vocabulary_size if tokenizer else None,
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


def _branch(kind, part, states_shapes: Mapping[str, tuple[int, int]] | None, **sizes):
    """A branch of `create_model` from the fields of the recipe that are its arguments."""
    if part is None:
        return None
    arguments = {entry.name for entry in dataclasses.fields(kind)}
    values = {name: value for name, value in vars(part).items() if name in arguments}
    if (upstream := part.upstream) is not None:
        values["upstream"] = Upstream(**vars(upstream))
        if upstream.stored:
            values["shape"] = (states_shapes or {}).get(states_name(upstream))
    return kind(**values | sizes)


def states_name(upstream: RecipeUpstream) -> str:
    """Name of the stored hidden states of a transformer."""
    return f"{upstream.encoder}_states"


def stored_features(recipe: Recipe) -> tuple[str, ...]:
    """Names of what a data set must store for a recipe: features and hidden states."""
    names: list[str] = []
    for part, own in (
        (recipe.speech, recipe.speech.features if recipe.speech else ()),
        (recipe.text, ()),
    ):
        stored = part is not None and part.upstream is not None and part.upstream.stored
        names += [states_name(part.upstream)] if stored else own
    return tuple(names)


def usable_rows(recipe: Recipe, dataset: Dataset) -> tuple[Dataset, list[str]]:
    """The data set without utterances of which a model of one modality has nothing to read.

    Returns:
        The data set, and what a reader of the figures must know about the utterances it holds.
    """
    if recipe.speech and recipe.text:
        lacking, rows = "", dataset.rows
    elif recipe.speech:
        lacking, rows = "recording", tuple(row for row in dataset.rows if row.audio)
    else:
        lacking, rows = "transcript", tuple(row for row in dataset.rows if row.transcript.strip())
    if not rows:
        raise BundleError(f"{dataset.folder} has no utterance with a {lacking} to read")
    notes, kept = [], dataclasses.replace(dataset, rows=rows)
    if left_out := len(dataset.rows) - len(rows):
        notes.append(f"utterances left out because they have no {lacking}: {left_out}")
    seconds = recipe.data.max_seconds
    if recipe.speech and (longer := kept.longer_than(seconds)):
        notes.append(f"clips cropped to {seconds:g} s (`data.max_seconds`): {longer}")
    return kept, notes


@dataclass(frozen=True)
class Bundle:
    """A trained classifier with all that it needs.

    Args:
        recipe: as trained, overrides applied.
        labels: class names in the order of the logits.
        tokenizer: None for a model without text.
        model: inputs and outputs of the data contract.
        folder: where it was read from; None before the first `save`.
    """

    recipe: Recipe
    labels: tuple[str, ...]
    tokenizer: Tokenizer | None
    model: keras.Model
    folder: Path | None = None

    @classmethod
    def load(cls, folder: Path) -> "Bundle":
        """Read a finished run.

        Raises:
            BundleError: no run there, not finished, or written by a newer version.
        """
        if not folder.is_dir():
            raise BundleError(f"{folder}: no such run; `ls {folder.parent}` shows what is there")
        labels_file, model_file = folder / "labels.json", folder / "model.keras"
        if not model_file.is_file() or not labels_file.is_file():
            if (folder / "report.json").is_file():
                raise BundleError(f"{folder}: sums up several runs; name one of them")
            raise BundleError(
                f"{folder}: holds no finished run; start its training again and it goes on"
            )
        try:
            described = json.loads(labels_file.read_text(encoding="utf-8"))
            version, labels = described["format_version"], tuple(described["labels"])
        except (ValueError, KeyError, TypeError) as error:
            raise BundleError(f"{labels_file}: damaged; copy the run again") from error
        if version > FORMAT_VERSION:
            raise BundleError(
                f"{folder}: written in format {version}, this version reads "
                f"up to {FORMAT_VERSION}; update mmer-tf"
            )
        recipe = load_recipe(folder / "recipe.yaml")
        return cls(
            recipe=recipe,
            labels=labels,
            tokenizer=Tokenizer.load(folder / "tokenizer") if recipe.text else None,
            model=_load_model(model_file),
            folder=folder,
        )

    def save(self, folder: Path) -> None:
        """Write recipe, labels, tokenizer and model; the model last, as the mark of the whole."""
        folder.mkdir(parents=True, exist_ok=True)
        save_recipe(self.recipe, folder / "recipe.yaml")
        described = {"format_version": FORMAT_VERSION, "labels": list(self.labels)}
        (folder / "labels.json").write_text(json.dumps(described, indent=2), encoding="utf-8")
        if self.tokenizer:
            (folder / "tokenizer").mkdir(exist_ok=True)
            self.tokenizer.save(folder / "tokenizer")
        with replacing(folder / "model.keras") as temporary:
            self.model.save(temporary)

    @property
    def features(self) -> tuple[str, ...]:
        """Names of what the model takes from the shards, as `make_dataset` wants them."""
        taken = [tensor.name for tensor in self.model.inputs]
        timed = [name for name in ("word_spans", "word_of_token") if name in taken]
        return (*stored_features(self.recipe), *timed)

    def outputs(self, batch: Mapping[str, Any]) -> dict[str, np.ndarray]:
        """All outputs for a batch of the data contract, and `probabilities` (batch, classes)."""
        inputs = {tensor.name: batch[tensor.name] for tensor in self.model.inputs}
        outputs = self.model.predict_on_batch(inputs)
        return {**outputs, "probabilities": softmax(outputs["logits"])}

    def probabilities(self, batch: Mapping[str, Any]) -> np.ndarray:
        """(batch, classes) for a batch of the data contract."""
        return self.outputs(batch)["probabilities"]

    def predict(
        self,
        waveforms: Sequence[np.ndarray | None] | None = None,
        transcripts: Sequence[str] | None = None,
    ) -> list[Answer]:
        """Classify utterances from the raw voice and words.

        Each is computed alone, so that an answer does not depend on its neighbours. A clip
        longer than the recipe's `data.max_seconds` is judged by its middle.

        Args:
            waveforms: float32 in [-1, 1], 16 kHz mono; None where there is no recording.
            transcripts: as spoken; empty where there is none.

        Raises:
            BundleError: an utterance lacks the only modality that the model has.
        """
        if waveforms is None and transcripts is None:
            raise BundleError("nothing to classify: give waveforms, transcripts or both")
        count = len(waveforms) if waveforms is not None else len(transcripts or ())
        waveforms = [None] * count if waveforms is None else waveforms
        transcripts = [""] * count if transcripts is None else transcripts
        pairs = zip(waveforms, transcripts, strict=True)
        return [self._answer(waveform, transcript) for waveform, transcript in pairs]

    def _answer(self, waveform: np.ndarray | None, transcript: str) -> Answer:
        words = clean(transcript, self.recipe.data.cleaning)
        if self.recipe.text is None and waveform is None:
            raise BundleError("this model hears only the voice: give it a recording")
        if self.recipe.speech is None and not words:
            raise BundleError("this model reads only the words: give it a transcript")
        if waveform is None and not words:
            raise BundleError("neither a recording nor a transcript to classify")
        outputs = self.outputs({**self._speech_inputs(waveform), **self._text_inputs(words)})
        probabilities = outputs["probabilities"][0]
        return Answer(
            label=self.labels[int(probabilities.argmax())],
            probabilities=dict(zip(self.labels, map(float, probabilities), strict=True)),
            **{
                name: outputs[name][0]
                for name in ("speech_attention", "text_attention", "gate")
                if name in outputs
            },
        )

    def _speech_inputs(self, waveform: np.ndarray | None) -> dict[str, Any]:
        if not self.recipe.speech:
            return {}
        present = waveform is not None
        inputs: dict[str, Any] = {"has_speech": np.array([present])}
        if present:
            longest = int(self.recipe.data.max_seconds * SAMPLE_RATE)
            start = max(0, len(waveform) - longest) // 2
            waveform = waveform[start : start + longest]
        for name in self.recipe.speech.features:
            inputs |= _feature_inputs(name, waveform)
        return inputs

    def _text_inputs(self, words: str) -> dict[str, Any]:
        if not self.tokenizer:
            return {}
        token_ids, token_mask = self.tokenizer(tf.constant([words]))
        return {
            "token_ids": token_ids,
            "token_mask": token_mask,
            "has_text": np.array([bool(words)]),
        }


def _feature_inputs(name: str, waveform: np.ndarray | None) -> dict[str, np.ndarray]:
    """One feature of one recording as the data contract has it in a batch."""
    entry, present = FEATURES[name], waveform is not None
    if name == "waveform":
        waveform = waveform if present else np.zeros(1, "float32")
        samples = np.array([len(waveform) if present else 0], "int32")
        return {name: waveform[None], "num_samples": samples}
    if entry.frames_per_second is None:
        values = entry.extract(waveform) if present else np.zeros(entry.shape, entry.dtype)
        return {name: values[None]}
    values = entry.extract(waveform) if present else np.zeros((1, *entry.shape))
    mask = np.full((1, len(values)), present)
    return {name: values[None].astype("float32"), f"{name}_mask": mask}


def _load_model(file: Path) -> keras.Model:
    try:
        return keras.saving.load_model(file, compile=False)
    except (ValueError, TypeError, KeyError, OSError, zipfile.BadZipFile) as error:
        # Keras names the cause in many lines; they follow with --verbose.
        raise BundleError(f"{file}: damaged or of another version; copy the run again") from error


def softmax(logits: np.ndarray) -> np.ndarray:
    """Probabilities (batch, classes) of logits, in float64."""
    shifted = np.exp(logits.astype("float64") - logits.max(axis=-1, keepdims=True))
    return shifted / shifted.sum(axis=-1, keepdims=True)
