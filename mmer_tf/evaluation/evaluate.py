"""One bundle on one split: report, predictions and picture in a folder."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mmer_tf.bundle import Bundle
from mmer_tf.data.manifest import Dataset
from mmer_tf.data.pipeline import make_dataset
from mmer_tf.evaluation.metrics import score
from mmer_tf.evaluation.plots import plot_confusion_matrix
from mmer_tf.evaluation.predictions import Predictions, predict_dataset, save_predictions
from mmer_tf.evaluation.report import absence_notes, write_json

BATCH_SIZE = 32


def predict_ids(bundle: Bundle, data: Path | Dataset, ids: Sequence[str]) -> Predictions:
    """Probabilities for utterances of a prepared data set, from its shards."""
    batches = make_dataset(
        data,
        ids,
        features=bundle.features,
        labels=bundle.labels,
        tokenizer=bundle.tokenizer,
        cleaning=bundle.recipe.data.cleaning,
        max_seconds=bundle.recipe.data.max_seconds,
        batch_size=BATCH_SIZE,
        training=False,
    )
    return predict_dataset(bundle.probabilities, batches.as_numpy_iterator(), bundle.labels)


def make_report(
    predictions: Predictions,
    *,
    run: str,
    data: str,
    split: str,
    protocol: str,
    fold: int | str,
    seed: int | Sequence[int],
    notes: Sequence[str] = (),
) -> dict[str, Any]:
    """Metrics with what they were measured on.

    Returns:
        The keys of `score`, and `run, data, split, protocol, fold, seed, notes`.
    """
    figures = score(predictions)
    return {
        "run": run,
        "data": data,
        "split": split,
        "protocol": protocol,
        "fold": fold,
        "seed": seed,
        **figures,
        "notes": [*notes, *absence_notes(figures)],
    }


def write_report(report: Mapping[str, Any], predictions: Predictions, folder: Path) -> None:
    """Write `predictions.csv`, `confusion_matrix.png` and, last, `report.json`."""
    save_predictions(predictions, folder / "predictions.csv")
    title = f"{report['run']}\n{report['split']}: WA {report['wa']:.3f}, UA {report['ua']:.3f}"
    plot_confusion_matrix(
        report["confusion_matrix"], report["labels"], folder / "confusion_matrix.png", title
    )
    write_json(report, folder / "report.json")
