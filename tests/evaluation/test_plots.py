"""Pictures show what they are given: the axes' content is compared, not pixels."""

import itertools

import numpy as np
import pytest
from PIL import Image
from scipy.stats import norm

from mmer_tf.evaluation.attention import Example, Stretch
from mmer_tf.evaluation.plots import (
    draw_attention,
    draw_block,
    draw_classes,
    draw_confusion_matrix,
    draw_gate,
    draw_groups,
    draw_reliability,
    draw_robustness,
    draw_training,
    save_figure,
)
from mmer_tf.evaluation.plots.attention import envelope
from mmer_tf.evaluation.plots.bars import wilson_interval

LABELS = ("angry", "happy", "sad")
COUNTS = [[8, 2, 0], [1, 3, 0], [0, 0, 0]]


def texts(axes) -> list[str]:
    return [text.get_text() for text in axes.texts]


def names(ticks) -> list[str]:
    return [tick.get_text() for tick in ticks]


def test_confusion_matrix_has_counts_or_shares_and_is_coloured_by_shares(tmp_path):
    counts = draw_confusion_matrix(COUNTS, LABELS, "a title")
    shares = draw_confusion_matrix(COUNTS, LABELS, normalised=True)
    assert texts(counts.axes[0]) == ["8", "2", "0", "1", "3", "0", "0", "0", "0"]
    assert texts(shares.axes[0]) == ["80%", "20%", "0%", "25%", "75%", "0%", "0%", "0%", "0%"]
    for figure in (counts, shares):
        coloured = figure.axes[0].images[0].get_array()
        np.testing.assert_allclose(coloured, [[0.8, 0.2, 0], [0.25, 0.75, 0], [0, 0, 0]])
        assert names(figure.axes[0].get_yticklabels()) == list(LABELS)
    save_figure(counts, tmp_path / "matrix.png")
    with Image.open(tmp_path / "matrix.png") as image:
        assert image.format == "PNG" and np.asarray(image).std() > 10


@pytest.mark.parametrize("classes", [2, 28])
def test_names_of_classes_do_not_overlap(classes):
    labels = [f"class {number} with a name that is rather long" for number in range(classes)]
    figure = draw_confusion_matrix(np.eye(classes, dtype=int) * 3, labels, "title " * 40)
    figure.canvas.draw()
    axes = figure.axes[0]
    for ticks in (axes.get_xticklabels(), axes.get_yticklabels()):
        if classes == 2 and ticks == axes.get_xticklabels():
            continue  # slanted names: their boxes overlap, they do not
        boxes = [tick.get_window_extent() for tick in ticks]
        assert not any(one.overlaps(other) for one, other in itertools.pairwise(boxes))
    title = figure._suptitle.get_window_extent()
    assert title.x0 >= 0 and title.x1 <= figure.bbox.x1
    assert not title.overlaps(axes.get_window_extent())


def test_a_dollar_in_a_name_starts_no_formula():
    figure = draw_confusion_matrix(np.eye(2, dtype=int), ["$x_1$", "$\\broken{"], "$\\broken{")
    figure.canvas.draw()  # a broken formula would raise here


def test_bars_of_classes_and_their_interval():
    per_class = {
        "angry": {"precision": 0.5, "recall": 0.8, "f1": 0.6, "n": 10},
        "absent": {"precision": 0.0, "recall": 0.0, "f1": 0.0, "n": 0},
        "sad": {"precision": 1.0, "recall": 1.0, "f1": 1.0, "n": 4},
    }
    (axes,) = draw_classes(per_class, "classes").axes
    assert names(axes.get_yticklabels()) == ["angry (10)", "sad (4)"]
    widths = [[bar.get_width() for bar in bars] for bars in axes.containers[:3]]
    assert widths == [[0.5, 1.0], [0.8, 1.0], [0.6, 1.0]]
    whiskers = axes.containers[3].lines[2][0].get_segments()
    np.testing.assert_allclose(whiskers[0][:, 0], wilson_interval(8, 10))


