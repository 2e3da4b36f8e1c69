"""Pictures of results."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure


def plot_confusion_matrix(
    matrix: Sequence[Sequence[int]], labels: Sequence[str], file: Path, title: str = ""
) -> None:
    """Draw counts, coloured by the share of each true class.

    Args:
        matrix: (classes, classes) counts; rows are true classes.
        labels: class names.
        file: the PNG to write.
        title: above the picture.
    """
    counts = np.asarray(matrix)
    share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    size = 2.6 + 0.62 * len(labels)
    figure = Figure(figsize=(size + 0.8, size), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    image = axes.imshow(share, cmap="Blues", vmin=0, vmax=1)
    axes.set_xticks(range(len(labels)), labels, rotation=45, ha="right")
    axes.set_yticks(range(len(labels)), labels)
    axes.set(xlabel="predicted", ylabel="true", title=title)
    axes.title.set_fontsize("medium")
    for (row, column), count in np.ndenumerate(counts):
        axes.text(
            column,
            row,
            f"{count}\n{share[row, column]:.0%}",
            ha="center",
            va="center",
            fontsize="small",
            color="white" if share[row, column] > 0.55 else "black",
        )
    figure.colorbar(image, ax=axes, label="share of the true class", shrink=0.8)
    figure.savefig(file, dpi=130)
