"""What a classifier did inside for the utterances of a split."""

import dataclasses
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from mmer_tf.bundle import Bundle
from mmer_tf.data.manifest import Dataset
from mmer_tf.evaluation.attention import Example
from mmer_tf.evaluation.batches import read_batches
from mmer_tf.evaluation.explainer import Explainer, InsideRow
from mmer_tf.evaluation.predictions import Predictions
from mmer_tf.evaluation.projection import FEWEST_POINTS, choose_points, project
from mmer_tf.models.blocks import BLOCKS, ROLES, open_model

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
    explainer = Explainer(bundle, dataset)
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
        notes=tuple(_notes(blocks, shown, explainer)),
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


def _read_inside(bundle: Bundle, dataset: Dataset, ids: Sequence[str]) -> Iterator[InsideRow]:
    opened = dataclasses.replace(bundle, model=open_model(bundle.model))
    for batch in read_batches(bundle, dataset, ids).as_numpy_iterator():
        outputs = opened.outputs(batch)
        for number, id in enumerate(batch["id"]):
            yield InsideRow(
                id.decode(),
                {name: values[number] for name, values in batch.items()},
                {name: values[number] for name, values in outputs.items()},
            )


def _block(vectors: Mapping[str, np.ndarray], targets: Mapping[str, int]) -> Block:
    ids = sorted(vectors)
    stacked = np.stack([vectors[id] for id in ids])
    return Block(np.array(ids), np.array([targets[id] for id in ids]), stacked, project(stacked))


def _notes(
    blocks: Mapping[str, Block], shown: Sequence[Example], explainer: Explainer
) -> Iterator[str]:
    """What cannot be shown, and why."""
    for name, block in blocks.items():
        if block.points is None:
            few = len(block.ids) < FEWEST_POINTS
            why = f"{len(block.ids)} utterances are too few" if few else "its vectors are all alike"
            yield f"no t-SNE of the {name} block: {why}"
    if {"temporal", "contextual"} <= set(blocks) and "fusion" not in blocks:
        yield "no t-SNE of a fusion block: voice and words are classified apart"
    if explainer.fuses_words and any(not one.words for one in shown):
        yield "an utterance without word timings is judged as one word, and shows no attention"
    elif explainer.hears and explainer.step is None:
        yield "no attention over the waveform: the steps of this encoder do not follow time"
    for one in shown:
        if one.voice and one.waveform is None:
            yield f"the recording of {one.id} cannot be read: its attention stands alone"
