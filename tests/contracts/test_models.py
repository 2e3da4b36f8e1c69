"""Whole models, one for each encoder, pooling and fusion of the tables, keep the contract."""

import checks
import keras
import numpy as np
import pytest
from golden import Golden

from mmer_tf.models.api import create_model
from mmer_tf.models.branch import Speech, Text, Upstream
from mmer_tf.models.encoders import SPEECH_ENCODERS, TEXT_ENCODERS
from mmer_tf.models.fusion import FUSIONS
from mmer_tf.models.pooling import POOLINGS

PARTS = [
    *({"speech": "blstm", "pooling": pooling} for pooling in POOLINGS),
    *({"speech": speech, "pooling": "mean"} for speech in SPEECH_ENCODERS if speech != "blstm"),
    *({"text": "bert", "pooling": pooling} for pooling in ("attention", "cls")),
    *({"text": text, "pooling": "mean"} for text in TEXT_ENCODERS if text != "bert"),
    *({"speech": "blstm", "text": "bert", "fusion": fusion} for fusion in FUSIONS),
]
PRESENCE = {"has_speech", "has_text"}
NUM_CLASSES = 3
FRAMES_FEATURES = {3: "log_mel", 4: "log_spectrogram"}
"""By the rank of what an encoder of frames reads."""

KEY_BIAS = "key/bias"  # adds the same to all scores of a query, which softmax ignores
# The last step is the backward direction's first, and the first step the forward direction's: its
# recurrent weights meet a state of zeros.
FIRST_READ = {
    "last": ["bidirectional_1/backward_lstm/lstm_cell/recurrent_kernel"],
    "cls": ["bidirectional_1/forward_lstm/lstm_cell/recurrent_kernel"],
}


@pytest.fixture(scope="module", params=PARTS, ids=lambda parts: "-".join(parts.values()))
def parts(request):
    return request.param


@pytest.fixture(scope="module")
def inputs(parts):
    """By the names of the data contract."""
    if "text" not in parts and parts["speech"] != "blstm":
        return _speech_inputs(parts["speech"])
    # Four rows: both modalities at two lengths, then no words, then no voice.
    draw = np.random.default_rng(5)
    frames, tokens = np.array([11, 6, 9, 1]), np.array([5, 3, 1, 4])
    every = {
        "log_mel": draw.normal(size=(4, 11, 5)).astype("float32"),
        "log_mel_mask": np.arange(11) < frames[:, None],
        "token_ids": draw.integers(1, 30, (4, 5)).astype("int32"),
        "token_mask": np.arange(5) < tokens[:, None],
        "has_speech": np.array([True, True, True, False]),
        "has_text": np.array([True, True, False, True]),
        # The third row has no timings.
        "word_spans": np.int32(
            [[[0, 3], [4, 11]], [[0, 4], [-1, -1]], [[-1, -1]] * 2, [[0, 1], [2, 3]]]
        ),
        "word_of_token": np.int32(
            [[-1, 0, 0, 1, -1], [-1, 0, -1, -1, -1], [-1] * 5, [0, 0, 1, -1, -1]]
        ),
    }
    wanted = {"log_mel", "log_mel_mask"} if "speech" in parts else set()
    wanted |= {"token_ids", "token_mask"} if "text" in parts else set()
    wanted |= PRESENCE if "fusion" in parts else set()
    if "fusion" in parts and FUSIONS[parts["fusion"]].level == "words":
        wanted |= {"word_spans", "word_of_token"}
    return {name: array for name, array in every.items() if name in wanted}


def _speech_inputs(entry: str) -> dict[str, np.ndarray]:
    """The golden inputs of an encoder."""
    arrays = Golden.load("encoder", entry).inputs
    if SPEECH_ENCODERS[entry].inputs != "frames":
        return {{"image": "mel_image"}.get(name, name): array for name, array in arrays.items()}
    sequence, mask = arrays.values()
    feature = FRAMES_FEATURES[sequence.ndim]
    return {feature: sequence, f"{feature}_mask": mask}