def test_wilson_by_its_formula():
    z, n, p = norm.ppf(0.975), 50, 0.82
    centre = (p + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * np.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
    assert wilson_interval(41, 50) == pytest.approx((centre - half, centre + half))


def test_of_many_speakers_the_worst_are_drawn():
    groups = {f"s{n:02d}": {"wa": n / 80, "ua": n / 80, "n": 80} for n in range(80)}
    figure = draw_groups(groups, "speakers")
    shown = names(figure.axes[0].get_yticklabels())
    assert len(shown) == 60 and shown[0] == "s00 (80)" and "s79 (80)" not in shown
    assert "60 with the lowest" in figure._suptitle.get_text().replace("\n", " ")


def test_reliability_diagram_has_the_bins_and_both_errors():
    bins = [
        {"confidence": 0.3, "accuracy": 0.5, "n": 10},
        {"confidence": 0.9, "accuracy": 0.8, "n": 30},
    ]
    calibration = {"temperature": 1.5, "ece": 0.125, "ece_uncalibrated": 0.2, "bins": bins}
    upper, lower = draw_reliability(calibration, "reliability").axes
    points = next(line for line in upper.lines if line.get_label() == "answers").get_xydata()
    np.testing.assert_allclose(points, [[0.3, 0.5], [0.9, 0.8]])
    assert [bar.get_height() for bar in lower.patches] == [10, 30]
    assert "0.200 at temperature 1" in texts(upper)[0] and "0.125" in texts(upper)[0]
    alone = draw_reliability(calibration | {"temperature": None, "ece_uncalibrated": None})
    assert "temperature" not in texts(alone.axes[0])[0]
    pooled = draw_reliability(calibration | {"temperature": None})
    assert "0.200 at temperature 1\n0.125 at that of each run" in texts(pooled.axes[0])[0]


def test_training_curves_of_two_stages():
    def epoch(number: int) -> dict[str, float]:
        figures = {"loss": 1 / number, "ua": 0.5, "val_loss": 2.0, "val_ua": 0.1 * number}
        return {"epoch": number} | figures

    stages = {"1-speech": [epoch(1), epoch(2), epoch(3)], "2-head": [epoch(1)]}
    figure = draw_training(stages, {"1-speech": 3, "2-head": 1})
    loss, _, ua, _ = figure.axes
    assert loss.get_title() == "1-speech"
    np.testing.assert_allclose(loss.lines[0].get_xydata(), [[1, 1], [2, 1 / 2], [3, 1 / 3]])
    np.testing.assert_allclose(ua.lines[1].get_xydata(), [[1, 0.1], [2, 0.2], [3, 0.3]])
    assert ua.lines[2].get_xdata()[0] == 3  # the best epoch


def test_block_has_a_colour_and_a_mark_for_each_class():
    points = np.arange(12.0).reshape(6, 2)
    (axes,) = draw_block(points, np.array([0, 2, 0, 2, 2, 0]), LABELS, "a block").axes
    first, second = axes.collections
    np.testing.assert_allclose(first.get_offsets(), points[[0, 2, 5]])
    np.testing.assert_allclose(second.get_offsets(), points[[1, 3, 4]])
    assert [part.get_label() for part in axes.collections] == ["angry", "sad"]
    assert not np.array_equal(first.get_facecolor(), second.get_facecolor())


def test_gate_and_robustness_bars():
    gate = {"angry": {"mean": 0.7, "deviation": 0.1, "n": 3}}
    (axes,) = draw_gate(gate).axes
    assert axes.patches[0].get_width() == 0.7
    rows = [
        {"condition": "clean", "ua": 0.8, "unchanged": 1.0},
        {"condition": "noise at 0 dB", "ua": 0.5, "unchanged": 0.6},
    ]
    (axes,) = draw_robustness(rows).axes
    widths = [[bar.get_width() for bar in bars] for bars in axes.containers]
    assert widths == [[0.8, 0.5], [1.0, 0.6]]
    assert names(axes.get_yticklabels()) == ["clean", "noise at 0 dB"]


def test_attention_stands_where_it_was_heard():
    voice = (Stretch(0.0, 0.5, 0.2), Stretch(0.5, 0.8, 0.8))
    waveform = np.linspace(-1, 1, 12_800, dtype="float32")
    words = (("well", 0.25), ("now", 0.75))
    example = Example("u1", "angry", "sad", 0.9, "well now", waveform, voice, words)
    figure = draw_attention(example)
    lower, weights = figure.axes[1], figure.axes[2]
    bars = [(bar.get_x(), bar.get_width(), bar.get_height()) for bar in weights.patches]
    np.testing.assert_allclose(bars, [(0, 0.5, 0.2), (0.5, 0.3, 0.8)])
    assert [bar.get_height() for bar in lower.patches] == [0.25, 0.75]
    assert names(lower.get_xticklabels()) == ["well", "now"]
    assert "angry, taken for sad (90%)" in figure._suptitle.get_text()


def test_of_many_words_the_heaviest_are_drawn_in_their_order():
    words = tuple((f"w{n}", 1 / (1 + n % 50)) for n in range(100))
    figure = draw_attention(Example("u1", "angry", "angry", 0.9, "", words=words))
    shown = [int(name[1:]) for name in names(figure.axes[0].get_xticklabels())]
    assert shown == sorted(shown) == [*range(20), *range(50, 70)]


def test_nothing_to_draw_is_said():
    with pytest.raises(ValueError, match="u1"):
        draw_attention(Example("u1", "angry", "angry", 0.9, ""))


@pytest.mark.parametrize("samples", [1, 7, 16_000])
def test_envelope_holds_every_extreme(samples):
    waveform = np.random.default_rng(0).normal(size=samples)
    seconds, ends = envelope(waveform, points=100)
    assert len(seconds) == len(ends) == min(samples, 100) and seconds[0] == 0
    assert (ends[:, 0].min(), ends[:, 1].max()) == (waveform.min(), waveform.max())
    assert (ends[:, 0] <= ends[:, 1]).all()
