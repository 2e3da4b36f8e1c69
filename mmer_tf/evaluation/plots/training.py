"""How a training went, epoch by epoch."""

from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from mmer_tf.evaluation.plots.figure import BLUE, GREEN, ORANGE, new_figure

CURVES = {"loss": "loss", "ua": "UA"}


def draw_training(
    stages: Mapping[str, Sequence[Mapping[str, float]]], best: Mapping[str, int]
) -> Figure:
    """Draw loss and UA of training and validation, stages side by side.

    Args:
        stages: name of each stage -> a row an epoch with `epoch, loss, ua, val_loss, val_ua`; one
            without a name where there are no stages.
        best: stage -> its best epoch.
    """
    figure = new_figure(max(5.8, 3.4 * len(stages)), 5.2)
    grid = figure.subplots(2, len(stages), squeeze=False, sharex="col", sharey="row")
    for column, (stage, rows) in enumerate(stages.items()):
        epochs = [row["epoch"] for row in rows]
        for line, (curve, label) in enumerate(CURVES.items()):
            axes = grid[line, column]
            marker = "o" if len(epochs) < 3 else None  # one point alone draws no line
            for name, part, colour in (("", "training", BLUE), ("val_", "validation", ORANGE)):
                values = [row[name + curve] for row in rows]
                axes.plot(epochs, values, color=colour, marker=marker, label=part)
            axes.axvline(
                best[stage], color=GREEN, linestyle=":", label=f"best epoch: {best[stage]}"
            )
            axes.grid(color="#dddddd", linewidth=0.7)
            axes.spines[["top", "right"]].set_visible(False)
            axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
            if column == 0:
                axes.set_ylabel(label)
            axes.set_xlim(0.5, max(epochs) + 0.5)
        grid[0, column].set_title(stage, fontsize="medium", parse_math=False)
        grid[0, column].legend(fontsize="small")
        grid[1, column].set_xlabel("epoch")
    return figure
