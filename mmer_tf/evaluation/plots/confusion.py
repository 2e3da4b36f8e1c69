"""Which classes are taken for which."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from mmer_tf.evaluation.plots.figure import new_figure, set_title, short

CELL, SMALLEST_CELL = 0.62, 0.3
"""Width of a cell in inches, with few classes and with many."""

DARK = 0.55
"""From this share on a cell is so dark that its figure is white."""


def draw_confusion_matrix(
    matrix: Sequence[Sequence[int]],
    labels: Sequence[str],
    title: str = "",
    *,
    normalised: bool = False,
) -> Figure:
    """Draw a matrix of confusions, coloured by the share of each true class.

    Args:
        matrix: (classes, classes) counts; rows are true classes.
        labels: class names.
        title: above the picture.
        normalised: write the share of the true class into the cells, in per cent, instead of the
            count.
    """
    counts = np.asarray(matrix)
    share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    many = len(labels) > 12
    cell = SMALLEST_CELL if many else CELL
    size = 2.2 + cell * len(labels)
    names = [short(label) for label in labels]
    figure = new_figure(size + 1.0, size)
    axes = figure.add_subplot()
    image = axes.imshow(share, cmap="Blues", vmin=0, vmax=1)
    axes.set_xticks(range(len(names)), names, rotation=90 if many else 45, ha="center")
    if not many:
        for name in axes.get_xticklabels():
            name.set(ha="right", rotation_mode="anchor")
    axes.set_yticks(range(len(names)), names)
    axes.set(xlabel="predicted", ylabel="true")
    set_title(figure, title)
    for (row, column), count in np.ndenumerate(counts):
        if many and not count:
            continue  # among hundreds of cells the empty ones would hide the others
        value = share[row, column]
        text = f"{100 * value:.0f}" + ("" if many else "%") if normalised else f"{count}"
        axes.text(
            column,
            row,
            text,
            ha="center",
            va="center",
            fontsize=7 if many else 10,
            color="white" if value > DARK else "black",
        )
    figure.colorbar(image, ax=axes, label="share of the true class", shrink=0.7)
    return figure
