"""Figures of each class and of each speaker as bars, with intervals."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from scipy.stats import binomtest

from mmer_tf.evaluation.plots.figure import (
    BLUE,
    GREEN,
    ORANGE,
    name_bars,
    new_figure,
    set_title,
    share_axis,
    short,
)

MOST_GROUPS = 60
"""Speakers that fit below each other; of more, the worst are shown."""


def wilson_interval(right: int, n: int) -> tuple[float, float]:
    """95 % interval of a share of right answers, as if they were independent.

    Wilson 1927 (doi 10.1080/01621459.1927.10502953).
    """
    found = binomtest(right, n).proportion_ci(0.95, method="wilson")
    return float(found.low), float(found.high)


def draw_classes(per_class: Mapping[str, Mapping[str, float]], title: str = "") -> Figure:
    """Draw precision, recall and F1 of each class; recall with its interval over utterances.

    Args:
        per_class: of a report: class -> `precision, recall, f1, n`. Classes without utterances
            have no bar.
        title: above the picture.
    """
    shown = {label: row for label, row in per_class.items() if row["n"]}
    place = np.arange(len(shown))
    figure = new_figure(5.8, 1.5 + (0.55 if len(shown) < 12 else 0.42) * len(shown))
    axes = figure.add_subplot()
    bars = {"precision": BLUE, "recall": ORANGE, "f1": GREEN}
    for number, (name, colour) in enumerate(bars.items()):
        values = [row[name] for row in shown.values()]
        heading = "F1" if name == "f1" else name
        axes.barh(place + (number - 1) * 0.27, values, 0.25, color=colour, label=heading)
    rights = [round(row["recall"] * row["n"]) for row in shown.values()]
    _whiskers(axes, place, rights, [row["n"] for row in shown.values()])
    names = [f"{short(label)} ({row['n']})" for label, row in shown.items()]
    name_bars(axes, names)
    share_axis(axes, "share", horizontal=True)
    set_title(figure, title)
    figure.legend(loc="outside lower center", ncols=4, fontsize="small")
    return figure


def draw_groups(groups: Mapping[str, Mapping[str, float]], title: str = "") -> Figure:
    """Draw WA with its interval over utterances, and UA as a mark, of each speaker or gender.

    Args:
        groups: of a report: name -> `wa, ua, n`.
        title: above the picture.
    """
    shown: Sequence[tuple[str, Mapping[str, Any]]] = list(groups.items())
    if len(shown) > MOST_GROUPS:
        shown = sorted(shown, key=lambda item: (item[1]["wa"], item[0]))[:MOST_GROUPS]
        title = f"{title}: the {MOST_GROUPS} with the lowest WA of {len(groups)}"
    place = np.arange(len(shown))
    counts = [row["n"] for _, row in shown]
    figure = new_figure(5.8, 1.5 + 0.3 * len(shown))
    axes = figure.add_subplot()
    axes.barh(place, [row["wa"] for _, row in shown], 0.6, color=BLUE, label="WA")
    axes.plot([row["ua"] for _, row in shown], place, "D", color=ORANGE, markersize=5, label="UA")
    _whiskers(axes, place, [round(row["wa"] * row["n"]) for _, row in shown], counts)
    names = [f"{short(name)} ({count})" for (name, _), count in zip(shown, counts, strict=True)]
    name_bars(axes, names)
    share_axis(axes, "share", horizontal=True)
    set_title(figure, title)
    figure.legend(loc="outside lower center", ncols=3, fontsize="small")
    return figure


def _whiskers(axes, place, rights: Sequence[int], counts: Sequence[int]) -> None:
    ends = [wilson_interval(right, n) for right, n in zip(rights, counts, strict=True)]
    shares = [right / n for right, n in zip(rights, counts, strict=True)]
    # Rounding may put an end a hair beyond the share itself.
    lower = [max(0.0, share - low) for share, (low, _) in zip(shares, ends, strict=True)]
    upper = [max(0.0, high - share) for share, (_, high) in zip(shares, ends, strict=True)]
    axes.errorbar(
        shares,
        place,
        xerr=[lower, upper],
        fmt="none",
        ecolor="black",
        elinewidth=1,
        capsize=2,
        label="95 % interval",
    )
