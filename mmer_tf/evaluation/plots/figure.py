"""A figure without a screen, and the way from it to a PNG."""

import textwrap
from collections.abc import Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from mmer_tf.atomic import replacing

RESOLUTION = 110
"""Dots per inch."""

BLUE, ORANGE, GREEN, GREY = "#1f5fa8", "#c4560a", "#3a7d44", "#777777"
"""Apart in lightness too, so that they are told apart in print and by the colour-blind."""

LONGEST_NAME = 24
"""Letters of a name on an axis."""


def new_figure(width: float, height: float) -> Figure:
    """An empty figure; sizes in inches."""
    figure = Figure(figsize=(width, height), layout="constrained", dpi=RESOLUTION)
    FigureCanvasAgg(figure)
    return figure


def save_figure(figure: Figure, file: Path) -> None:
    """Write a PNG whole or not at all."""
    with replacing(file) as temporary:
        figure.savefig(temporary, format="png")


def set_title(figure: Figure, title: str) -> None:
    """A title over the whole width, in lines that fit; a `$` stays a `$`."""
    if title:
        letters = int(figure.get_figwidth() * 10)
        lines = "\n".join(textwrap.wrap(title, letters))
        figure.suptitle(lines, fontsize="medium", parse_math=False)


def name_bars(axes: Axes, names: Sequence[str]) -> None:
    """Names beside horizontal bars, the first at the top."""
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.4, -0.6)


def short(name: str, longest: int = LONGEST_NAME) -> str:
    """A name that fits on an axis; the page has it in full.

    A `$` would start a formula.

    >>> short("the quick brown fox jumps over the lazy dog", 16)
    'the quick brown…'
    """
    name = name if len(name) <= longest else name[: longest - 1].rstrip() + "…"
    return name.replace("$", r"\$")


def share_axis(axes: Axes, label: str, horizontal: bool = False) -> None:
    """An axis from 0 to 1 with a light grid."""
    (axes.set_xlim if horizontal else axes.set_ylim)(0, 1)
    (axes.set_xlabel if horizontal else axes.set_ylabel)(label)
    axes.grid(axis="x" if horizontal else "y", color="#dddddd", linewidth=0.7)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
