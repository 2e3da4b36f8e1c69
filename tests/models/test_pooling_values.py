"""What is particular to single poolings."""

import numpy as np
import pytest
import tensorflow as tf

from mmer_tf.models.pooling import POOLINGS
from mmer_tf.models.pooling.cls import CLSPooling
from mmer_tf.models.pooling.max import MaxPooling
from mmer_tf.models.pooling.sum import SumPooling


def test_max_shares_ties():
    """Unit 0 peaks at step 1, unit 1 at steps 0 and 2, unit 2 is the same everywhere."""
    sequence = np.array([[[1, 5, 0], [3, 2, 0], [2, 5, 0], [9, 9, 9]]], "float32")
    vector, weights = MaxPooling()(sequence, np.array([[True, True, True, False]]))
    np.testing.assert_array_equal(vector, [[3, 5, 0]])
    np.testing.assert_allclose(
        weights, [[(1 / 2 + 1 / 3) / 3, (1 + 1 / 3) / 3, (1 / 2 + 1 / 3) / 3, 0]], rtol=1e-6
    )


def test_max_of_what_is_below_zero():
    sequence = np.full((1, 2, 1), -4, "float32")
    vector, _ = MaxPooling()(sequence, np.array([[True, False]]))
    np.testing.assert_array_equal(vector, [[-4]])


def test_cls_is_the_first_step_or_nothing():
    sequence = np.array([[[1, 2], [3, 4]], [[5, 6], [7, 8]]], "float32")
    vector, weights = CLSPooling()(sequence, np.array([[True, True], [False, True]]))
    np.testing.assert_array_equal(vector, [[1, 2], [0, 0]])
    np.testing.assert_array_equal(weights, [[1, 0], [0, 0]])


def test_long_sums_lose_nothing_in_half_precision():
    """Added up one by one in float16, ones stop at 2048; bfloat16 stops at 256."""
    sequence, mask = np.ones((1, 4096, 1), "float32"), np.ones((1, 4096), bool)
    for policy in ("mixed_float16", "mixed_bfloat16"):
        vector, weights = SumPooling(dtype=policy)(sequence, mask)
        assert float(vector[0, 0]) == 4096
        np.testing.assert_array_equal(weights, mask / np.float32(4096))


@pytest.mark.parametrize("pooling", sorted(POOLINGS))
def test_gradients_of_the_steps_are_finite_whatever_is_masked(pooling):
    sequence = np.random.default_rng(0).normal(size=(2, 3, 4)).astype("float32")
    mask = np.array([[False, False, False], [True, True, False]])
    sequence[~mask] = np.nan
    sequence = tf.constant(sequence)
    layer = POOLINGS[pooling]()
    with tf.GradientTape() as tape:
        tape.watch(sequence)
        vector, _ = layer(sequence, mask)
    gradient = tape.gradient(vector, sequence).numpy()
    np.testing.assert_array_equal(gradient[~mask], 0)
    assert np.isfinite(gradient).all()
    assert np.abs(gradient[mask]).max() > 0.1
