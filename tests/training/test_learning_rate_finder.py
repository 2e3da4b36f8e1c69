"""The learning-rate range test: suggestions against fastai's, divergence against theory."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from mmer_tf.training.learning_rate_finder import (
    RangeTestError,
    find_learning_rate,
    smooth,
    suggestions,
)
from mmer_tf.training.optimizer import make_optimizer


def fastai_valley(losses: list[float]) -> int:
    """`fastai.callback.schedule.valley`, index of the rate, as published (Apache-2.0)."""
    n = len(losses)
    max_start, max_end = 0, 0
    lds = [1] * n
    for i in range(1, n):
        for j in range(0, i):
            if (losses[i] < losses[j]) and (lds[i] < lds[j] + 1):
                lds[i] = lds[j] + 1
            if lds[max_end] < lds[i]:
                max_end = i
                max_start = max_end - lds[max_end]
    sections = (max_end - max_start) / 3
    return max_start + int(sections) + int(sections / 2)


@pytest.mark.parametrize("seed", range(5))
def test_valley_is_that_of_fastai(seed):
    random = np.random.default_rng(seed)
    rates = np.geomspace(1e-6, 1, 60)
    losses = np.cos(np.linspace(0, 4.5, 60)) + random.normal(0, 0.15, 60)
    losses[0] = 2.0
    _, valley = suggestions(rates, losses)
    assert valley == rates[fastai_valley(list(losses))]


def test_steepest_is_the_turning_point_of_a_logistic_fall():
    rates = np.geomspace(1e-6, 1, 121)
    losses = 1 / (1 + (rates / 1e-3) ** 2)  # logistic over the logarithm of the rate
    steepest, valley = suggestions(rates, losses)
    assert steepest == pytest.approx(1e-3, rel=0.13)  # neighbours are 12 % apart
    assert 1e-4 < valley < 1e-2


@pytest.mark.parametrize("losses", [[1.0, 0.5], [1.0, 1.0, 1.5, 2.0, 2.0]])
def test_loss_that_never_falls_suggests_nothing(losses):
    with pytest.raises(RangeTestError, match="no loss that falls"):
        suggestions(np.geomspace(1e-3, 1, len(losses)), losses)


def test_average_is_unbiased():
    assert smooth([3.0] * 4) == pytest.approx([3.0] * 4)
    by_hand = (0.98 * 0.02 * 1 + 0.02 * 2) / (1 - 0.98**2)
    assert smooth([1.0, 2.0])[1] == pytest.approx(by_hand)


def test_range_test_rises_breaks_off_and_puts_the_weights_back():
    keras.utils.set_random_seed(3)
    random = np.random.default_rng(3)
    x = random.normal(size=(32, 5)).astype("float32")
    label = (x[:, 0] > 0).astype("int32")
    inputs = {"x": keras.Input((5,), name="x")}
    model = keras.Model(inputs, {"logits": keras.layers.Dense(2)(inputs["x"])})
    before = model.get_weights()
    batches = tf.data.Dataset.from_tensor_slices({"x": x, "label": label}).batch(8).repeat()
    done = []
    test = find_learning_rate(
        model,
        batches,
        lambda rise: make_optimizer("adam", learning_rate=rise, steps=80, accumulation=2),
        lowest=1e-4,
        highest=1e4,
        updates=80,
        accumulation=2,
        advance=done.append,
    )
    for weight, was in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(weight, was)
    assert len(test.rates) == len(test.losses) == len(test.smoothed) == done[-1] < 80
    np.testing.assert_allclose(test.rates, np.geomspace(1e-4, 1e4, 80)[: len(test.rates)])
    assert test.smoothed == pytest.approx(smooth(test.losses))
    assert test.smoothed[-1] > 4 * min(test.smoothed)
    first = keras.ops.log_softmax(x[:16] @ before[0] + before[1])
    expected = -np.asarray(first)[np.arange(16), label[:16]].mean()
    assert test.losses[0] == pytest.approx(expected, abs=1e-5)
    assert 1e-3 < test.valley < 10 and 1e-3 < test.steepest < 10
    assert set(test.to_mapping()) == {"rates", "losses", "smoothed", "steepest", "valley"}
