"""Every fusion of the table keeps the contract."""

import checks
import pytest

from mmer_tf.models.fusion import FUSIONS

KIND, TABLE = "fusion", FUSIONS


@pytest.fixture(scope="module", params=sorted(TABLE))
def entry(request):
    return request.param


def test_agrees_with_reference(model, golden):
    wanted = list(golden.outputs.values())
    checks.assert_close(checks.run(model, golden.inputs), wanted, tolerance=1e-5)


def test_declared(model, entry, golden):
    checks.check_declared(model, golden.inputs)
    assert FUSIONS[entry].level == "vector"
    _, extras = FUSIONS[entry](**golden.options)(*golden.inputs.values())
    assert set(extras) == set(golden.outputs) - {"vector"}


def test_round_trip(model, golden, tmp_path):
    checks.check_round_trip(model, golden.inputs, tmp_path)


def test_row_alone(model, golden):
    checks.check_row_alone(model, golden.inputs, {})


def test_gradients(model, golden):
    checks.check_gradients(model, golden.inputs)


def test_eager_graph_and_xla_agree(model, golden):
    checks.check_compiled(model, golden.inputs)


@pytest.mark.parametrize("policy", checks.POLICIES)
def test_half_precision(model, entry, golden, policy):
    half = checks.model_of(FUSIONS[entry](**golden.options, dtype=policy), golden.inputs)
    checks.check_policy(half, model, golden.inputs, checks.POLICIES[policy])
