"""One classifier on one split: its report, its predictions, pictures and a page in a folder."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mmer_tf.atomic import write_text
from mmer_tf.bundle import Bundle
from mmer_tf.data.manifest import Dataset
from mmer_tf.evaluation.analysis import Analysis
from mmer_tf.evaluation.batches import read_batches
from mmer_tf.evaluation.bootstrap import intervals
from mmer_tf.evaluation.calibration import expected_calibration_error, reliability, soften
from mmer_tf.evaluation.metrics import score, score_groups
from mmer_tf.evaluation.model_card import MODEL_CARD, render_card
from mmer_tf.evaluation.page import render_page
from mmer_tf.evaluation.pictures import draw_pictures
from mmer_tf.evaluation.plots import save_figure
from mmer_tf.evaluation.predictions import Predictions, predict_dataset, save_predictions
from mmer_tf.evaluation.report import absence_notes, write_json
from mmer_tf.evaluation.worst import worst_confusions
from mmer_tf.types import Utterance

PLOTS = "plots"
PAGE = "report.html"
REPORT = "report.json"
PREDICTIONS = "predictions.csv"


def predict_ids(bundle: Bundle, data: Path | Dataset, ids: Sequence[str]) -> Predictions:
    """Probabilities for utterances of a prepared data set, from its shards."""
    batches = read_batches(bundle, data, ids).as_numpy_iterator()
    return predict_dataset(bundle.probabilities, batches, bundle.labels)


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
    """All figures of some answers, with what they were measured on; see docs/report.md.

    Args:
        predictions: what is judged.
        run, data, split, protocol, fold, seed: what they come from.
        notes: what a reader of the figures must know.
        utterances: who said what in which recording; superfluous ones do no harm. Without them
            nothing is told by speaker or gender, and intervals are over utterances.
        audit: verdict on the split, as `Audit.to_mapping` gives it; None where nobody looked.
        temperature: what the logits were divided by; None where there is not one for all answers.
        uncalibrated: the same answers at temperature 1; None computes them from `temperature`.

    Returns:
        `run, data, split, protocol, fold, seed, notes`, the keys of `score`, `per_speaker`,
        `per_gender`, `intervals`, `calibration`, `worst_confusions`, and `audit` where there is
        one.
    """
    figures = score(predictions)
    speakers = {utterance.id: utterance.speaker for utterance in utterances}
    genders = {utterance.id: utterance.gender for utterance in utterances}
    report = {
        "run": run,
        "data": data,
        "split": split,
        "protocol": protocol,
        "fold": fold,
        "seed": seed,
        **figures,
        "per_speaker": score_groups(predictions, speakers),
        "per_gender": score_groups(predictions, genders),
        "intervals": intervals(predictions, speakers),
        "calibration": _calibration(predictions, temperature, uncalibrated),
        "worst_confusions": worst_confusions(predictions, utterances),
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
    run: Path | None = None,
) -> None:
    """Write `predictions.csv`, `plots/`, `report.html`, `model_card.md` and, last, `report.json`.

    Args:
        report: of `make_report`, with whatever else belongs to it (`robustness`, `stages` …).
        predictions: of which the report is.
        folder: where it all goes; exists. What it holds of a training is shown too.
        pictures: False writes neither plots nor page, and removes those of an earlier report.
        analysis: what the classifier did inside; None where nobody looked.
        run: folder of the run that answered, for its card; None is `folder` itself, or where
            several are summed up, the first of them.
    """
    stale = {*(folder / PLOTS).glob("*.png"), folder / PAGE}
    save_predictions(predictions, folder / PREDICTIONS)
    if analysis is not None and analysis.gate:
        report = {**report, "gate": dict(analysis.gate)}
    if pictures:
        (folder / PLOTS).mkdir(exist_ok=True)
        drawn = {}
        for picture, figure in draw_pictures(report, folder, analysis):
            file = folder / PLOTS / f"{picture.name}.png"
            save_figure(figure, file)
            drawn[picture] = file.read_bytes()
            stale.discard(file)
        write_text(folder / PAGE, render_page(report, drawn, folder, analysis))
        stale.discard(folder / PAGE)
    write_text(folder / MODEL_CARD, render_card(report, folder, run))
    write_json(report, folder / REPORT)
    for file in stale:
        file.unlink(missing_ok=True)


def _calibration(
    predictions: Predictions, temperature: float | None, uncalibrated: Predictions | None
) -> dict[str, Any]:
    if uncalibrated is None and temperature is not None:
        uncalibrated = soften(predictions, 1 / temperature)
    before = None if uncalibrated is None else expected_calibration_error(uncalibrated)
    return {
        "temperature": temperature,
        "ece": expected_calibration_error(predictions),
        "ece_uncalibrated": before,
        "bins": reliability(predictions),
    }
