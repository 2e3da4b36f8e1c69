"""What a classifier did inside for the utterances of a split."""

import dataclasses
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mmer_tf.audio.decode import AudioError, decode
from mmer_tf.bundle import Bundle
from mmer_tf.data.manifest import Dataset
from mmer_tf.data.words import WORD_SPANS
from mmer_tf.evaluation.attention import (
    Example,
    Stretch,
    join_pieces,
    spread_over_tokens,
    stretches,
)
from mmer_tf.evaluation.batches import read_batches
from mmer_tf.evaluation.predictions import Predictions
from mmer_tf.evaluation.projection import FEWEST_POINTS, choose_points, project
from mmer_tf.models.blocks import BLOCKS, ROLES, open_model, speech_step, tokens_per_step
from mmer_tf.types import SAMPLE_RATE, Utterance

SPAN = 0.01
"""Seconds of one unit of `word_spans` and of the steps of encoders."""

RIGHT_EXAMPLES, WRONG_EXAMPLES = 4, 2
"""Utterances that are explained where nobody has chosen any."""


class AnalysisError(ValueError):
    """Utterances that cannot be explained; says which."""


@dataclass(frozen=True)
class Block:
    """What one block of the classifier answers for some utterances.

    Args:
        ids: (n,) str.
        targets: (n,) int, the true classes.
        vectors: (n, dim).
        points: (n, 2) the vectors brought to two dimensions; None where they are too few.
    """

    ids: np.ndarray
    targets: np.ndarray
    vectors: np.ndarray
    points: np.ndarray | None


@dataclass(frozen=True)
class Analysis:
    """A look into a classifier.

    Args:
        blocks: of "temporal" (the voice as one vector), "contextual" (the words as one vector)
            and "fusion" (what the classifier reads of both) those that the model has; of at most
            1,000 utterances, each only where its modality is present.
        gate: class -> `mean` and `deviation` over its `n` utterances of the share of the voice in
            the gated multimodal unit, where voice and words are present; empty without one.
        examples: what was looked at in chosen utterances.
        notes: what cannot be shown, and why.
    """

    blocks: Mapping[str, Block] = field(default_factory=dict)
    gate: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    examples: tuple[Example, ...] = ()
    notes: tuple[str, ...] = ()


def analyse(
    bundle: Bundle,
    dataset: Dataset,
    predictions: Predictions,
    ids: Sequence[str],
    explain: Sequence[str] = (),
) -> Analysis:
    """Look into a classifier while it reads the utterances of a split once more.

    Args:
        bundle: the classifier.
        dataset: where the utterances are; with the features that the bundle wants.
        predictions: the bundle's answers for them.
        ids: the utterances.
        explain: those whose attention is shown; where none is named, the most confident right
            answer for each of up to 4 classes and the 2 most confident wrong ones.

    Raises:
        AnalysisError: `explain` names an utterance that is not among `ids`.
    """
    if strangers := [id for id in explain if id not in set(ids)]:
        raise AnalysisError(
            f"utterance '{strangers[0]}' cannot be explained: it is not among the "
            f"{len(set(ids))} utterances of the split"
        )
    rows = {str(id): row for row, id in enumerate(predictions.ids)}
    drawn = {str(predictions.ids[row]) for row in choose_points(len(predictions.ids))}
    chosen = tuple(dict.fromkeys(explain)) or choose_examples(predictions)
    explainer = _Explainer(bundle, dataset)
    vectors: dict[str, dict[str, np.ndarray]] = defaultdict(dict)
    leanings: dict[str, float] = {}  # id -> mean share of the voice
    examples: dict[str, Example] = {}
    for one in _read_inside(bundle, dataset, ids):
        for block in BLOCKS:
            if f"{block}_block" in one.outputs and one.id in drawn and one.has(ROLES.get(block)):
                vectors[block][one.id] = one.outputs[f"{block}_block"].astype("float32")
        if "gate" in one.outputs and one.has("speech") and one.has("text"):
            leanings[one.id] = float(one.outputs["gate"].mean())
        if one.id in chosen:
            examples[one.id] = explainer.explain(one, predictions, rows[one.id])
    targets = {id: int(predictions.targets[row]) for id, row in rows.items()}
    blocks = {block: _block(vectors[block], targets) for block in BLOCKS if vectors[block]}
    shown = [examples[id] for id in chosen]
    return Analysis(
        blocks=blocks,
        gate=gate_statistics(leanings, targets, predictions.labels),
        examples=tuple(one for one in shown if one.voice or one.words),
        notes=tuple(_notes(blocks, shown, bundle)),
    )


