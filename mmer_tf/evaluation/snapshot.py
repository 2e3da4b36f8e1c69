"""Pictures of a classifier while it is being trained."""

from collections.abc import Iterator, Sequence

import numpy as np
from matplotlib.figure import Figure

from mmer_tf.bundle import Bundle
from mmer_tf.data.manifest import Dataset
from mmer_tf.evaluation.batches import read_batches
from mmer_tf.evaluation.explainer import Explainer, InsideRow
from mmer_tf.evaluation.metrics import score
from mmer_tf.evaluation.plots import draw_attention, draw_confusion_matrix
from mmer_tf.evaluation.predictions import predict_dataset
from mmer_tf.models.blocks import open_model

EXAMPLES = 4
"""Utterances whose attention is shown, each of another class."""


class Snapshot:
    """Draws the confusions of some utterances, and what is looked at in a few of them.

    The few are always the same, so that one sees how the attention moves from epoch to epoch.
    What reads them all is the bundle's own function, which later evaluations take too; the few
    are run without a graph, which would take longer to build than they take to run.

    Args:
        bundle: the classifier, whose weights may change between calls.
        dataset: where the utterances are.
        ids: the utterances, as those of the validation split.

    Call: -> name of each picture -> figure: `confusion_matrix`, and `attention/<id>` where the
        classifier has any
    """

    def __init__(self, bundle: Bundle, dataset: Dataset, ids: Sequence[str]):
        self.bundle = bundle
        self.inside = open_model(bundle.model)
        self.explainer = Explainer(bundle, dataset)
        wanted, of_class = set(ids), {}
        for row in dataset.rows:
            if row.id in wanted:
                of_class.setdefault(row.label, row.id)
        self.shown = tuple(of_class.values())[:EXAMPLES]
        self.batches = read_batches(bundle, dataset, ids)
        self.few = read_batches(bundle, dataset, self.shown)

    def __call__(self) -> dict[str, Figure]:
        """Read, answer and draw; see the class."""
        predictions = predict_dataset(
            self.bundle.probabilities, self.batches.as_numpy_iterator(), self.bundle.labels
        )
        figures = score(predictions)
        title = f"validation: WA {figures['wa']:.3f}, UA {figures['ua']:.3f}"
        matrix = figures["confusion_matrix"]
        pictures = {"confusion_matrix": draw_confusion_matrix(matrix, predictions.labels, title)}
        rows = {str(id): row for row, id in enumerate(predictions.ids)}
        for one in self._look_inside():
            example = self.explainer.explain(one, predictions, rows[one.id])
            if example.voice or example.words:
                pictures[f"attention/{one.id}"] = draw_attention(example)
        return pictures

    def _look_inside(self) -> Iterator[InsideRow]:
        names = [tensor.name for tensor in self.inside.inputs]
        for batch in self.few.as_numpy_iterator():
            answer = self.inside({name: batch[name] for name in names}, training=False)
            outputs = {name: np.asarray(values) for name, values in answer.items()}
            for number, id in enumerate(batch["id"]):
                yield InsideRow(
                    id.decode(),
                    {name: values[number] for name, values in batch.items()},
                    {name: values[number] for name, values in outputs.items()},
                )
