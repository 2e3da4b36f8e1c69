"""Every fusion of the table keeps the contract of its level."""

import checks
import numpy as np
import pytest

from mmer_tf.models.fusion import FUSIONS

KIND, TABLE = "fusion", FUSIONS

ANSWERS = {
    "vector": ["vector"],
    "sequence": ["speech", "text"],
    "words": ["sequence", "mask"],
    "probability": ["logits"],
}
"""What a fusion of a level answers, besides its extras."""

WITHOUT_GRADIENT = ("speech_to_text/key/bias", "text_to_speech/key/bias")
"""The same score for all keys: the softmax does not see it."""


@pytest.fixture(scope="module", params=sorted(TABLE))
def entry(request):
    return request.param


@pytest.fixture(scope="module")
def padded(golden):
    pairs = checks.padded_inputs(golden.inputs)
    return pairs | ({"word_of_token": "text_mask"} if "word_of_token" in golden.inputs else {})


def test_agrees_with_reference(model, golden):
    wanted = list(golden.outputs.values())
    checks.assert_close(checks.run(model, golden.inputs), wanted, tolerance=1e-5)


def test_declared(model, entry, golden):
    checks.check_declared(model, golden.inputs)
    answers = ANSWERS[FUSIONS[entry].level]
    *answer, extras = FUSIONS[entry](**golden.options)(*golden.inputs.values())
    assert len(answer) == len(answers)
    assert [*answers, *extras] == list(golden.outputs)
    for name, output in zip(golden.outputs, checks.run(model, golden.inputs), strict=True):
        assert output.dtype == golden.outputs[name].dtype


def test_round_trip(model, golden, tmp_path):
    checks.check_round_trip(model, golden.inputs, tmp_path)


def test_padding_changes_nothing(model, golden, padded):
    checks.check_padding(model, golden.inputs, padded)


def test_row_alone(model, golden, padded):
    checks.check_row_alone(model, golden.inputs, padded)


def test_row_without_steps_gives_zeros(model, golden, padded):
    if not padded:
        pytest.skip("takes no mask")
    for output in checks.run(model, checks.without_steps(golden.inputs, padded)):
        np.testing.assert_array_equal(output[0], 0)


def test_gradients(model, golden):
    checks.check_gradients(model, golden.inputs, without=WITHOUT_GRADIENT)


def test_gradients_are_finite_whatever_the_padding_holds(model, golden, padded):
    inputs = {name: array.copy() for name, array in golden.inputs.items()}
    for name, mask in padded.items():
        if inputs[name].dtype.kind == "f":
            inputs[name][~inputs[mask]] = np.nan
    checks.check_gradients(model, inputs, without=WITHOUT_GRADIENT)


def test_eager_graph_and_xla_agree(model, golden):
    checks.check_compiled(model, golden.inputs)


@pytest.mark.parametrize("policy", checks.POLICIES)
def test_half_precision(model, entry, golden, policy):
    half = checks.model_of(FUSIONS[entry](**golden.options, dtype=policy), golden.inputs)
    checks.check_policy(half, model, golden.inputs, checks.POLICIES[policy])
