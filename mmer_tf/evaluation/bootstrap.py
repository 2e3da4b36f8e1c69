"""How far a figure would move with other speakers: bootstrap intervals over groups."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np

from mmer_tf.evaluation.predictions import Predictions

RESAMPLES = 10_000
CONFIDENCE = 0.95

_NUMBERS_AT_ONCE = 1 << 22
"""Drawn together, so that thousands of groups do not fill the memory."""


def bootstrap_interval(
    predictions: Predictions,
    groups: Sequence[str],
    figure: Literal["wa", "ua"] = "ua",
    *,
    confidence: float = CONFIDENCE,
    resamples: int = RESAMPLES,
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
    counts, (hits,) = resampled_tallies([predictions], groups, resamples=resamples, seed=seed)
    return percentile_interval(accuracies(counts, hits)[figure], confidence)


def intervals(predictions: Predictions, speakers: Mapping[str, str | None]) -> dict[str, Any]:
    """The 95 % intervals of a report.

    They hold over other speakers where at least two are known (see `choose_groups`), else over
    other utterances of the same speakers only, which is narrower.

    Args:
        predictions: n answers.
        speakers: id -> speaker, as far as known.

    Returns:
        `wa` and `ua`, each [low, high]; `over`, "speakers" or "utterances"; `groups`, how many
        of those there are.
    """
    over, groups = choose_groups(predictions, speakers)
    counts, (hits,) = resampled_tallies([predictions], groups)
    drawn = accuracies(counts, hits)
    ends = {figure: list(percentile_interval(values)) for figure, values in drawn.items()}
    return {**ends, "over": over, "groups": len(set(groups))}


def choose_groups(
    predictions: Predictions, speakers: Mapping[str, str | None]
) -> tuple[Literal["speakers", "utterances"], list[str]]:
    """What is drawn: speakers where at least two are known, else utterances.

    Args:
        predictions: n answers.
        speakers: id -> speaker; an utterance of an unknown one counts as a speaker of its own.

    Returns:
        Which of the two, and (n,) the group of each answer.
    """
    ids = [str(id) for id in predictions.ids]
    known = {speaker for id in ids if (speaker := speakers.get(id)) is not None}
    if len(known) < 2:
        return "utterances", ids
    # The prefix keeps an id from being taken for a speaker of the same name.
    return "speakers", [
        f"speaker {speaker}" if (speaker := speakers.get(id)) is not None else f"utterance {id}"
        for id in ids
    ]


def resampled_tallies(
    judges: Sequence[Predictions],
    groups: Sequence[str],
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> tuple[np.ndarray, list[np.ndarray]]:
    """Utterances and right answers of each class in every resample of the groups.

    Args:
        judges: answers of one or several classifiers for the same n utterances in the same order;
            all are resampled alike, so that they can be compared pair by pair.
        groups: (n,) what is drawn.
        resamples: how many are drawn.
        seed: of the draws.

    Returns:
        Utterances (resamples, classes), and of each judge its right answers, shaped alike.

    Raises:
        ValueError: not one group an answer.
    """
    first = judges[0]
    if len(groups) != len(first.ids):
        raise ValueError(
            f"`groups` must name one for each of the {len(first.ids)} answers. "
            f"Received: {len(groups)}."
        )
    names, group = np.unique(np.asarray(groups), return_inverse=True)
    classes = len(first.labels)
    tallies = np.zeros((1 + len(judges), len(names), classes))
    np.add.at(tallies[0], (group, first.targets), 1)
    for number, judge in enumerate(judges, 1):
        np.add.at(tallies[number], (group, judge.targets), judge.predicted == judge.targets)
    random = np.random.default_rng(seed)
    rows = max(1, _NUMBERS_AT_ONCE // len(names))
    parts = []
    for begin in range(0, resamples, rows):
        drawn = random.integers(0, len(names), (min(rows, resamples - begin), len(names)))
        parts.append(_times_drawn(drawn) @ tallies)  # (1 + judges, rows, classes)
    counts, *hits = np.concatenate(parts, axis=1)
    return counts, hits


def _times_drawn(drawn: np.ndarray) -> np.ndarray:
    """(resamples, groups) how often each group was drawn, from the numbers of those drawn."""
    rows, groups = drawn.shape
    place = drawn + groups * np.arange(rows)[:, None]
    times = np.bincount(place.ravel(), minlength=rows * groups)
    return times.reshape(rows, groups).astype("float64")


def accuracies(counts: np.ndarray, hits: np.ndarray) -> dict[str, np.ndarray]:
    """WA and UA, each (resamples,), of utterances and right answers (resamples, classes)."""
    recalls = hits / np.maximum(counts, 1)
    return {
        "wa": hits.sum(axis=1) / counts.sum(axis=1),
        "ua": recalls.sum(axis=1) / (counts > 0).sum(axis=1),
    }


def percentile_interval(values: np.ndarray, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """The middle of resampled values.

    Raises:
        ValueError: `confidence` is not between 0 and 1.
    """
    if not 0 < confidence < 1:
        raise ValueError(f"`confidence` must be between 0 and 1. Received: {confidence}.")
    tail = (1 - confidence) / 2
    low, high = np.quantile(values, [tail, 1 - tail])
    return float(low), float(high)
