"""What a classifier looked at in one utterance."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mmer_tf.evaluation.attention import Example
from mmer_tf.evaluation.plots.figure import (
    BLUE,
    GREY,
    ORANGE,
    new_figure,
    set_title,
    short,
)
from mmer_tf.types import SAMPLE_RATE

MOST_WORDS = 40
"""Words that fit side by side; of more, the heaviest are shown."""

ENVELOPE_POINTS = 600


def envelope(waveform: np.ndarray, points: int = ENVELOPE_POINTS) -> tuple[np.ndarray, np.ndarray]:
    """Lowest and highest sample of each of `points` stretches, or of each sample of a short clip.

    Args:
        waveform: (samples,).
        points: how many at most.

    Returns:
        Seconds (points,) at which the stretches begin, and (points, 2).
    """
    starts = np.unique(np.linspace(0, len(waveform), min(points, len(waveform)) + 1).astype(int))
    starts = starts[:-1]
    ends = np.stack(
        [np.minimum.reduceat(waveform, starts), np.maximum.reduceat(waveform, starts)], axis=1
    )
    return starts / SAMPLE_RATE, ends


def draw_attention(example: Example) -> Figure:
    """Draw the waveform under the attention over it, and the words with theirs."""
    parts = [part for part in ("voice", "words") if getattr(example, part)]
    if not parts:
        raise ValueError(f"utterance '{example.id}' has no attention to draw.")
    figure = new_figure(6.2, 0.6 + 2.1 * len(parts))
    rows = figure.subplots(len(parts), squeeze=False)[:, 0]
    for part, axes in zip(parts, rows, strict=True):
        (_draw_voice if part == "voice" else _draw_words)(axes, example)
    title = f"{short(example.id, 40)}: {short(example.true)}"
    if example.predicted != example.true:
        title += f", taken for {short(example.predicted)}"
    set_title(figure, f"{title} ({example.probability:.0%})".replace(r"\$", "$"))
    return figure


def _draw_voice(axes: Axes, example: Example) -> None:
    if example.waveform is not None and len(example.waveform):
        seconds, ends = envelope(example.waveform)
        low, high = ends.T / max(np.abs(ends).max(), 1e-9)
        axes.fill_between(seconds, low, high, color=GREY, alpha=0.55, linewidth=0, step="post")
    axes.set(ylim=(-1.05, 1.05), yticks=[], xlabel="seconds", ylabel="waveform")
    weights = axes.twinx()
    edges = np.array([[one.start, one.end] for one in example.voice])
    heights = [one.weight for one in example.voice]
    widths = edges[:, 1] - edges[:, 0]
    weights.bar(edges[:, 0], heights, widths, align="edge", color=ORANGE, alpha=0.6, linewidth=0)
    weights.set(ylim=(0, max(heights) * 1.1 or 1), xlim=(0, edges.max()))
    weights.set_ylabel("attention", color=ORANGE)
    for one in (axes, weights):
        one.spines["top"].set_visible(False)


def _draw_words(axes: Axes, example: Example) -> None:
    words = list(enumerate(example.words))
    note = ""
    if len(words) > MOST_WORDS:
        heaviest = sorted(words, key=lambda item: (-item[1][1], item[0]))[:MOST_WORDS]
        words, note = sorted(heaviest), f" (the {MOST_WORDS} heaviest of {len(words)})"
    names = [short(word, 16) for _, (word, _) in words]
    axes.bar(range(len(words)), [weight for _, (_, weight) in words], color=BLUE)
    axes.set_xticks(range(len(words)), names, rotation=60, ha="right", rotation_mode="anchor")
    if len(words) > 20:
        axes.tick_params(axis="x", labelsize="small")
    axes.set(ylabel="attention", xlabel=f"words{note}", xlim=(-0.7, max(len(words), 8) - 0.3))
    axes.spines[["top", "right"]].set_visible(False)
