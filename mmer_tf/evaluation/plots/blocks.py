"""Where the classes lie among the vectors of a block."""

from collections.abc import Sequence

import numpy as np
from matplotlib import colormaps
from matplotlib.figure import Figure

from mmer_tf.evaluation.plots.figure import new_figure, set_title, short

MARKERS = "os^DvP*X<>hp"


def draw_block(
    points: np.ndarray, targets: np.ndarray, labels: Sequence[str], title: str = ""
) -> Figure:
    """Draw vectors brought to two dimensions, one colour and mark for each true class.

    Args:
        points: (n, 2).
        targets: (n,) int, the true classes.
        labels: class names.
        title: above the picture.
    """
    colours = colormaps["tab10" if len(labels) <= 10 else "turbo"]
    figure = new_figure(5.4, 4.8 + 0.16 * (len(labels) // 3))
    axes = figure.add_subplot()
    for number in np.unique(targets):
        here = points[targets == number]
        colour = colours(number if len(labels) <= 10 else number / (len(labels) - 1))
        axes.scatter(
            *here.T,
            s=22,
            color=colour,
            marker=MARKERS[number % len(MARKERS)],
            alpha=0.8,
            linewidths=0,
            label=short(labels[number], 18),
        )
    axes.set(xticks=[], yticks=[])  # t-SNE's axes have no meaning
    set_title(figure, title)
    figure.legend(
        loc="outside lower center",
        ncols=min(4 if len(labels) <= 8 else 3, len(labels)),
        fontsize="small",
    )
    return figure
