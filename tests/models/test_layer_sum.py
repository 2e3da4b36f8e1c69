"""The sum of hidden states with learned weights, against one computed by hand."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from mmer_tf.models.layer_sum import WeightedLayerSum

STATES = np.random.default_rng(0).normal(size=(2, 4, 3, 5)).astype("float32")
SCORES = np.array([0.5, -1.0, 2.0], "float32")
WEIGHTS = np.exp(SCORES) / np.exp(SCORES).sum()
SUM = WEIGHTS[0] * STATES[:, :, 0] + WEIGHTS[1] * STATES[:, :, 1] + WEIGHTS[2] * STATES[:, :, 2]


def layer_of(scores=SCORES, **kwargs) -> WeightedLayerSum:
    layer = WeightedLayerSum(**kwargs)
    layer.build(STATES.shape)
    layer.scores.assign(scores)
    return layer


def test_layers_weigh_the_same_at_first():
    np.testing.assert_allclose(WeightedLayerSum()(STATES), STATES.mean(axis=2), atol=1e-6)


def test_weights_are_a_softmax_of_the_scores():
    np.testing.assert_allclose(layer_of()(STATES), SUM, atol=1e-6)


def test_one_layer_is_itself():
    np.testing.assert_allclose(WeightedLayerSum()(STATES[:, :, :1]), STATES[:, :, 0], atol=1e-6)


@pytest.mark.parametrize(
    ("policy", "tolerance"), [("mixed_float16", 2e-3), ("mixed_bfloat16", 2e-2)]
)
def test_half_precision(policy, tolerance):
    layer = layer_of(dtype=policy)
    answer = layer(STATES)
    assert keras.backend.standardize_dtype(answer.dtype) == policy.removeprefix("mixed_")
    assert layer.scores.dtype == "float32"
    np.testing.assert_allclose(tf.cast(answer, "float32"), SUM, atol=tolerance)


def test_weights_of_many_layers_sum_to_one_in_half_precision():
    """Twenty-five layers that agree give what they agree on, to the last digit."""
    states = np.ones((1, 1, 25, 1), "float32")
    for policy in ("mixed_float16", "mixed_bfloat16"):
        assert float(WeightedLayerSum(dtype=policy)(states)[0, 0, 0]) == 1


def test_gradient():
    """d sum / d score_l = w_l (h_l - sum)."""
    layer = layer_of()
    with tf.GradientTape() as tape:
        total = tf.reduce_sum(layer(STATES))
    wanted = [(WEIGHTS[index] * (STATES[:, :, index] - SUM)).sum() for index in range(3)]
    np.testing.assert_allclose(tape.gradient(total, layer.scores.value), wanted, rtol=1e-4)


def test_round_trip(tmp_path):
    states = keras.Input((None, 3, 5))
    model = keras.Model(states, layer_of()(states))
    assert model.output.shape == (None, None, 5)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded(STATES), model(STATES))