@pytest.fixture(scope="module")
def padded(inputs):
    return checks.padded_inputs(inputs)


def create(parts, inputs) -> keras.Model:
    def options(table, argument):
        return Golden.load(table, parts[argument]).options if argument in parts else {}

    speech, text = None, None
    if "speech" in parts:
        kind = SPEECH_ENCODERS[parts["speech"]].inputs
        features = [name for name in inputs if f"{name}_mask" in inputs and name != "token"]
        features += [name for name in ("mel_image", "waveform") if name in inputs]
        steps_from = {"mel_image": 1, "waveform": 2}
        shapes = {name: inputs[name].shape[steps_from.get(name, 2) :] for name in features}
        feature = features if kind == "streams" else features[0]
        speech = Speech(parts["speech"], feature, shapes, options=options("encoder", "speech"))
    if "text" in parts:
        bert = Golden.load("encoder", "bert").options
        sizes = {name: bert[name] for name in ("vocabulary_size", "max_tokens")}
        small = {name: value for name, value in bert.items() if name not in sizes}
        if TEXT_ENCODERS[parts["text"]].inputs == "tokens":
            text = Text(parts["text"], **sizes, options=small)
        else:
            upstream = Upstream("bert", frozen=False, layers=[1, 2], options=small)
            text = Text(
                parts["text"], **sizes, upstream=upstream, options=options("encoder", "text")
            )
    model = create_model(
        speech,
        text,
        parts.get("pooling", "attention"),
        parts.get("fusion"),
        NUM_CLASSES,
        fusion_options=options("fusion", "fusion"),
        seed=3,
    )
    # Weights as large as trained ones, so that no difference hides in small numbers.
    draw = np.random.default_rng(7)
    for weight in model.trainable_weights:
        weight.assign(draw.normal(scale=0.5, size=weight.shape))
    return model


@pytest.fixture(scope="module")
def model(parts, inputs):
    return create(parts, inputs)


def test_takes_and_answers_the_names_of_the_data_contract(model, parts, inputs):
    assert set(model.input) == set(inputs)
    answers = ["logits"]
    if "fusion" in parts and FUSIONS[parts["fusion"]].level == "words":
        answers += ["word_attention"]
    else:
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
    if "word_attention" not in answer:
        np.testing.assert_array_equal(answer["speech_attention"][3], 0)
        np.testing.assert_array_equal(answer["text_attention"][2], 0)


def test_row_without_steps_stays_finite(model, inputs, padded):
    empty = checks.without_steps(inputs, padded)
    assert all(np.isfinite(output).all() for output in checks.run(model, empty))
    checks.check_gradients(model, empty, without=[""])  # finite, whatever their size


def test_gradients(model, parts, inputs):
    checks.check_gradients(model, inputs, [KEY_BIAS, *FIRST_READ.get(parts.get("pooling"), [])])


@pytest.mark.slow  # its parts are compared by default
def test_eager_graph_and_xla_agree(model, inputs):
    checks.check_compiled(model, inputs)


@pytest.mark.parametrize(
    "policy", ["mixed_float16", pytest.param("mixed_bfloat16", marks=pytest.mark.slow)]
)
def test_half_precision(model, parts, inputs, policy):
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        half = create(parts, inputs)
    finally:
        keras.config.set_dtype_policy(before)
    assert {output.dtype for output in half.output.values()} == {"float32"}
    checks.check_policy(*_only(("logits",), half, model), inputs, 4 * checks.POLICIES[policy])
    explanations = [name for name in model.output if name != "logits"]
    if parts.get("pooling") != "max":  # which step wins a unit may hang on its last digits
        pair = _only(explanations, half, model)
        checks.check_policy(*pair, inputs, checks.POLICIES[policy])


def _only(names, *models: keras.Model) -> list[keras.Model]:
    """The models with some of their outputs."""
    return [keras.Model(m.input, {name: m.output[name] for name in names}) for m in models]
