"""What is left of a classifier's figures when its input gets worse."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from mmer_tf.evaluation.plots.figure import (
    BLUE,
    GREY,
    ORANGE,
    name_bars,
    new_figure,
    set_title,
    share_axis,
    short,
)


def draw_robustness(rows: Sequence[Mapping[str, Any]], title: str = "") -> Figure:
    """Draw UA and the share of unchanged answers in each condition.

    Args:
        rows: of a report: `condition, ua, unchanged`, the first being the input as it is.
        title: above the picture.
    """
    place = np.arange(len(rows))
    figure = new_figure(6, 1.6 + 0.42 * len(rows))
    axes = figure.add_subplot()
    axes.barh(place - 0.19, [row["ua"] for row in rows], 0.36, color=BLUE, label="UA")
    unchanged = [row["unchanged"] for row in rows]
    axes.barh(place + 0.19, unchanged, 0.36, color=ORANGE, label="unchanged answers")
    axes.axvline(rows[0]["ua"], color=GREY, linestyle="--", linewidth=1)
    name_bars(axes, [short(row["condition"], 36) for row in rows])
    share_axis(axes, "share", horizontal=True)
    set_title(figure, title)
    figure.legend(loc="outside lower center", ncols=2, fontsize="small")
    return figure
