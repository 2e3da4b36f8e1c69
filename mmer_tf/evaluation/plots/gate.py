"""How much each class leans on the voice."""

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure

from mmer_tf.evaluation.plots.figure import (
    BLUE,
    name_bars,
    new_figure,
    set_title,
    share_axis,
    short,
)


def draw_gate(gate: Mapping[str, Mapping[str, float]], title: str = "") -> Figure:
    """Draw the mean share of the voice of each true class, and its deviation.

    Args:
        gate: class -> `mean, deviation, n`.
        title: above the picture.
    """
    place = np.arange(len(gate))
    means = np.array([row["mean"] for row in gate.values()])
    deviations = np.array([row["deviation"] for row in gate.values()])
    figure = new_figure(5.6, 1.6 + 0.36 * len(gate))
    axes = figure.add_subplot()
    axes.barh(place, means, 0.6, color=BLUE)
    axes.errorbar(means, place, xerr=deviations, fmt="none", ecolor="black", capsize=2)
    axes.axvline(0.5, color="black", linewidth=0.8, linestyle=":")
    name_bars(axes, [f"{short(label)} ({row['n']})" for label, row in gate.items()])
    share_axis(axes, "0 is all words, 1 all voice", horizontal=True)
    set_title(figure, title)
    return figure
