"""Pictures of a classifier while it is being trained."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from mmer_tf.bundle import Bundle
from mmer_tf.data.manifest import Dataset
from mmer_tf.evaluation.batches import read_batches
from mmer_tf.evaluation.explainer import Explainer, InsideRow
from mmer_tf.evaluation.metrics import score
from mmer_tf.evaluation.plots import draw_attention, draw_confusion_matrix
from mmer_tf.evaluation.predictions import Predictions, predict_dataset
from mmer_tf.models.blocks import open_model

EXAMPLES = 4
"""Utterances whose attention is shown, each of another class."""


class Snapshot:
    """Draws the confusions of some utterances, and what is looked at in a few of them.

    The few are always the same, so that one sees how the attention moves from epoch to epoch.
    Everything is prepared once; a picture costs one pass over the utterances.

    Args:
        bundle: the classifier, whose weights may change between calls.
        dataset: where the utterances are.
        ids: the utterances, as those of the validation split.

    Call: -> name of each picture -> figure: `confusion_matrix`, and `attention/<id>` where the
        classifier has any
    """

    def __init__(self, bundle: Bundle, dataset: Dataset, ids: Sequence[str]):
        self.bundle = dataclasses.replace(bundle, model=open_model(bundle.model))
        self.batches = read_batches(bundle, dataset, ids)
        self.explainer = Explainer(bundle, dataset)
        wanted, of_class = set(ids), {}
        for row in dataset.rows:
            if row.id in wanted:
                of_class.setdefault(row.label, row.id)
        self.shown = tuple(of_class.values())[:EXAMPLES]

    def __call__(self) -> dict[str, Figure]:
        """Read, answer and draw; see the class."""
        inside: dict[str, InsideRow] = {}

        def answer(batch: dict[str, Any]) -> np.ndarray:
            outputs = self.bundle.outputs(batch)
            for number, id in enumerate(batch["id"]):
                if id.decode() in self.shown:
                    inside[id.decode()] = InsideRow(
                        id.decode(),
                        {name: values[number] for name, values in batch.items()},
                        {name: values[number] for name, values in outputs.items()},
                    )
            return outputs["probabilities"]

        predictions = predict_dataset(answer, self.batches.as_numpy_iterator(), self.bundle.labels)
        figures = score(predictions)
        title = f"validation: WA {figures['wa']:.3f}, UA {figures['ua']:.3f}"
        matrix = figures["confusion_matrix"]
        pictures = {"confusion_matrix": draw_confusion_matrix(matrix, predictions.labels, title)}
        return pictures | self._attention(predictions, inside)

    def _attention(
        self, predictions: Predictions, inside: dict[str, InsideRow]
    ) -> dict[str, Figure]:
        rows = {str(id): row for row, id in enumerate(predictions.ids)}
        examples = [self.explainer.explain(inside[id], predictions, rows[id]) for id in self.shown]
        return {
            f"attention/{example.id}": draw_attention(example)
            for example in examples
            if example.voice or example.words
        }
