"""What is left of a classifier of voice and words when it gets one of them alone."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from rich.console import RenderableType
from rich.table import Table

from mmer_tf.bundle import Bundle
from mmer_tf.data.manifest import Dataset
from mmer_tf.evaluation.batches import read_batches
from mmer_tf.evaluation.bootstrap import intervals
from mmer_tf.evaluation.metrics import mean_and_deviation, score
from mmer_tf.evaluation.predictions import Predictions, predict_dataset, restrict

GIVEN = {"both": "voice and words", "speech": "the voice alone", "text": "the words alone"}
"""What the classifier gets -> the same in words."""

ABSENT = {"speech": "has_text", "text": "has_speech"}
"""What it gets alone -> the flag of the data contract that says that the other is not there."""


def judge_modalities(bundle: Bundle, dataset: Dataset, predictions: Predictions) -> dict[str, Any]:
    """Figures with both modalities and with each alone, on the same utterances.

    Args:
        bundle: the classifier.
        dataset: where the utterances are; with the features that the bundle wants.
        predictions: its answers, of which those count that have voice and words.

    Returns:
        "both", "speech" and "text", each with `ua`, `wa`, `n` and `interval`, the 95 % of UA as
        `bootstrap.intervals` gives it; empty for a classifier of one modality, or where no
        utterance has both.
    """
    if not (bundle.hears and bundle.reads):
        return {}
    batches = _with_both(bundle, dataset, predictions.ids.tolist())
    alone = predict_dataset(lambda batch: _alone(bundle, batch), batches, bundle.labels)
    if not len(alone.ids):
        return {}
    answers = {"both": restrict(predictions, alone.ids.tolist())}
    for place, given in enumerate(ABSENT):
        answers[given] = replace(alone, probabilities=alone.probabilities[:, place])
    speakers = {utterance.id: utterance.speaker for utterance in dataset.rows}
    judged = {}
    for given in GIVEN:
        figures = score(answers[given])
        judged[given] = {name: figures[name] for name in ("ua", "wa", "n")}
        judged[given]["interval"] = intervals(answers[given], speakers)["ua"]
    return judged


def _with_both(
    bundle: Bundle, dataset: Dataset, ids: Sequence[str]
) -> Iterator[Mapping[str, np.ndarray]]:
    """Batches of the utterances that have voice and words."""
    for batch in read_batches(bundle, dataset, ids).as_numpy_iterator():
        both = batch["has_speech"] & batch["has_text"]
        yield {name: values[both] for name, values in batch.items()}


def _alone(bundle: Bundle, batch: Mapping[str, np.ndarray]) -> np.ndarray:
    """Probabilities (n, 2, classes), in the order of `ABSENT`."""
    count = len(batch["id"])
    if not count:
        return np.zeros((0, len(ABSENT), len(bundle.labels)))
    withheld = ({**batch, flag: np.zeros(count, bool)} for flag in ABSENT.values())
    return np.stack([bundle.probabilities(one) for one in withheld], axis=1)


def summed_modalities(reports: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Mean and deviation over the runs of what `judge_modalities` found in each.

    Args:
        reports: of runs; those with `modalities` count if all have them.

    Returns:
        "both", "speech" and "text", each with `ua` and `wa` as means, `deviation` of UA, and `n`
        of all runs together; empty where a run has none.
    """
    found = [report.get("modalities") for report in reports]
    if not all(found):
        return {}
    summed = {}
    for given in GIVEN:
        rows = [one[given] for one in found]
        over = mean_and_deviation(rows, ("ua", "wa"))
        summed[given] = {
            "ua": over["ua"]["mean"],
            "wa": over["wa"]["mean"],
            "deviation": over["ua"]["deviation"],
            "n": sum(row["n"] for row in rows),
        }
    return summed


def modalities_table(judged: Mapping[str, Any]) -> RenderableType:
    """A row for what the classifier gets."""
    table = Table("given", title="with one modality missing", title_justify="left")
    for heading in ("UA", "", "WA", "n"):
        table.add_column(heading, justify="right")
    for given, row in judged.items():
        figures = (f"{row['ua']:.3f}", spread_text(row), f"{row['wa']:.3f}", str(row["n"]))
        table.add_row(GIVEN[given], *figures)
    return table


def spread_text(row: Mapping[str, Any]) -> str:
    """The interval of one run, or the deviation over several."""
    if "interval" in row:
        low, high = row["interval"]
        return f"[{low:.3f}, {high:.3f}]"
    return f"± {row['deviation']:.3f}"
