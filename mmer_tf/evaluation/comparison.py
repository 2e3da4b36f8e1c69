"""Whether one classifier is better than another on the same utterances, or only luckier."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text
from scipy.stats import binomtest

from mmer_tf.evaluation.bootstrap import (
    RESAMPLES,
    accuracies,
    choose_groups,
    percentile_interval,
    resampled_tallies,
)
from mmer_tf.evaluation.metrics import score
from mmer_tf.evaluation.predictions import Predictions, in_order, reorder_classes, restrict

FEW_GROUPS = 10
"""Below so many speakers p is too small: of differences that are none, drawn from a normal
distribution, 9 % come out below 0.05 with ten speakers, 20 % with four, half with two."""


class ComparisonError(ValueError):
    """Two sets of answers that cannot be compared; says why."""


def pair(
    first: Predictions, second: Predictions, names: tuple[str, str] = ("the first", "the second")
) -> tuple[Predictions, Predictions]:
    """The answers for the utterances that both judged, in one order of ids and of classes.

    Raises:
        ComparisonError: other classes, other true classes, an utterance that is judged twice, or
            none that both judged.
    """
    if set(first.labels) != set(second.labels):
        raise ComparisonError(
            f"{names[0]} knows {', '.join(first.labels)} and {names[1]} knows "
            f"{', '.join(second.labels)}; only answers among the same classes can be compared"
        )
    for name, one in zip(names, (first, second), strict=True):
        ids, times = np.unique(one.ids, return_counts=True)
        if times.max(initial=0) > 1:
            raise ComparisonError(
                f"{name} judges '{ids[times.argmax()]}' {times.max()} times, as a summary over "
                "seeds does; compare runs of one seed, or an ensemble of the seeds"
            )
    common = set(first.ids.tolist()) & set(second.ids.tolist())
    if not common:
        raise ComparisonError(
            f"{names[0]} and {names[1]} tested different utterances: none that both judged"
        )
    one = in_order(restrict(first, common))
    other = reorder_classes(in_order(restrict(second, common)), first.labels)
    if (differ := np.flatnonzero(one.targets != other.targets)).size:
        at = differ[0]
        raise ComparisonError(
            f"utterance '{one.ids[at]}' is {first.labels[one.targets[at]]} for {names[0]} and "
            f"{first.labels[other.targets[at]]} for {names[1]}; train them with the same "
            "`data.labels`"
        )
    return one, other


def mcnemar(first: Predictions, second: Predictions) -> dict[str, float]:
    """McNemar's exact test on the utterances of which one of two classifiers alone is right.

    Under the null hypothesis either is the right one equally often, so that their number is
    binomial (McNemar 1947, doi 10.1007/BF02295996; Dietterich 1998,
    doi 10.1162/089976698300017197). It takes utterances for independent, which those of one
    speaker are not: `paired_bootstrap` does without that.

    Returns:
        `both_right, only_first, only_second, both_wrong`, and the two-sided `p`.

    Raises:
        ComparisonError: see `pair`.
    """
    first, second = pair(first, second)
    right, other = first.predicted == first.targets, second.predicted == second.targets
    only_first, only_second = int((right & ~other).sum()), int((other & ~right).sum())
    differ = only_first + only_second
    return {
        "both_right": int((right & other).sum()),
        "only_first": only_first,
        "only_second": only_second,
        "both_wrong": int((~right & ~other).sum()),
        "p": float(binomtest(only_first, differ, 0.5).pvalue) if differ else 1.0,
    }


def paired_bootstrap(
    first: Predictions,
    second: Predictions,
    groups: Mapping[str, str | None],
    *,
    confidence: float = 0.95,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> dict[str, Any]:
    """By how much the first is better, in WA and UA, over resampled speakers.

    Both are scored on the same resamples (Efron and Tibshirani 1993, ch. 13 and 16; Bisani and
    Ney 2004, doi 10.1109/ICASSP.2004.1326009). The two-sided p is twice the share of resamples in
    which the difference is zero or has the other sign, with the sample itself counted among them.

    Args:
        first, second: their answers; utterances that one of them alone judged are left out.
        groups: id -> speaker, as far as known (see `choose_groups`).
        confidence: share of the resamples that the interval holds, between 0 and 1.
        resamples: how many are drawn.
        seed: of the draws.

    Returns:
        `wa` and `ua`, each with `difference` (first minus second), `interval` [low, high] and
        `p`; `over`, "speakers" or "utterances"; `groups`, how many of those there are.

    Raises:
        ComparisonError: see `pair`.
        ValueError: `confidence` out of range.
    """
    first, second = pair(first, second)
    over, drawn = choose_groups(first, groups)
    counts, (hits, other_hits) = resampled_tallies(
        [first, second], drawn, resamples=resamples, seed=seed
    )
    scores, other_scores = score(first), score(second)
    one, other = accuracies(counts, hits), accuracies(counts, other_hits)
    found: dict[str, Any] = {}
    for figure in ("wa", "ua"):
        # Rounded, so that an exact draw is not taken for a win by the last bit.
        differences = np.round(one[figure] - other[figure], 12)
        below, above = (differences <= 0).sum(), (differences >= 0).sum()
        found[figure] = {
            "difference": scores[figure] - other_scores[figure],
            "interval": list(percentile_interval(differences, confidence)),
            "p": min(1.0, float(2 * (1 + min(below, above)) / (1 + resamples))),
        }
    return {**found, "over": over, "groups": len(set(drawn))}


def compare(
    first: Predictions,
    second: Predictions,
    groups: Mapping[str, str | None],
    names: tuple[str, str],
) -> dict[str, Any]:
    """Both tests, and what each scores on the utterances that both judged.

    Args:
        first, second: answers.
        groups: id -> speaker, as far as known.
        names: what the two are called.

    Returns:
        `runs` (of each `run, wa, ua`, and `left_out`, utterances that it alone judged), `n`,
        `difference` as of `paired_bootstrap`, `mcnemar`, `notes`.

    Raises:
        ComparisonError: see `pair`.
    """
    one, other = pair(first, second, names)
    runs = []
    for name, whole, common in zip(names, (first, second), (one, other), strict=True):
        figures = score(common)
        left_out = len(whole.ids) - len(common.ids)
        runs.append({"run": name, "wa": figures["wa"], "ua": figures["ua"], "left_out": left_out})
    difference = paired_bootstrap(one, other, groups)
    return {
        "runs": runs,
        "n": len(one.ids),
        "difference": difference,
        "mcnemar": mcnemar(one, other),
        "notes": _notes(runs, difference),
    }


def comparison_table(comparison: Mapping[str, Any], title: str) -> RenderableType:
    """The two side by side, the difference with its interval, and McNemar's four counts."""
    first, second = comparison["runs"]
    difference, test = comparison["difference"], comparison["mcnemar"]
    drawn = f"{difference['groups']} {difference['over']}"
    table = Table("", title=title, title_justify="left")
    for heading in ("first", "second", "difference", f"95 % over {drawn}", "p"):
        table.add_column(heading, justify="right")
    for figure in ("wa", "ua"):
        low, high = difference[figure]["interval"]
        table.add_row(
            figure.upper(),
            f"{first[figure]:.3f}",
            f"{second[figure]:.3f}",
            f"{difference[figure]['difference']:+.3f}",
            f"[{low:+.3f}, {high:+.3f}]",
            f"{difference[figure]['p']:.4f}",
        )
    lines = (
        f"first: {first['run']}",
        f"second: {second['run']}",
        f"{comparison['n']} utterances: both right {test['both_right']}, only the first "
        f"{test['only_first']}, only the second {test['only_second']}, both wrong "
        f"{test['both_wrong']}; McNemar's exact p {test['p']:.4f}",
        *(f"note: {note}" for note in comparison["notes"]),
    )
    return Group(table, *map(Text, lines))


def _notes(runs: list[dict[str, Any]], difference: Mapping[str, Any]) -> list[str]:
    notes = [
        f"utterances left out because {run['run']} alone judged them: {run['left_out']}"
        for run in runs
        if run["left_out"]
    ]
    if difference["over"] == "utterances":
        notes.append(
            "speakers are not known, so utterances were drawn: intervals are too narrow where "
            "utterances of one speaker are alike"
        )
    elif difference["groups"] < FEW_GROUPS:
        notes.append(
            f"{difference['groups']} speakers are few: intervals are too narrow and p too small"
        )
    return notes
