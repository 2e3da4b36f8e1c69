"""JSON to tensors and back. What is refused is worded as in TensorFlow Serving's json_tensor.cc."""

import base64
import json
from types import SimpleNamespace

import numpy as np
import pytest

from mmer_tf.deploy.server.errors import RequestError
from mmer_tf.deploy.server.json_tensor import to_array, to_json
from mmer_tf.deploy.server.loaded_model import Signature, TensorInfo
from mmer_tf.deploy.server.rest import read_request, write_answer
from mmer_tf.deploy.server.validation import Limits, validated

VOICE = {
    "waveform": TensorInfo("float32", (None, None)),
    "num_samples": TensorInfo("int32", (None,)),
    "transcript": TensorInfo("string", (None,)),
}
WAV = {"wav": TensorInfo("string", (None,))}
MODEL = SimpleNamespace(
    signatures={
        "serving_default": Signature("serving_default", "tensorflow/serving/predict", VOICE),
        "wav": Signature("wav", "tensorflow/serving/predict", WAV),
        "nothing": Signature("nothing", "", {}),
    }
)
ROW = {"waveform": [0.5, -0.25], "num_samples": 2, "transcript": "né"}


def refusal(body) -> str:
    text = body if isinstance(body, bytes) else json.dumps(body).encode()
    with pytest.raises(RequestError) as caught:
        read_request(text, MODEL)
    assert caught.value.status == 400
    return caught.value.message


def test_rows_and_columns_are_the_same_request():
    rows = read_request(json.dumps({"instances": [ROW, ROW]}).encode(), MODEL)
    columns = {name: [value, value] for name, value in ROW.items()}
    body = {"signature_name": "serving_default", "inputs": columns}
    for request in (rows, read_request(json.dumps(body).encode(), MODEL)):
        assert request.signature.name == "serving_default"
        np.testing.assert_array_equal(request.inputs["waveform"], np.float32([[0.5, -0.25]] * 2))
        assert request.inputs["waveform"].dtype == np.float32
        assert request.inputs["num_samples"].dtype == np.int32
        assert request.inputs["transcript"].tolist() == ["né".encode()] * 2
    assert rows.row_format


def test_bytes_stand_in_base64_in_every_place():
    packed = {"b64": base64.b64encode(b"\x00RIFF\xff").decode()}
    for body in (
        {"instances": [packed]},
        {"instances": [{"wav": packed}]},
        {"inputs": [packed]},
        {"inputs": {"wav": [packed]}},
    ):
        request = read_request(json.dumps(body | {"signature_name": "wav"}).encode(), MODEL)
        assert request.inputs["wav"].tolist() == [b"\x00RIFF\xff"]
    # Line breaks and lacking padding, as absl's decoder takes them.
    assert to_array([{"b64": "AF\nJJ "}, {"b64": "AA"}], "string").tolist() == [b"\x00RI", b"\x00"]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "JSON Parse error: The document is empty"),
        (b'{"instances": [1', "JSON Parse error: Missing a comma"),
        (b'{"instances": tru', "JSON Parse error: Invalid value. at offset: 14"),
        (b'{"a" 1}', "JSON Parse error: Missing a colon after a name of object member."),
        (b"{} {}", "JSON Parse error: The document root must not be followed by other values."),
        (b'{"a": "\xff"}', "JSON Parse error: Invalid encoding in string. at offset: 7"),
        (b"[" * 100_000, "JSON Parse error: Terminate parsing due to nesting."),
        (b'{"a": ' + b"9" * 5000 + b"}", "JSON Parse error: Number too big"),
        ([1], "JSON Value: [1] Is not object"),
        ({}, "Missing 'inputs' or 'instances' key"),
        ({"signature_name": 3}, "'signature_name' key must be a string value."),
        ({"signature_name": "x"}, 'Serving signature name: "x" not found in signature def'),
        ({"signature_name": "nothing"}, "Failed to get input map for signature: nothing"),
        ({"instances": [], "inputs": {}}, "expecting only one of 'inputs' or 'instances' keys"),
        ({"instances": 3}, "Excepting 'instances' to be an list/array"),
        ({"instances": []}, "No values in 'instances' array"),
        ({"instances": [1]}, "instances is a plain list, but expecting list of objects"),
        ({"instances": [ROW, 1]}, "Expecting object but got list at item 1 of input list"),
        (
            {"instances": [ROW], "signature_name": "wav"},
            "Failed to process element: 0 key: waveform of 'instances' list. Error: "
            "INVALID_ARGUMENT: JSON object: does not have named input: waveform",
        ),
        (
            {"instances": [{"wav": "a"}, "b"], "signature_name": "wav"},
            "Expecting object but got list at item 1 of input list",
        ),
        (
            {"instances": ["b", {"wav": "a"}], "signature_name": "wav"},
            "Expecting value/list but got object at item 1 of input list",
        ),
        (
            {"instances": [{"waveform": [1.0], "num_samples": 1}]},
            "must only have keys: num_samples,transcript,waveform",
        ),
        (
            {"instances": [ROW, ROW | {"waveform": [1.0]}]},
            "Failed to process element: 1 key: waveform of 'instances' list. Error: "
            "INVALID_ARGUMENT: Expecting tensor size: 2 but got: 1",
        ),
        (
            {"instances": [ROW, ROW | {"waveform": [[1.0, 2.0]]}]},
            "Expecting shape [2] but got: [1,2]",
        ),
        ({"inputs": [1]}, "inputs is a plain value/list, but expecting an object"),
        ({"inputs": {"waveform": [[1]]}}, "Missing named input: num_samples in 'inputs' object."),
    ],
)
def test_refusals_are_worded_as_by_the_model_server(body, message: str):
    assert message in refusal(body)


