"""Every pooling of the table keeps the contract."""

import checks
import numpy as np
import pytest

from mmer_tf.models.pooling import POOLINGS

KIND, TABLE = "pooling", POOLINGS


@pytest.fixture(scope="module", params=sorted(TABLE))
def entry(request):
    return request.param


def test_agrees_with_reference(model, golden):
    wanted = list(golden.outputs.values())
    checks.assert_close(checks.run(model, golden.inputs), wanted, tolerance=1e-5)


def test_declared(model, golden):
    checks.check_declared(model, golden.inputs)
    vector, weights = model.output
    assert vector.shape == (None, golden.inputs["sequence"].shape[2])
    assert weights.dtype == "float32"


def test_weights_sum_to_one(model, golden):
    _, weights = checks.run(model, golden.inputs)
    np.testing.assert_allclose(weights.sum(axis=1), 1, rtol=1e-6)


def test_round_trip(model, golden, tmp_path):
    checks.check_round_trip(model, golden.inputs, tmp_path)


def test_padding_changes_nothing(model, golden, padded):
    checks.check_padding(model, golden.inputs, padded)


def test_row_alone(model, golden, padded):
    checks.check_row_alone(model, golden.inputs, padded)


def test_row_without_steps_gives_zeros(model, golden, padded):
    for output in checks.run(model, checks.without_steps(golden.inputs, padded)):
        np.testing.assert_array_equal(output[0], 0)


def test_gradients(model, golden):
    checks.check_gradients(model, golden.inputs)


def test_eager_graph_and_xla_agree(model, golden):
    checks.check_compiled(model, golden.inputs)


@pytest.mark.parametrize("policy", checks.POLICIES)
def test_half_precision(model, entry, golden, policy):
    half = checks.model_of(POOLINGS[entry](**golden.options, dtype=policy), golden.inputs)
    assert half.output[1].dtype == "float32"
    checks.check_policy(half, model, golden.inputs, checks.POLICIES[policy])
