"""Calibration by hand, by scikit-learn's curve and by a brute-force grid of temperatures."""

import numpy as np
import pytest
from sklearn.calibration import calibration_curve
from sklearn.metrics import log_loss

from mmer_tf.evaluation.calibration import (
    HIGHEST_TEMPERATURE,
    LOWEST_TEMPERATURE,
    expected_calibration_error,
    fit_temperature,
    logits_of,
    reliability,
    soften,
)
from mmer_tf.evaluation.predictions import Predictions

LABELS = ("angry", "happy", "neutral", "sad")


def answers(probabilities, targets) -> Predictions:
    probabilities = np.array(probabilities, float)
    ids = np.array([f"u{i}" for i in range(len(probabilities))])
    return Predictions(ids, np.array(targets), probabilities, LABELS[: probabilities.shape[1]])


def drawn_logits(n: int, temperature: float, seed: int = 0):
    """Logits whose true classes are drawn from softmax(logits / temperature)."""
    random = np.random.default_rng(seed)
    logits = random.normal(0, 3 * temperature, (n, 4))
    chances = softmax(logits / temperature)
    targets = np.array([random.choice(4, p=row) for row in chances])
    return logits, targets


def softmax(logits: np.ndarray) -> np.ndarray:
    shifted = np.exp(logits - logits.max(axis=1, keepdims=True))
    return shifted / shifted.sum(axis=1, keepdims=True)


def test_error_and_bins_by_hand():
    """Five bins of width 0.2: two answers at 0.6 and 0.55, one right; three in (0.8, 1], two
    right. 0.6 lies on an edge and belongs below it."""
    p = answers([[0.6, 0.4], [0.45, 0.55], [0.9, 0.1], [1.0, 0.0], [0.15, 0.85]], [0, 0, 0, 1, 1])
    low, high = reliability(p, bins=5)
    assert low == pytest.approx(
        {"low": 0.4, "high": 0.6, "confidence": 0.575, "accuracy": 0.5, "n": 2}
    )
    assert high == pytest.approx(
        {"low": 0.8, "high": 1.0, "confidence": 2.75 / 3, "accuracy": 2 / 3, "n": 3}
    )
    expected = (2 * abs(0.575 - 0.5) + 3 * abs(2.75 / 3 - 2 / 3)) / 5
    assert expected_calibration_error(p, bins=5) == pytest.approx(expected)


def test_bins_are_scikit_learns():
    random = np.random.default_rng(0)
    p = answers(random.dirichlet([1.0] * 4, 500), random.integers(0, 4, 500))
    accuracy, confidence = calibration_curve(
        p.predicted == p.targets, p.probabilities.max(axis=1), n_bins=15
    )
    bins = reliability(p)
    assert [one["confidence"] for one in bins] == pytest.approx(list(confidence))
    assert [one["accuracy"] for one in bins] == pytest.approx(list(accuracy))
    assert sum(one["n"] for one in bins) == 500


def test_certain_and_right_has_no_error():
    assert expected_calibration_error(answers(np.eye(4), range(4))) == 0.0
    assert expected_calibration_error(answers(np.eye(4), [1, 2, 3, 0])) == 1.0


@pytest.mark.parametrize("true", [0.5, 1.0, 2.5])
def test_temperature_is_the_one_of_a_grid_and_near_the_truth(true):
    logits, targets = drawn_logits(1000, true)
    grid = np.geomspace(LOWEST_TEMPERATURE, HIGHEST_TEMPERATURE, 201)
    losses = [log_loss(targets, softmax(logits / one), labels=range(4)) for one in grid]
    fitted = fit_temperature(logits, targets)
    assert fitted == pytest.approx(grid[np.argmin(losses)], rel=0.024)  # a step of the grid
    assert fitted == pytest.approx(true, rel=0.1)
    assert log_loss(targets, softmax(logits / fitted)) <= min(losses) + 1e-9


def test_two_classes_by_hand():
    """Three of four right at a margin of 4: the best probability is 3/4, so that 4 / T = ln 3."""
    logits = np.array([[4.0, 0.0]] * 4)
    assert fit_temperature(logits, [0, 0, 0, 1]) == pytest.approx(4 / np.log(3), rel=1e-4)


def test_calibration_lowers_error_and_leaves_the_answers():
    logits, targets = drawn_logits(3000, 3.0)
    raw = answers(softmax(logits), targets)
    fitted = fit_temperature(logits_of(raw), raw.targets)
    calibrated = soften(raw, fitted)
    assert expected_calibration_error(calibrated) < 0.3 * expected_calibration_error(raw)
    np.testing.assert_array_equal(calibrated.predicted, raw.predicted)
    np.testing.assert_allclose(calibrated.probabilities, softmax(logits / fitted), atol=1e-12)
    back = soften(calibrated, 1 / fitted)
    np.testing.assert_allclose(back.probabilities, raw.probabilities, atol=1e-12)


def test_few_utterances_stay_within_bounds():
    certain = np.array([[50.0, 0.0]])
    assert fit_temperature(certain, [0]) == 1.0  # right: nothing tells of doubt
    assert fit_temperature(certain, [1]) == pytest.approx(HIGHEST_TEMPERATURE)
    nearly = np.array([[0.01, 0.0]] * 999 + [[0.01, 0.0]])
    assert fit_temperature(nearly, [0] * 999 + [1]) == pytest.approx(LOWEST_TEMPERATURE)


def test_a_probability_of_zero_is_no_infinite_logit():
    p = answers([[1.0, 0.0], [0.0, 1.0]], [1, 1])
    assert np.isfinite(logits_of(p)).all()
    assert fit_temperature(logits_of(p), p.targets) == pytest.approx(HIGHEST_TEMPERATURE)


def test_mistakes():
    with pytest.raises(ValueError, match=r"`logits` must be \(n, classes\).*\(2, 2\) and 3"):
        fit_temperature(np.zeros((2, 2)), [0, 1, 1])
    with pytest.raises(ValueError, match="`logits` must be finite"):
        fit_temperature(np.array([[0.0, np.nan]]), [0])
    with pytest.raises(ValueError, match=r"`bins` must be >= 1. Received: 0"):
        reliability(answers([[1.0, 0.0]], [0]), bins=0)
    with pytest.raises(ValueError, match=r"`temperature` must be > 0. Received: 0"):
        soften(answers([[1.0, 0.0]], [0]), 0)