@pytest.mark.parametrize(
    ("value", "dtype", "message"),
    [
        ("a", "float32", 'JSON Value: "a" Type: String is not of expected type: float'),
        ([True], "float32", "JSON Value: true Type: True is not of expected type: float"),
        ([None], "float32", "JSON Value: null Type: Null is not of expected type: float"),
        ([{}], "float32", "JSON Value: {} Type: Object is not of expected type: float"),
        ([1.0], "int32", "JSON Value: 1.0 Type: Number is not of expected type: int32"),
        ([2**31], "int32", "JSON Value: 2147483648 Type: Number is not of expected type: int32"),
        ([300], "uint8", "JSON Value: 300 Type: Number is not of expected type: uint8"),
        ([1], "bool", "JSON Value: 1 Type: Number is not of expected type: bool"),
        ([1], "string", "JSON Value: 1 Type: Number is not of expected type: string"),
        ([{"c": 1}], "string", 'JSON Value: {"c": 1} not formatted correctly for base64 data'),
        ([{"b64": "!"}], "string", "Unable to base64 decode"),
        (["\ud800"], "string", "JSON Parse error: The surrogate pair in string is invalid."),
        ([2**24], "float32", "Cannot convert JSON value: 16777216 to float without loss"),
        ([10**400], "float32", "to float without loss of precision."),
        ([1e39], "float32", "Cannot convert JSON value: 1e+39 to float without loss"),
        ([1.0], "float16", "Conversion of JSON Value: 1.0 to type: half"),
        ([[1], [1, 2]], "int32", "Encountered list at unexpected size: 2 at level: 1 expected"),
        ([1, [1]], "int32", "Encountered list at unexpected level: 1 expected < 1"),
        ([[1], 1], "int32", "JSON Value: 1 found at incorrect level: 2 in the JSON DOM."),
    ],
)
def test_values_are_not_converted_into_others(value, dtype: str, message: str):
    with pytest.raises(RequestError) as caught:
        to_array(value, dtype)
    assert message in caught.value.message


def test_tensors_of_every_rank_and_type():
    assert to_array(3, "int32").shape == ()
    assert to_array([], "float32").shape == (0,)
    assert to_array([[[1, 2]], [[3, 4.5]]], "float32").shape == (2, 1, 2)
    assert to_array([[True], [False]], "bool").tolist() == [[True], [False]]
    assert to_array([255], "uint8").dtype == np.uint8
    assert np.isnan(to_array([float("nan")], "float32")).all()  # refused later, by its name


def test_float32_is_written_with_its_own_digits():
    values = np.float32([0.1, 1 / 3, 1e-30, 0, 16777216])
    written = to_json(values)
    assert json.dumps(written[0]) == "0.1"
    np.testing.assert_array_equal(np.float32(written), values)


def test_answers_in_both_formats():
    outputs = {
        "label": np.array([b"sad", "fröh".encode()], object),
        "probabilities": np.float32([[0.25, 0.75], [1, 0]]),
    }
    assert json.loads(write_answer(outputs, row_format=True)) == {
        "predictions": [
            {"label": "sad", "probabilities": [0.25, 0.75]},
            {"label": "fröh", "probabilities": [1.0, 0.0]},
        ]
    }
    assert json.loads(write_answer(outputs, row_format=False)) == {
        "outputs": {"label": ["sad", "fröh"], "probabilities": [[0.25, 0.75], [1.0, 0.0]]}
    }
    alone = {"label": outputs["label"]}
    assert json.loads(write_answer(alone, row_format=True)) == {"predictions": ["sad", "fröh"]}
    assert json.loads(write_answer(alone, row_format=False)) == {"outputs": ["sad", "fröh"]}


def test_an_answer_that_json_cannot_say_is_refused():
    with pytest.raises(RequestError, match="output `probabilities` is not finite"):
        write_answer({"probabilities": np.float32([[np.nan]])}, row_format=True)


def test_words_are_told_for_each_token():
    infos = {
        "token_ids": TensorInfo("int32", (None, None)),
        "word_of_token": TensorInfo("int32", (None, None)),
    }
    signature = Signature("features", "tensorflow/serving/predict", infos)
    inputs = {name: np.zeros((2, 3), "int32") for name in infos}
    assert validated(signature, inputs, Limits()).keys() == infos.keys()
    with pytest.raises(RequestError, match=r"word_of_token: Expecting shape \[2,3\], one value"):
        validated(signature, inputs | {"word_of_token": np.zeros((2, 1), "int32")}, Limits())
