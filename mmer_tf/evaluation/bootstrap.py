"""How far a figure would move with other speakers: a bootstrap interval over groups."""

from collections.abc import Sequence
from typing import Literal

import numpy as np

from mmer_tf.evaluation.predictions import Predictions


def bootstrap_interval(
    predictions: Predictions,
    groups: Sequence[str],
    figure: Literal["wa", "ua"] = "ua",
    *,
    confidence: float = 0.95,
    resamples: int = 10_000,
    seed: int = 0,
) -> tuple[float, float]:
    """Percentile interval of WA or UA over resampled groups (Efron and Tibshirani 1993, ch. 13).

    Whole groups are drawn with replacement, as many as there are, and their utterances pooled:
    utterances of one speaker are alike, so drawing utterances would give too narrow an interval.
    A class that no drawn group has is left out of that resample's UA, as in `score`.

    Args:
        predictions: n answers.
        groups: (n,) the speaker, or whatever is drawn, of each answer.
        figure: weighted or unweighted accuracy.
        confidence: share of the resamples that the interval holds, between 0 and 1.
        resamples: how many are drawn.
        seed: of the draws.

    Returns:
        Lower and upper end.

    Raises:
        ValueError: not one group an answer, or `confidence` out of range.
    """
    if len(groups) != len(predictions.ids):
        raise ValueError(
            f"`groups` must name one for each of the {len(predictions.ids)} answers. "
            f"Received: {len(groups)}."
        )
    if not 0 < confidence < 1:
        raise ValueError(f"`confidence` must be between 0 and 1. Received: {confidence}.")
    names, group = np.unique(np.asarray(groups), return_inverse=True)
    counts = np.zeros((len(names), len(predictions.labels)))  # (groups, classes)
    hits = np.zeros_like(counts)
    np.add.at(counts, (group, predictions.targets), 1)
    np.add.at(hits, (group, predictions.targets), predictions.predicted == predictions.targets)
    drawn = np.random.default_rng(seed).integers(0, len(names), (resamples, len(names)))
    counts, hits = counts[drawn].sum(axis=1), hits[drawn].sum(axis=1)  # (resamples, classes)
    if figure == "wa":
        values = hits.sum(axis=1) / counts.sum(axis=1)
    else:
        recalls = hits / np.maximum(counts, 1)
        values = recalls.sum(axis=1) / (counts > 0).sum(axis=1)
    tail = (1 - confidence) / 2
    low, high = np.quantile(values, [tail, 1 - tail])
    return float(low), float(high)
