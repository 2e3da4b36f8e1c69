"""Whole models, one for each encoder, pooling and fusion of the tables, keep the contract."""

import checks
import keras
import numpy as np
import pytest
from golden import Golden

from mmer_tf.models.api import create_model
from mmer_tf.models.encoders import SPEECH_ENCODERS, TEXT_ENCODERS
from mmer_tf.models.fusion import FUSIONS
from mmer_tf.models.pooling import POOLINGS

PARTS = [
    *({"speech": speech, "pooling": pooling} for speech in SPEECH_ENCODERS for pooling in POOLINGS),
    *({"text": text, "pooling": pooling} for text in TEXT_ENCODERS for pooling in POOLINGS),
    *({"speech": "blstm", "text": "bert", "fusion": fusion} for fusion in FUSIONS),
]
SPEECH_INPUTS = {"log_mel", "log_mel_mask"}
TEXT_INPUTS = {"token_ids", "token_mask"}
PRESENCE = {"has_speech", "has_text"}
NUM_CLASSES = 3

KEY_BIAS = "key/bias"  # adds the same to all scores of a query, which softmax ignores
# The last step is the backward direction's first: its recurrent weights meet a state of zeros.
BACKWARD = "bidirectional_1/backward_lstm/lstm_cell/recurrent_kernel"


@pytest.fixture(scope="module", params=PARTS, ids=lambda parts: "-".join(parts.values()))
def parts(request):
    return request.param


@pytest.fixture(scope="module")
def inputs(parts):
    """Four rows: both modalities at two lengths, then no words, then no voice."""
    draw = np.random.default_rng(5)
    frames, tokens = np.array([11, 6, 9, 1]), np.array([5, 3, 1, 4])
    every = {
        "log_mel": draw.normal(size=(4, 11, 5)).astype("float32"),
        "log_mel_mask": np.arange(11) < frames[:, None],
        "token_ids": draw.integers(1, 30, (4, 5)).astype("int32"),
        "token_mask": np.arange(5) < tokens[:, None],
        "has_speech": np.array([True, True, True, False]),
        "has_text": np.array([True, True, False, True]),
    }
    wanted = SPEECH_INPUTS if "speech" in parts else set()
    wanted |= TEXT_INPUTS if "text" in parts else set()
    wanted |= PRESENCE if "fusion" in parts else set()
    return {name: array for name, array in every.items() if name in wanted}


@pytest.fixture(scope="module")
def padded(inputs):
    return checks.padded_inputs(inputs)


def create(parts) -> keras.Model:
    def options(table, argument):
        return Golden.load(table, parts[argument]).options if argument in parts else None

    model = create_model(
        **parts,
        num_classes=NUM_CLASSES,
        feature_dim=5,
        speech_options=options("encoder", "speech"),
        text_options=options("encoder", "text"),
        fusion_options=options("fusion", "fusion"),
        seed=3,
    )
    # Weights as large as trained ones, so that no difference hides in small numbers.
    draw = np.random.default_rng(7)
    for weight in model.trainable_weights:
        weight.assign(draw.normal(scale=0.5, size=weight.shape))
    return model


@pytest.fixture(scope="module")
def model(parts):
    return create(parts)


def test_takes_and_answers_the_names_of_the_data_contract(model, parts, inputs):
    assert set(model.input) == set(inputs)
    answers = ["logits"]
    answers += ["speech_attention"] if "speech" in parts else []
    answers += ["text_attention"] if "text" in parts else []
    answers += ["gate"] if parts.get("fusion") == "gmu" else []
    assert list(model.output) == answers
    assert model.output["logits"].shape == (None, NUM_CLASSES)


def test_declared(model, inputs):
    checks.check_declared(model, inputs)


def test_round_trip(model, inputs, tmp_path):
    checks.check_round_trip(model, inputs, tmp_path)


def test_padding_changes_nothing(model, inputs, padded):
    checks.check_padding(model, inputs, padded)


def test_row_alone(model, inputs, padded):
    checks.check_row_alone(model, inputs, padded)


def test_absent_modality_changes_nothing(model, inputs, padded):
    if not set(inputs) >= PRESENCE:
        pytest.skip("one modality only")
    garbage = {name: array.copy() for name, array in inputs.items()}
    garbage["log_mel"][3], garbage["log_mel_mask"][3] = 1e4, True
    garbage["token_ids"][2], garbage["token_mask"][2] = 7, True
    checks.assert_close(checks.run(model, garbage), checks.run(model, inputs))
    answer = model(inputs)
    np.testing.assert_array_equal(answer["speech_attention"][3], 0)
    np.testing.assert_array_equal(answer["text_attention"][2], 0)


def test_row_without_steps_stays_finite(model, inputs, padded):
    empty = checks.without_steps(inputs, padded)
    assert all(np.isfinite(output).all() for output in checks.run(model, empty))
    checks.check_gradients(model, empty, without=[""])  # finite, whatever their size


def test_gradients(model, parts, inputs):
    without = [KEY_BIAS] + ([BACKWARD] if parts.get("pooling") == "last" else [])
    checks.check_gradients(model, inputs, without)


def test_eager_graph_and_xla_agree(model, inputs):
    checks.check_compiled(model, inputs)


@pytest.mark.parametrize("policy", checks.POLICIES)
def test_half_precision(model, parts, inputs, policy):
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        half = create(parts)
    finally:
        keras.config.set_dtype_policy(before)
    assert {output.dtype for output in half.output.values()} == {"float32"}
    checks.check_policy(half, model, inputs, 4 * checks.POLICIES[policy])
