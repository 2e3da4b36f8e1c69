"""Is a classifier right as often as it is sure?"""

from collections.abc import Mapping
from typing import Any

from matplotlib.figure import Figure

from mmer_tf.evaluation.plots.figure import BLUE, GREY, ORANGE, new_figure, set_title, share_axis


def draw_reliability(calibration: Mapping[str, Any], title: str = "") -> Figure:
    """Draw a reliability diagram (Guo et al. 2017, figure 1), and below it how many answers.

    Args:
        calibration: of a report: `bins`, `ece`, and `temperature` and `ece_uncalibrated`, of which
            either may be None.
        title: above the picture.
    """
    bins = calibration["bins"]
    confidence = [one["confidence"] for one in bins]
    accuracy = [one["accuracy"] for one in bins]
    figure = new_figure(5.2, 5.6)
    upper, lower = figure.subplots(2, sharex=True, height_ratios=(3, 1))
    upper.plot([0, 1], [0, 1], color=GREY, linestyle="--", linewidth=1, label="as sure as right")
    gaps = [abs(one - other) for one, other in zip(confidence, accuracy, strict=True)]
    bottoms = [min(pair) for pair in zip(confidence, accuracy, strict=True)]
    upper.bar(confidence, gaps, 0.03, bottoms, color=ORANGE, alpha=0.35, label="gap")
    upper.plot(
        confidence, accuracy, color=BLUE, marker="o", markersize=5, label="answers", clip_on=False
    )
    share_axis(upper, "share of right answers")
    upper.legend(loc="upper left", fontsize="small")
    upper.text(0.97, 0.05, _errors(calibration), ha="right", va="bottom", fontsize="small")
    set_title(figure, title)
    lower.bar(confidence, [one["n"] for one in bins], 0.04, color=BLUE)
    lower.set(xlim=(0, 1), xlabel="probability of the answer", ylabel="answers")
    lower.spines[["top", "right"]].set_visible(False)
    return figure


def _errors(calibration: Mapping[str, Any]) -> str:
    before, temperature = calibration["ece_uncalibrated"], calibration["temperature"]
    if before is None:
        return f"expected calibration error {calibration['ece']:.3f}"
    # Runs that were put together had one each.
    last = "that of each run" if temperature is None else f"temperature {temperature:.2f}"
    return (
        "expected calibration error\n"
        f"{before:.3f} at temperature 1\n{calibration['ece']:.3f} at {last}"
    )
