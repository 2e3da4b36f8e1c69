"""Every encoder of the tables keeps the contract."""

import checks
import keras
import numpy as np
import pytest

from mmer_tf.models.encoders import SPEECH_ENCODERS, TEXT_ENCODERS

KIND, TABLE = "encoder", SPEECH_ENCODERS | TEXT_ENCODERS

SPEECH_INPUTS = {"frames", "image", "waveform", "streams"}

WITHOUT_GRADIENT = {
    "bert": ["key/bias"],  # adds the same to all scores of a query, which softmax ignores
    "hubert": ["key/bias"],  # the same
    "vit": ["key/bias"],  # the same
    "wav2vec2": ["key/bias"],  # the same
    "wavlm": ["key/bias"],  # the same
    "whisper": ["key/bias"],  # the same
}
"""Ends of the paths of the weights that cannot learn, by entry, each with its reason."""

PARITY = {}
"""Tolerance of the outputs, where 1e-4 is too strict, by entry, each with its reason."""

HALF_PRECISION = {}
"""Tolerances by policy, where `checks.POLICIES` are too strict, by entry, each with its reason."""


@pytest.fixture(scope="module", params=sorted(TABLE))
def entry(request):
    return request.param


def test_agrees_with_reference(model, entry, golden):
    wanted = list(golden.outputs.values())
    checks.assert_close(checks.run(model, golden.inputs), wanted, PARITY.get(entry, 1e-4))


def test_declared(model, entry, golden):
    checks.check_declared(model, golden.inputs)
    layer = model.layers[-1]
    sequence, mask = checks.call(layer, golden.inputs)
    assert layer.inputs in (SPEECH_INPUTS if entry in SPEECH_ENCODERS else {"tokens"})
    assert sequence.shape[-1] == layer.output_dim
    assert sequence.shape[:2] == mask.shape
    per_step = 1 if layer.inputs == "tokens" else getattr(layer, "frames_per_step", None)
    if per_step:
        frames = next(iter(golden.inputs.values())).shape[1]
        assert sequence.shape[1] == -(-frames // per_step)


def test_zero_where_masked(model, golden):
    sequence, mask = checks.run(model, golden.inputs)
    np.testing.assert_array_equal(sequence[~mask], 0)
    assert mask.any(axis=1).all()


def test_round_trip(model, golden, tmp_path):
    checks.check_round_trip(model, golden.inputs, tmp_path)


def test_padding_changes_nothing(model, golden, padded):
    checks.check_padding(model, golden.inputs, padded)


def test_row_alone(model, golden, padded):
    checks.check_row_alone(model, golden.inputs, padded)


def test_row_without_steps_gives_zeros(model, golden, padded):
    if not padded:
        pytest.skip("a picture has no padding")
    for output in checks.run(model, checks.without_steps(golden.inputs, padded)):
        np.testing.assert_array_equal(output[0], 0)


def test_gradients(model, entry, golden):
    checks.check_gradients(model, golden.inputs, WITHOUT_GRADIENT.get(entry, ()))


def test_frozen_trains_nothing_and_rests(entry, golden):
    layer = TABLE[entry](**golden.options, frozen=True)
    resting = checks.call(layer, golden.inputs)
    before = layer.get_weights()
    training = checks.call(layer, golden.inputs, training=True)
    assert not layer.trainable_weights
    for one, other in zip(training, resting, strict=True):
        np.testing.assert_array_equal(one, other)
    for one, other in zip(layer.get_weights(), before, strict=True):
        np.testing.assert_array_equal(one, other)


def test_eager_graph_and_xla_agree(model, golden):
    checks.check_compiled(model, golden.inputs)


@pytest.mark.parametrize("policy", checks.POLICIES)
def test_half_precision(model, entry, golden, policy):
    layer = TABLE[entry](**golden.options, dtype=policy)
    half = checks.model_of(layer, golden.inputs)
    assert half.output[0].dtype == keras.DTypePolicy(policy).compute_dtype
    tolerance = HALF_PRECISION.get(entry, {}).get(policy, checks.POLICIES[policy])
    checks.check_policy(half, model, golden.inputs, tolerance)
