"""One bundle on one split: report, predictions and picture in a folder."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mmer_tf.bundle import Bundle
from mmer_tf.data.manifest import Dataset
from mmer_tf.data.pipeline import make_dataset
from mmer_tf.evaluation.analysis import Analysis
from mmer_tf.evaluation.metrics import score
from mmer_tf.evaluation.plots import draw_confusion_matrix, save_figure
from mmer_tf.evaluation.predictions import Predictions, predict_dataset, save_predictions
from mmer_tf.evaluation.report import absence_notes, write_json
from mmer_tf.types import Utterance

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
    utterances: Sequence[Utterance] = (),
    audit: Mapping[str, Any] | None = None,
    temperature: float | None = None,
    uncalibrated: Predictions | None = None,
) -> dict[str, Any]:
    """Metrics with what they were measured on.

    Args:
        predictions: what is judged.
        run, data, split, protocol, fold, seed: what they come from.
        notes: what a reader of the figures must know.
        utterances: who said what in which recording; superfluous ones do no harm.
        audit: verdict on the split, as `Audit.to_mapping` gives it; None where nobody looked.
        temperature: what the logits were divided by; None where they were not.
        uncalibrated: the same answers at temperature 1.

    Returns:
        The keys of `score`, and `run, data, split, protocol, fold, seed, notes`, and `audit`.
    """
    figures = score(predictions)
    report = {
        "run": run,
        "data": data,
        "split": split,
        "protocol": protocol,
        "fold": fold,
        "seed": seed,
        **figures,
        "notes": [*notes, *absence_notes(figures)],
    }
    return report | ({"audit": dict(audit)} if audit is not None else {})


def write_report(
    report: Mapping[str, Any],
    predictions: Predictions,
    folder: Path,
    *,
    pictures: bool = True,
    analysis: Analysis | None = None,
) -> None:
    """Write `predictions.csv`, the pictures and, last, `report.json`.

    Args:
        report: of `make_report`.
        predictions: of which the report is.
        folder: where it all goes; exists.
        pictures: False writes no picture.
        analysis: what the model did inside; None where nobody looked.
    """
    save_predictions(predictions, folder / "predictions.csv")
    if analysis is not None and analysis.gate:
        report = {**report, "gate": analysis.gate}
    if pictures:
        _draw(report, folder)
    write_json(report, folder / "report.json")


def _draw(report: Mapping[str, Any], folder: Path) -> None:
    title = f"{report['run']}\n{report['split']}: WA {report['wa']:.3f}, UA {report['ua']:.3f}"
    figure = draw_confusion_matrix(report["confusion_matrix"], report["labels"], title)
    save_figure(figure, folder / "confusion_matrix.png")
