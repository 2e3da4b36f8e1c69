"""Malformed requests of every kind: the server refuses them with 4xx and goes on answering."""

import base64
import json
import math
import socket

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from serving import Served

PREDICT = "/v1/models/emotion:predict"
VOICE = {"waveform": [0.1, -0.1, 0.2], "num_samples": 3, "transcript": "well"}
WAV = {"wav": {"b64": ""}, "transcript": "well"}

scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(10**300, 10**320),
    st.floats(),
    st.sampled_from([math.nan, math.inf, -math.inf, 1e308, -0.0, 2**31, -1]),
    st.text(max_size=20),
    st.characters(categories=["Cs"]),  # half of a character
)
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(max_size=5) | st.just("b64"), inner, max_size=3)
    ),
    max_leaves=12,
)


def is_waveform(value) -> bool:
    return isinstance(value, list) and all(
        type(one) in (int, float) and abs(one) <= 8 for one in value
    )


VALID = {
    "waveform": is_waveform,
    "num_samples": lambda value: type(value) is int and 0 <= value <= 3,
    "transcript": lambda value: isinstance(value, str | dict),
    "wav": lambda value: value in ("", {"b64": ""}) or isinstance(value, dict),
}
"""What could be an input, so that a request with it might be answered."""


@st.composite
def wrong_rows(draw) -> dict:
    """A request in one of both formats, in which one input, or one more, is wrong."""
    good, signature = draw(st.sampled_from([(VOICE, "serving_default"), (WAV, "wav")]))
    name = draw(st.sampled_from(sorted(good)))
    value = draw(values.filter(lambda value: not VALID[name](value)))
    row = good | {name: value}
    if draw(st.booleans()):
        rows = [good] * draw(st.integers(0, 2)) + [row] + [good] * draw(st.integers(0, 2))
        return {"signature_name": signature, "instances": rows}
    columns = {key: [one] for key, one in row.items()}
    return {"signature_name": signature, "inputs": columns}


@st.composite
def ragged_and_misshapen(draw) -> dict:
    shapes = st.recursive(st.just(0.5), lambda inner: st.lists(inner, max_size=3), max_leaves=9)
    waveform = draw(shapes.filter(lambda value: not _is_matrix(value)))
    return {"inputs": {"waveform": waveform, "num_samples": [0], "transcript": ["a"]}}


def _is_matrix(value) -> bool:
    """One row of numbers, which is what the other inputs have."""
    return isinstance(value, list) and len(value) == 1 and is_waveform(value[0])


@st.composite
def wrong_wav_files(draw) -> dict:
    """A damaged file, or base64 that is none."""
    head = bytearray(
        b"RIFF\x2c\0\0\0WAVEfmt \x10\0\0\0\1\0\1\0\x80\x3e\0\0\0\x7d\0\0\2\0\x10\0data\x08\0\0\0"
    )
    for _ in range(draw(st.integers(1, 4))):
        place = draw(st.sampled_from([0, 8, 12, 20, 22, 24, 25, 34, 36, 40, 41, 43]))
        head[place] ^= draw(st.integers(1, 255))
    content = bytes(head) + draw(st.binary(max_size=7))  # of the 8 that it promises
    text = base64.b64encode(content).decode()
    if draw(st.booleans()):
        place = draw(st.integers(0, len(text)))
        text = text[:place] + draw(st.sampled_from("!§-_\0")) + text[place:]
    return {"signature_name": "wav", "instances": [{"wav": {"b64": text}, "transcript": "a"}]}


def _encoded(body) -> bytes:
    return json.dumps(body).encode()


@st.composite
def cut_off(draw) -> bytes:
    body = _encoded({"instances": [VOICE, VOICE], "signature_name": "serving_default"})
    return body[: draw(st.integers(0, len(body) - 1))]


def is_no_json_object(body: bytes) -> bool:
    try:
        return not isinstance(json.loads(body), dict)
    except (ValueError, RecursionError):
        return True


bodies = st.one_of(
    wrong_rows().map(_encoded),
    ragged_and_misshapen().map(_encoded),
    wrong_wav_files().map(_encoded),
    cut_off(),
    st.binary(max_size=200).filter(is_no_json_object),
    values.filter(lambda value: not isinstance(value, dict)).map(_encoded),
    st.dictionaries(st.text(max_size=9), values, max_size=4).map(_encoded),
    st.sampled_from([b"[" * 20_000, b'{"inputs":' * 5_000, b'{"inputs": ' + b"[" * 3_000]),
    st.builds(
        lambda count: _encoded({"inputs": {"waveform": [[0] * count]}}), st.integers(0, 9999)
    ),
    values.map(lambda value: _encoded({"signature_name": value, "instances": [VOICE] * 40})),
)
paths = st.one_of(
    st.just(PREDICT),
    st.sampled_from(
        ["/", "/v1", "/v1/models/", "/v1/models/emotion:", "/v1/models/emotion:predict/", "//"]
    ),
    st.text(
        alphabet=st.characters(min_codepoint=33, max_codepoint=126, exclude_characters="#?"),
        max_size=40,
    ).map(lambda text: f"/{text}"),
    st.text(max_size=9).map(lambda text: f"/v1/models/{text.encode().hex()}:predict"),
)
methods = st.sampled_from(["POST"] * 9 + ["GET", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "X"])


def refused(server: Served, method: str, path: str, body: bytes) -> None:
    if method == "GET" and path.lower() == "/healthz":
        return
    response = server.http.request(method, server.http.base_url.copy_with(raw_path=path.encode()),
                                   content=body)  # fmt: skip
    assert 400 <= response.status_code < 500, (response.status_code, response.text)
    assert isinstance(response.json()["error"], str)


def answers(server: Served) -> None:
    response = server.predict({"instances": [VOICE]})
    assert response.status_code == 200
    assert sum(response.json()["predictions"][0]["probabilities"]) == pytest.approx(1, abs=1e-5)


def fuzz(server: Served, examples: int) -> None:
    @settings(
        max_examples=examples,
        deadline=None,
        database=None,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
    )
    @given(methods, paths, bodies)
    def attack(method: str, path: str, body: bytes):
        refused(server, method, path, body)

    attack()
    answers(server)


def test_malformed_requests_are_refused(server: Served):
    fuzz(server, 200)


@pytest.mark.slow
def test_ten_thousand_malformed_requests_are_refused(server: Served):
    fuzz(server, 10_000)


def test_malformed_http(server: Served):
    port = int(server.address.rpartition(":")[2])
    for sent in (
        b"\0\xff\r\n\r\n",
        b"POST\r\n\r\n",
        b"GET /\x1f HTTP/1.1\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"POST " + PREDICT.encode() + b" HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\n\r\n",
        b"POST "
        + PREDICT.encode()
        + b" HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nz\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"a" * 200_000 + b"\r\n\r\n",
    ):
        with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
            connection.sendall(sent)
            assert connection.recv(1000).startswith(b"HTTP/1.1 4")
    answers(server)


def test_large_arrays(server: Served):
    for body in (
        {"inputs": {"waveform": [[0.5] * 1_000_000], "num_samples": [1], "transcript": ["a"]}},
        {"inputs": {"waveform": [[]] * 300_000, "num_samples": [1], "transcript": ["a"]}},
        {"instances": [VOICE] * 1000},
        {"instances": [VOICE | {"transcript": "a" * 2_000_000}]},
        {"instances": [VOICE | {"waveform": [0] * 1_000_000, "num_samples": 1_000_000}]},
        " " * (17 * 2**20),
    ):
        response = server.predict(body)
        assert 400 <= response.status_code < 500, response.text
    answers(server)
