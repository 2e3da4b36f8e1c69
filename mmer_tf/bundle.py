"""A run on disk, and the one way back from it to a classifier that answers.

A bundle holds everything that turns a recording and a transcript into a label: the recipe, the
labels, the tokenizer, the model with its normalisation statistics inside and, of a transformer
whose hidden states were stored, where its weights come from and their hash.
"""

import dataclasses
import json
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import keras
import numpy as np

from mmer_tf.assembly import batch_features, stored_upstreams
from mmer_tf.atomic import replacing, write_text
from mmer_tf.data.families import same_values
from mmer_tf.data.manifest import Dataset
from mmer_tf.data.states import StatesFeature
from mmer_tf.data.words import WORD_OF_TOKEN, WORD_SPANS
from mmer_tf.hidden_states import FrozenEncoder, absolute_source, find_again
from mmer_tf.modalities import NothingToReadError, utterances
from mmer_tf.raw_inputs import Inputs, RawInputs
from mmer_tf.recipe import Recipe, load_recipe, save_recipe
from mmer_tf.text.tokenizer import Tokenizer
from mmer_tf.types import Answer, Word

FORMAT_VERSION = 1
ENCODERS_FILE = "encoders.json"
CALIBRATION_FILE = "calibration.json"
TRAINED_ON_FILE = "trained_on.json"
NOTED = {"encoder", "source", "sha256", "layers"}
"""What a run keeps of each encoder at least."""


class BundleError(ValueError):
    """A run that is missing, unfinished, or asked for what it cannot do."""


