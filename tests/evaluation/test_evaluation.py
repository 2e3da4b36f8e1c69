"""Metrics by scikit-learn and by hand; reports and plots as files."""

import json

import numpy as np
import pytest
from PIL import Image
from sklearn.metrics import accuracy_score, balanced_accuracy_score, f1_score, log_loss

from mmer_tf.cli import console
from mmer_tf.evaluation.metrics import mean_and_deviation, score
from mmer_tf.evaluation.plots import draw_confusion_matrix, save_figure
from mmer_tf.evaluation.predictions import (
    Predictions,
    load_predictions,
    pool,
    predict_dataset,
    save_predictions,
)
from mmer_tf.evaluation.report import absence_notes, report_table, summary_table, write_json

LABELS = ("angry", "happy", "sad")


def make_predictions(seed: int = 0, classes: int = 3) -> Predictions:
    random = np.random.default_rng(seed)
    probabilities = random.dirichlet([1.0, 1.0, 1.0], 50)
    targets = random.integers(0, classes, 50)
    ids = np.array([f"u{seed}-{i:02d}" for i in range(50)])
    return Predictions(ids, targets, probabilities, LABELS)


def test_figures_are_scikit_learns():
    p = make_predictions()
    report = score(p)
    assert report["wa"] == pytest.approx(accuracy_score(p.targets, p.predicted))
    assert report["ua"] == pytest.approx(balanced_accuracy_score(p.targets, p.predicted))
    assert report["macro_f1"] == pytest.approx(f1_score(p.targets, p.predicted, average="macro"))
    assert report["weighted_f1"] == pytest.approx(
        f1_score(p.targets, p.predicted, average="weighted")
    )
    assert report["loss"] == pytest.approx(log_loss(p.targets, p.probabilities), rel=1e-5)
    assert np.sum(report["confusion_matrix"]) == report["n"] == 50
    assert report["absent_classes"] == [] == absence_notes(report)


def test_class_absent_from_the_test_set_is_left_out_of_ua_and_named():
    p = Predictions(
        np.array(["a", "b", "c", "d"]),
        np.array([0, 0, 1, 1]),
        np.eye(3)[[0, 2, 1, 1]],
        LABELS,
    )
    report = score(p)
    assert report["ua"] == pytest.approx((0.5 + 1.0) / 2)
    assert report["macro_f1"] == pytest.approx((2 / 3 + 1.0) / 2)
    assert report["absent_classes"] == ["sad"]
    assert "sad" in absence_notes(report)[0]


def test_perfectly_wrong_certainty_has_a_finite_loss():
    p = Predictions(np.array(["a"]), np.array([0]), np.array([[0.0, 1.0, 0.0]]), LABELS)
    assert np.isfinite(score(p)["loss"])


def test_predictions_come_back_from_disk(tmp_path):
    p = make_predictions()
    save_predictions(p, tmp_path / "predictions.csv")
    again = load_predictions(tmp_path / "predictions.csv")
    assert again.labels == LABELS
    np.testing.assert_array_equal(again.ids, p.ids)
    np.testing.assert_array_equal(again.targets, p.targets)
    np.testing.assert_array_equal(again.probabilities, p.probabilities)


@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_a_near_tie_is_the_same_answer_when_read_again(tmp_path, precision):
    low = np.array(0.4, precision)
    high = np.nextafter(low, np.array(1, precision))
    probabilities = np.array([[low, high, 0.2], [high, low, 0.2], [low, low, 0.2]], precision)
    p = Predictions(np.array(["a", "b", "c"]), np.array([1, 0, 0]), probabilities, LABELS)
    save_predictions(p, tmp_path / "predictions.csv")
    again = load_predictions(tmp_path / "predictions.csv")
    assert list(again.predicted) == list(p.predicted) == [1, 0, 0]
    np.testing.assert_array_equal(again.probabilities.astype(precision), p.probabilities)


def test_predicting_a_dataset_sorts_by_id_and_pooling_keeps_all():
    batches = [
        {"id": np.array([b"c", b"a"]), "label": np.array([2, 0]), "x": np.array([2, 0])},
        {"id": np.array([b"b"]), "label": np.array([1]), "x": np.array([1])},
    ]
    p = predict_dataset(lambda batch: np.eye(3)[batch["x"]], batches, LABELS)
    assert list(p.ids) == ["a", "b", "c"]
    assert list(p.targets) == list(p.predicted) == [0, 1, 2]
    assert score(pool([p, make_predictions()]))["n"] == 53


def test_mean_and_deviation_by_hand():
    reports = [score(make_predictions(seed)) for seed in range(3)]
    for report, wa in zip(reports, (0.2, 0.4, 0.9), strict=True):
        report["wa"] = wa
    summary = mean_and_deviation(reports)
    assert summary["wa"]["mean"] == pytest.approx(0.5)
    assert summary["wa"]["deviation"] == pytest.approx(0.360555, abs=1e-6)
    assert mean_and_deviation(reports[:1])["wa"]["deviation"] == 0.0


def test_report_prints_and_writes(tmp_path):
    report = score(make_predictions()) | {"notes": ["the split is random"]}
    write_json(report, tmp_path / "report.json")
    assert json.loads((tmp_path / "report.json").read_text()) == report
    with console.capture() as captured:
        console.print(report_table(report, "test"))
        console.print(summary_table([("fold 0", report)], mean_and_deviation([report]), "folds"))
    text = captured.get()
    for expected in ("angry", f"{report['ua']:.3f}", "the split is random", "deviation"):
        assert expected in text


def test_many_classes_have_no_table_of_confusions():
    labels = tuple(f"class{i}" for i in range(12))
    p = Predictions(np.array(["a"]), np.array([0]), np.eye(12)[[3]], labels)
    with console.capture() as captured:
        console.print(report_table(score(p) | {"notes": []}, "test"))
    assert "see report.json" in captured.get()
    assert max(map(len, captured.get().splitlines())) <= console.width


def test_confusion_matrix_is_a_picture(tmp_path):
    file = tmp_path / "matrix.png"
    save_figure(draw_confusion_matrix([[8, 2], [0, 0]], ["angry", "sad"], "synthetic"), file)
    with Image.open(file) as image:
        assert image.format == "PNG"
        assert min(image.size) > 300
        assert np.asarray(image).std() > 10
