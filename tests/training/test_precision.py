"""Mixed precision: what computes in half precision, and gradients too small for float16."""

import keras
import numpy as np
import pytest

from mmer_tf.training.precision import computing_in, scale_loss


@pytest.mark.parametrize(
    ("precision", "computed"), [("mixed_float16", "float16"), ("mixed_bfloat16", "bfloat16")]
)
def test_layers_compute_in_half_precision_and_policy_comes_back(precision, computed):
    before = keras.config.dtype_policy()
    with pytest.raises(KeyError), computing_in(precision):
        layer = keras.layers.Dense(2)
        answer = layer(np.ones((1, 3), "float32"))
        raise KeyError
    assert keras.backend.standardize_dtype(answer.dtype) == computed
    assert layer.kernel.dtype == "float32"
    assert keras.config.dtype_policy() == before


def test_small_gradients_of_float16_survive_and_overflows_change_nothing():
    optimizer = scale_loss(keras.optimizers.SGD(1.0), "mixed_float16")
    weight = keras.Variable([1.0], name="kernel")
    optimizer.build([weight])
    scale = float(optimizer.scale_loss(np.float32(1.0)))
    assert np.float16(1e-8) == 0 and np.float16(1e-8 * scale) > 0
    optimizer.apply([keras.ops.convert_to_tensor([0.5 * scale])], [weight])
    np.testing.assert_allclose(weight, [0.5])
    optimizer.apply([keras.ops.convert_to_tensor([np.inf])], [weight])
    np.testing.assert_allclose(weight, [0.5])
    assert float(optimizer.scale_loss(np.float32(1.0))) == scale / 2


@pytest.mark.parametrize("precision", ["float32", "mixed_bfloat16"])
def test_other_precisions_keep_their_optimizer(precision):
    optimizer = keras.optimizers.SGD(1.0)
    assert scale_loss(optimizer, precision) is optimizer