@dataclass(frozen=True)
class Bundle:
    """A trained classifier with all that it needs.

    Args:
        recipe: as trained, overrides applied.
        labels: class names in the order of the logits.
        tokenizer: None for a model without text.
        model: inputs and outputs of the data contract.
        encoders: name of stored hidden states -> what they depend on (encoder, source of its
            weights, their SHA-256, layers, settings), as `dataset.json` has it. Predicting takes
            the weights from there, wherever the recipe said that they are.
        temperature: what logits are divided by before the softmax (Guo et al. 2017).
        trained_on: what was fitted (`model`, `normalisation`, `vocabulary`, a stage) -> ids of the
            utterances that it was fitted to.
        folder: where it was read from; None before the first `save`.
    """

    recipe: Recipe
    labels: tuple[str, ...]
    tokenizer: Tokenizer | None
    model: keras.Model
    encoders: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    temperature: float = 1.0
    trained_on: Mapping[str, Sequence[str]] = field(default_factory=dict)
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
            encoders=_load_encoders(folder, recipe),
            temperature=_read_json(folder / CALIBRATION_FILE).get("temperature", 1.0),
            trained_on=_read_json(folder / TRAINED_ON_FILE),
            folder=folder,
        )

    def save(self, folder: Path) -> None:
        """Write recipe, labels, tokenizer and model; the model last, as the mark of the whole."""
        folder.mkdir(parents=True, exist_ok=True)
        save_recipe(self.recipe, folder / "recipe.yaml")
        described = {"format_version": FORMAT_VERSION, "labels": list(self.labels)}
        write_text(folder / "labels.json", json.dumps(described, indent=2))
        if self.tokenizer:
            (folder / "tokenizer").mkdir(exist_ok=True)
            self.tokenizer.save(folder / "tokenizer")
        if self.encoders:
            write_text(folder / ENCODERS_FILE, json.dumps(self.encoders, indent=2) + "\n")
        calibration = {"temperature": self.temperature}
        write_text(folder / CALIBRATION_FILE, json.dumps(calibration, indent=2) + "\n")
        trained_on = {what: list(ids) for what, ids in self.trained_on.items()}
        write_text(folder / TRAINED_ON_FILE, json.dumps(trained_on) + "\n")
        with replacing(folder / "model.keras") as temporary:
            self.model.save(temporary)

    def with_weights(self, weights: Mapping[str, str]) -> "Bundle":
        """The same, with encoders of stored hidden states read from elsewhere.

        Args:
            weights: encoder -> folder or hub name; what lies there must be what the model was
                trained on.

        Raises:
            BundleError: the model does not read stored hidden states of such an encoder.
        """
        encoders = dict(self.encoders)
        for encoder, source in weights.items():
            name = f"{encoder}_states"
            if name not in encoders:
                known = ", ".join(entry["encoder"] for entry in encoders.values()) or "none"
                raise BundleError(
                    f"--weights {encoder}=…: the model reads no stored hidden states of "
                    f"'{encoder}'; it reads those of: {known}"
                )
            encoders[name] = {**encoders[name], "source": absolute_source(source)}
        return dataclasses.replace(self, encoders=encoders)

    @property
    def hears(self) -> bool:
        """Whether it takes the voice."""
        return self.recipe.speech is not None

    @property
    def reads(self) -> bool:
        """Whether it takes the words."""
        return self.recipe.text is not None

    @property
    def features(self) -> tuple[str, ...]:
        """Names of what the model takes from the shards, as `make_dataset` wants them."""
        taken = [tensor.name for tensor in self.model.inputs]
        timed = [name for name in (WORD_SPANS, WORD_OF_TOKEN) if name in taken]
        return (*batch_features(self.recipe), *timed)

    def missing_from(self, dataset: Dataset) -> tuple[str | StatesFeature, ...]:
        """What `ensure_features` must see to before this bundle can read a data set.

        Hidden states that the shards hold already need no weights.

        Raises:
            HubError: the weights of a transformer cannot be had, or are not those of the training.
        """
        missing: list[str | StatesFeature] = []
        for name in batch_features(self.recipe):
            if name not in self.encoders:
                missing.append(name)
            elif not self._are_stored(name, dataset):
                missing.append(self.transformers[name].feature)
        return tuple(missing)

    def _are_stored(self, name: str, dataset: Dataset) -> bool:
        family = dataset.families.get(name)
        return family is not None and same_values(family.parameters, self.encoders[name])

    @cached_property
    def transformers(self) -> dict[str, FrozenEncoder]:
        """The transformers whose hidden states the model reads, by the names of those."""
        return {
            name: find_again(self.encoders[name], upstream.options)
            for name, upstream in stored_upstreams(self.recipe).items()
        }

    def outputs(self, batch: Mapping[str, Any]) -> dict[str, np.ndarray]:
        """All outputs for a batch of the data contract, and `probabilities` (batch, classes)."""
        inputs = {tensor.name: batch[tensor.name] for tensor in self.model.inputs}
        outputs = self.model.predict_on_batch(inputs)
        return {**outputs, "probabilities": softmax(outputs["logits"] / self.temperature)}

    def probabilities(self, batch: Mapping[str, Any]) -> np.ndarray:
        """(batch, classes) for a batch of the data contract."""
        return self.outputs(batch)["probabilities"]

    def predict(
        self,
        waveforms: Sequence[np.ndarray | None] | None = None,
        transcripts: Sequence[str] | None = None,
        words: Sequence[Sequence[Word]] | None = None,
    ) -> list[Answer]:
        """Classify utterances from the raw voice and words.

        Each is computed alone, so that an answer does not depend on its neighbours. A clip
        longer than the recipe's `data.max_seconds` is judged by its middle.

        Args:
            waveforms: float32 in [-1, 1], 16 kHz mono; None where there is no recording.
            transcripts: as spoken; empty where there is none.
            words: their timings, for fusion by words; without them an utterance is judged as
                one word.

        Raises:
            BundleError: an utterance lacks the only modality that the model has.
        """
        return [self._answer(*one) for one in _utterances(waveforms, transcripts, words)]

    def predict_probabilities(
        self,
        waveforms: Sequence[np.ndarray | None] | None = None,
        transcripts: Sequence[str] | None = None,
        words: Sequence[Sequence[Word]] | None = None,
        *,
        batch_size: int = 32,
    ) -> np.ndarray:
        """The probabilities of `predict`, faster: utterances of similar length go together.

        Args:
            waveforms: as for `predict`.
            transcripts: as for `predict`.
            words: as for `predict`.
            batch_size: utterances that are computed at once.

        Returns:
            (utterances, classes), within 1e-5 of those of each utterance alone.

        Raises:
            BundleError: as `predict`.
        """
        known = _utterances(waveforms, transcripts, words)
        lengths = [(0 if voice is None else len(voice), len(text)) for voice, text, _ in known]
        order = sorted(range(len(known)), key=lengths.__getitem__)
        probabilities = np.zeros((len(known), len(self.labels)))
        for first in range(0, len(order), batch_size):
            rows = order[first : first + batch_size]
            inputs = self._raw_inputs.joined([self._inputs(*known[row]) for row in rows])
            probabilities[rows] = self.probabilities(inputs)
        return probabilities

    def _answer(
        self, waveform: np.ndarray | None, transcript: str, timings: Sequence[Word]
    ) -> Answer:
        outputs = self.outputs(self._inputs(waveform, transcript, timings))
        return Answer.of(self.labels, {name: values[0] for name, values in outputs.items()})

    def _inputs(
        self, waveform: np.ndarray | None, transcript: str, timings: Sequence[Word]
    ) -> Inputs:
        try:
            return self._raw_inputs.of_utterance(waveform, transcript, timings)
        except NothingToReadError as error:
            raise BundleError(str(error)) from error

    @cached_property
    def _raw_inputs(self) -> RawInputs:
        shapes = {tensor.name: tuple(tensor.shape[2:]) for tensor in self.model.inputs}
        # Asked for by name: weights that nobody needs are not looked for.
        return RawInputs(self.recipe, self.tokenizer, lambda name: self.transformers[name], shapes)


