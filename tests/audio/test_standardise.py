"""Standardisation against numpy, with padding, half precision and storage."""

import keras
import numpy as np
import pytest

from mmer_tf.audio.standardise import Standardise


@pytest.mark.parametrize("shape", [(3, 5, 4), (3, 5, 7, 4)])
def test_valid_steps_are_standardised_and_others_zero(shape):
    x = np.random.default_rng(0).normal(5, 3, shape).astype(np.float32)
    mask = np.arange(5) < np.array([5, 2, 0])[:, None]
    garbage = x.copy()
    garbage[~mask] = np.nan
    layer = Standardise()
    mean, deviation = x[mask].reshape(-1, 4).mean(axis=0), x[mask].reshape(-1, 4).std(axis=0)
    layer.set_statistics(mean, deviation)
    result = np.asarray(layer(garbage, mask))
    np.testing.assert_allclose(result[mask], ((x - mean) / deviation)[mask], atol=1e-5)
    assert (result[~mask] == 0).all()
    flat = result[mask].reshape(-1, 4)
    np.testing.assert_allclose(flat.mean(axis=0), 0, atol=1e-5)
    np.testing.assert_allclose(flat.std(axis=0), 1, atol=1e-5)


def test_is_the_identity_at_first_and_never_trained():
    x = np.ones((1, 2, 3), np.float32)
    layer = Standardise()
    np.testing.assert_array_equal(layer(x, np.array([[True, True]])), x)
    assert layer.trainable_weights == [] and len(layer.non_trainable_weights) == 2


def test_an_entry_that_never_varied_is_only_centred():
    layer = Standardise()
    layer.set_statistics(np.array([2.0, 2.0]), np.array([0.0, 4.0]))
    result = layer(np.full((1, 1, 2), 6.0), np.array([[True]]))
    np.testing.assert_allclose(result, [[[4.0, 1.0]]])


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_computes_in_float32_and_is_stored_under_every_policy(tmp_path, every_policy, dtype):
    x, mask = keras.Input((None, 2), dtype=dtype), keras.Input((None,), dtype="bool")
    layer = Standardise()
    output = layer(x, mask)
    assert (output.shape, output.dtype) == ((None, None, 2), "float32")
    layer.set_statistics(np.array([-20.0, 0.001]), np.array([3.0, 1e-6]))
    keras.Model([x, mask], output).save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    values = np.array([[[-17.0, 0.5]]], dtype)
    result = loaded([values, np.array([[True]])])
    assert result.dtype == "float32"
    np.testing.assert_allclose(result, [[[1.0, 0.499 / 1e-6]]], rtol=1e-5)


@pytest.mark.parametrize(
    ("mean", "deviation", "message"),
    [
        ([0.0, 0.0], [1.0], r"shapes \(2,\) and \(1,\)"),
        (0.0, 1.0, r"must both be \(dim,\)"),
        ([0.0, 0.0, 0.0], [1.0, 1.0, 1.0], r"`mean` must be \(2,\). Received: shape=\(3,\)"),
        ([0.0, np.nan], [1.0, 1.0], "`mean` must be finite"),
        ([0.0, 0.0], [1.0, -1.0], "`deviation` must be finite and >= 0"),
        ([0.0, 0.0], [1.0, np.inf], "`deviation` must be finite and >= 0"),
    ],
)
def test_wrong_statistics_are_named(mean, deviation, message):
    layer = Standardise()
    layer.build((None, None, 2))
    with pytest.raises(ValueError, match=message):
        layer.set_statistics(mean, deviation)