def choose_examples(predictions: Predictions) -> tuple[str, ...]:
    """The surest right answers, one a class, and after them the surest wrong ones."""
    probability = predictions.probabilities.max(axis=1)
    order = np.lexsort((predictions.ids, -probability))
    right = predictions.predicted == predictions.targets
    classes: list[int] = []
    chosen: list[str] = []
    for row in order[right[order]]:
        if predictions.targets[row] not in classes and len(chosen) < RIGHT_EXAMPLES:
            classes.append(predictions.targets[row])
            chosen.append(str(predictions.ids[row]))
    wrong = [str(predictions.ids[row]) for row in order[~right[order]]]
    return (*chosen, *wrong[:WRONG_EXAMPLES])


def gate_statistics(
    leanings: Mapping[str, float], targets: Mapping[str, int], labels: Sequence[str]
) -> dict[str, dict[str, float]]:
    """How much each class leans on the voice.

    Args:
        leanings: id -> mean over the units of the gate: 1 is all voice, 0 all words.
        targets: id -> its true class.
        labels: class names.

    Returns:
        Class -> `mean`, `deviation` (n − 1; 0 of one utterance) and `n`, for the classes that
        have an utterance.
    """
    statistics = {}
    for number, label in enumerate(labels):
        values = [value for id, value in leanings.items() if targets[id] == number]
        if values:
            statistics[label] = {
                "mean": float(np.mean(values)),
                "deviation": float(np.std(values, ddof=1)) if len(values) > 1 else 0.0,
                "n": len(values),
            }
    return statistics


@dataclass(frozen=True)
class _Row:
    """One utterance: what the model read of it and what it answered inside."""

    id: str
    inputs: Mapping[str, np.ndarray]
    outputs: Mapping[str, np.ndarray]

    def has(self, role: str | None) -> bool:
        """Whether it has a voice ("speech"), words ("text"), or anything (None)."""
        return role is None or bool(self.inputs[f"has_{role}"])


def _read_inside(bundle: Bundle, dataset: Dataset, ids: Sequence[str]) -> Iterator[_Row]:
    opened = dataclasses.replace(bundle, model=open_model(bundle.model))
    for batch in read_batches(bundle, dataset, ids).as_numpy_iterator():
        outputs = opened.outputs(batch)
        for number, id in enumerate(batch["id"]):
            yield _Row(
                id.decode(),
                {name: values[number] for name, values in batch.items()},
                {name: values[number] for name, values in outputs.items()},
            )


def _block(vectors: Mapping[str, np.ndarray], targets: Mapping[str, int]) -> Block:
    ids = sorted(vectors)
    stacked = np.stack([vectors[id] for id in ids])
    return Block(np.array(ids), np.array([targets[id] for id in ids]), stacked, project(stacked))