def _utterances(
    waveforms: Sequence[np.ndarray | None] | None,
    transcripts: Sequence[str] | None,
    words: Sequence[Sequence[Word]] | None,
) -> list[tuple[np.ndarray | None, str, Sequence[Word]]]:
    """What is known of each utterance, nothing where a kind of input was not given."""
    try:
        pairs = utterances(waveforms, transcripts)
    except NothingToReadError as error:
        raise BundleError(str(error)) from error
    words = [()] * len(pairs) if words is None else words
    return [(*pair, timings) for pair, timings in zip(pairs, words, strict=True)]


def _load_model(file: Path) -> keras.Model:
    try:
        return keras.saving.load_model(file, compile=False)
    except (ValueError, TypeError, KeyError, OSError, zipfile.BadZipFile) as error:
        # Keras names the cause in many lines; they follow with --verbose.
        raise BundleError(f"{file}: damaged or of another version; copy the run again") from error


def read_encoders(folder: Path) -> dict[str, dict[str, Any]]:
    """What a run keeps of encoders of stored hidden states; nothing where it reads none.

    Raises:
        BundleError: the file is damaged.
    """
    file = folder / ENCODERS_FILE
    if not file.is_file():
        return {}
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
        if all(entry.keys() >= NOTED for entry in found.values()):
            return found
    except (ValueError, AttributeError) as error:  # no JSON, or no table of tables
        raise BundleError(f"{file}: damaged; copy the run again") from error
    raise BundleError(f"{file}: damaged; copy the run again")


def _read_json(file: Path) -> dict[str, Any]:
    """A table that older runs do not have: then empty."""
    if not file.is_file():
        return {}
    try:
        return dict(json.loads(file.read_text(encoding="utf-8")))
    except (ValueError, TypeError) as error:
        raise BundleError(f"{file}: damaged; copy the run again") from error


def _load_encoders(folder: Path, recipe: Recipe) -> dict[str, dict[str, Any]]:
    """The same, after a look at whether the recipe's are all there."""
    found = read_encoders(folder)
    if set(stored_upstreams(recipe)) - set(found):
        raise BundleError(f"{folder}: lacks {ENCODERS_FILE}; copy the run again")
    return found


def softmax(logits: np.ndarray) -> np.ndarray:
    """Probabilities (batch, classes) of logits, in float64."""
    shifted = np.exp(logits.astype("float64") - logits.max(axis=-1, keepdims=True))
    return shifted / shifted.sum(axis=-1, keepdims=True)