class _Explainer:
    """From the attention of one utterance to seconds and words."""

    def __init__(self, bundle: Bundle, dataset: Dataset):
        self.utterances = {utterance.id: utterance for utterance in dataset.rows}
        self.tokenizer = bundle.tokenizer
        self.max_seconds = bundle.recipe.data.max_seconds
        self.step = speech_step(bundle.model)
        self.tokens_per_step = tokens_per_step(bundle.model)

    def explain(self, one: _Row, predictions: Predictions, row: int) -> Example:
        """What was looked at in an utterance, whose answer is a row of the predictions."""
        utterance = self.utterances[one.id]
        predicted = int(predictions.predicted[row])
        words, voice = (), ()
        if "word_attention" in one.outputs:
            words, voice = self._of_timed_words(one, utterance)
        if "speech_attention" in one.outputs and one.has("speech"):
            voice = self._of_voice(one, utterance)
        if "text_attention" in one.outputs and one.has("text"):
            words = self._of_words(one)
        both = one.has("speech") and one.has("text")
        return Example(
            id=one.id,
            true=predictions.labels[predictions.targets[row]],
            predicted=predictions.labels[predicted],
            probability=float(predictions.probabilities[row, predicted]),
            transcript=one.inputs["transcript"].decode(),
            waveform=self._heard(utterance) if voice else None,
            voice=voice,
            words=words,
            gate=float(one.outputs["gate"].mean()) if both and "gate" in one.outputs else None,
        )

    def _of_voice(self, one: _Row, utterance: Utterance) -> tuple[Stretch, ...]:
        if self.step is None:
            return ()
        weights = one.outputs["speech_attention"][one.outputs["speech_mask"].astype(bool)]
        length = utterance.duration
        seconds = min(length, self.max_seconds) if length is not None else None
        return stretches(weights, self.step * SPAN, seconds)

    def _of_words(self, one: _Row) -> tuple[tuple[str, float], ...]:
        token_ids = one.inputs["token_ids"][one.inputs["token_mask"].astype(bool)]
        pieces = self.tokenizer.tokenize_to_strings(token_ids)
        weights = one.outputs["text_attention"][one.outputs["text_mask"].astype(bool)]
        return join_pieces(pieces, spread_over_tokens(weights, len(pieces), self.tokens_per_step))

    def _of_timed_words(
        self, one: _Row, utterance: Utterance
    ) -> tuple[tuple[tuple[str, float], ...], tuple[Stretch, ...]]:
        """Of a fusion by words; an utterance that was judged as one word has none to show."""
        weights = one.outputs["word_attention"]
        spans = one.inputs[WORD_SPANS][: len(utterance.words)]
        timed = [number for number, (start, _) in enumerate(spans) if start >= 0]
        if not timed:
            return (), ()
        words = tuple((utterance.words[n].text, float(weights[n])) for n in timed)
        return words, tuple(
            Stretch(float(start) * SPAN, float(end) * SPAN, float(weights[n]))
            for n in timed
            for start, end in [spans[n]]
            if end > start
        )

    def _heard(self, utterance: Utterance) -> np.ndarray | None:
        """The part of the recording that the model was given; None where it is gone."""
        try:
            waveform = decode(utterance.audio)
        except AudioError:
            return None  # the page says so; the weights can be drawn without it
        longest = int(self.max_seconds * SAMPLE_RATE)
        first = max(0, len(waveform) - longest) // 2
        return waveform[first : first + longest]


def _notes(blocks: Mapping[str, Block], shown: Sequence[Example], bundle: Bundle) -> list[str]:
    notes: list[str] = []
    for name, block in blocks.items():
        if block.points is None:
            few = len(block.ids) < FEWEST_POINTS
            why = f"{len(block.ids)} utterances are too few" if few else "its vectors are all alike"
            notes.append(f"no t-SNE of the {name} block: {why}")
    if bundle.recipe.speech and bundle.recipe.text and "fusion" not in blocks:
        notes.append("no t-SNE of a fusion block: voice and words are classified apart")
    if bundle.recipe.speech and shown and not any(one.voice for one in shown):
        notes.append("no attention over the waveform: the steps of this encoder do not follow time")
    for one in shown:
        if one.voice and one.waveform is None:
            notes.append(f"the recording of {one.id} cannot be read: its attention stands alone")
    return notes


def gate_of(analysis: Analysis | None) -> dict[str, Any]:
    """What an analysis adds to `report.json`."""
    return {"gate": dict(analysis.gate)} if analysis is not None and analysis.gate else {}
