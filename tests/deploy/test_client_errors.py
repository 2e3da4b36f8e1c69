"""What the client does about servers that refuse, hesitate, talk nonsense, or are not there."""

import contextlib
import json
import socket
import socketserver
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import grpc
import numpy as np
import pytest
from serving import scripted
from small_bundle import noise

from mmer_tf.deploy.client import (
    DeadlineError,
    EmotionClient,
    ModelNotFoundError,
    OverloadedError,
    ProtocolError,
    RefusedError,
    Retry,
    ServingError,
    UnavailableError,
)
from mmer_tf.deploy.transports.rest import RestTransport

VOICES = [noise(0.4, 1)]
NEVER = Retry(times=0)


def test_an_unknown_model_or_version(address: str):
    for name, version in (("other", None), ("emotion", 9)):
        with EmotionClient(address, name, version=version) as client:
            with pytest.raises(ModelNotFoundError, match="Servable not found for request"):
                client.predict(VOICES[:1])
            with pytest.raises(ModelNotFoundError, match=name):
                client.is_available()


def test_nobody_there(pauses: list[float]):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    for address in (f"http://127.0.0.1:{port}", f"grpc://127.0.0.1:{port}"):
        pauses.clear()
        with EmotionClient(address, "emotion", retry=Retry(times=2)) as client:
            with pytest.raises(UnavailableError, match=f"127.0.0.1:{port}"):
                client.predict(VOICES[:1])
            assert len(pauses) == 2


def test_refusals_are_not_repeated(address: str, pauses: list[float]):
    """A token beyond the vocabulary, which the operation itself refuses."""
    inputs = {
        "has_speech": np.array([False]),
        "has_text": np.array([True]),
        "token_ids": np.array([[10**6]], "int32"),
        "token_mask": np.array([[True]]),
        "log_mel": np.zeros((1, 1, 64), "float32"),
        "log_mel_mask": np.array([[False]]),
    }
    with (
        EmotionClient(address, "emotion") as client,
        pytest.raises(RefusedError, match="1000000 is not in") as caught,
    ):
        client.retry.run(lambda: client._transport.predict("features", inputs))
    assert isinstance(caught.value, ValueError) and pauses == []


CODES = [
    (grpc.StatusCode.UNAVAILABLE, 503, UnavailableError),
    (grpc.StatusCode.RESOURCE_EXHAUSTED, 429, OverloadedError),
    (grpc.StatusCode.DEADLINE_EXCEEDED, 504, DeadlineError),
    (grpc.StatusCode.INVALID_ARGUMENT, 400, RefusedError),
    (grpc.StatusCode.NOT_FOUND, 404, ModelNotFoundError),
    (grpc.StatusCode.INTERNAL, 500, ProtocolError),
]


@pytest.mark.parametrize(("code", "status", "kind"), CODES)
def test_errors_by_what_can_be_done_about_them(service, code, status, kind):
    address, one = service
    with EmotionClient(address, "emotion", retry=NEVER) as client:
        one.failures.append((code, "no luck"))
        with pytest.raises(kind, match=rf"no luck \({code.name}\)") as caught:
            client.predict(VOICES[:1])
        assert caught.type is kind and caught.value.status == code.name
        assert client.predict(VOICES[:1])
    body = json.dumps({"error": "no luck"}).encode()
    with (
        scripted([(status, body)]) as (address, _),
        EmotionClient(address, "emotion", retry=NEVER) as client,
    ):
        with pytest.raises(kind, match=rf"no luck \({status}\)") as caught:
            client.predict(VOICES[:1])
        assert caught.type is kind and caught.value.status == status
        assert client.predict(VOICES[:1])[0].label == "sad"


def test_what_is_safe_is_repeated(service, pauses: list[float]):
    address, one = service
    busy = (grpc.StatusCode.UNAVAILABLE, "busy")
    with EmotionClient(address, "emotion", retry=Retry(times=4)) as client:
        one.failures += [busy] * 4
        assert client.predict(VOICES[:1])
        assert len(pauses) == 4
        for number, pause in enumerate(pauses):
            assert 0.5 <= pause / (0.1 * 2**number) <= 1.5
        one.failures += [busy] * 5
        with pytest.raises(UnavailableError):
            client.predict(VOICES[:1])
        assert not one.failures
    pauses.clear()
    answers = [(503, b'{"error": "full"}'), (502, b"<html>"), (None, None)]
    with scripted(answers) as (address, seen), EmotionClient(address, "emotion") as client:
        assert client.predict(VOICES[:1])[0].label == "sad"
    assert seen == ["GET", "POST", "POST", "POST", "POST"] and len(pauses) == 3


def test_time_outs_are_repeated_only_when_asked_for(service, pauses: list[float]):
    address, one = service
    late = (grpc.StatusCode.DEADLINE_EXCEEDED, "late")
    for retry, times in ((Retry(), 0), (Retry(after_timeout=True), 3)):
        with EmotionClient(address, "emotion", retry=retry) as client:
            one.failures[:] = [late] * (times + 1)
            with pytest.raises(DeadlineError) as caught:
                client.predict(VOICES[:1])
            assert isinstance(caught.value, TimeoutError)
            assert len(pauses) == times and not one.failures


def test_a_server_that_says_nothing(pauses: list[float]):
    for kind in ("http", "grpc"):
        with socket.create_server(("127.0.0.1", 0)) as listener:
            address = f"{kind}://127.0.0.1:{listener.getsockname()[1]}"
            with (
                EmotionClient(address, "emotion", timeout=0.2) as client,
                pytest.raises(DeadlineError),
            ):
                client.is_available()
    assert pauses == []


HEAD = b"HTTP/1.1 200 OK\r\n"
NO_MODEL = b'{"model_version_status": []}'
GOOD = HEAD + b"Content-Length: %d\r\n\r\n" % len(NO_MODEL) + NO_MODEL


@contextlib.contextmanager
def behaving(behave: Callable[[socket.socket, threading.Event], None]) -> Iterator[str]:
    """A server that does with each connection what a function does, until the event is set."""
    done = threading.Event()

    class Handler(socketserver.BaseRequestHandler):
        def handle(self):
            with contextlib.suppress(OSError):
                behave(self.request, done)

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            done.set()
            server.shutdown()
            thread.join()


def trickle(connection: socket.socket, done: threading.Event, once: bytes, again: bytes) -> None:
    connection.sendall(once)
    while not done.wait(0.05):
        connection.sendall(again)


@contextlib.contextmanager
def too_late(
    timeout: float, kind: type[ServingError] = DeadlineError, message: str = "no answer in"
) -> Iterator[None]:
    """What is inside ends in time, with the error that tells of it."""
    start = time.monotonic()
    with pytest.raises(kind, match=message):
        yield
    assert timeout - 0.05 <= time.monotonic() - start <= timeout + 0.6


@pytest.mark.parametrize(
    ("once", "again"),
    [
        (b"", b"H"),
        (HEAD, b"a"),
        (HEAD, b"a: b\r\n"),
        (b"", b"HTTP/1.1 102 Processing\r\n\r\n"),
        (HEAD + b"Content-Length: 1000\r\n\r\n", b" "),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n"),
    ],
    ids=["status", "header", "headers", "interim answers", "body", "chunks"],
)
def test_a_server_that_talks_too_slowly(once: bytes, again: bytes):
    with (
        behaving(lambda connection, done: trickle(connection, done, once, again)) as address,
        EmotionClient(address, "emotion", timeout=0.3) as client,
        ThreadPoolExecutor(3) as pool,
    ):

        def ask(delay: float) -> None:
            time.sleep(delay)
            with too_late(0.3):
                client.is_available()

        list(pool.map(ask, (0, 0.1, 0.2)))  # each thread has a deadline of its own


def test_a_server_that_listens_too_slowly():
    def behave(connection: socket.socket, done: threading.Event) -> None:
        while not done.wait(0.1):
            connection.recv(2**18)

    with behaving(behave) as address:
        transport = RestTransport(address, "emotion", None, 0.5)
        text = np.array(["a" * 2**24], object)
        with too_late(0.5):
            transport.predict("serving_default", {"transcript": text})
        transport.close()


def test_a_proxy_that_talks_too_slowly(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    with behaving(lambda connection, done: trickle(connection, done, HEAD, b"a")) as address:
        monkeypatch.setenv("http_proxy", address)
        with (
            EmotionClient("http://models.invalid", "emotion", timeout=0.3) as client,
            too_late(0.3),
        ):
            client.is_available()


def test_a_handshake_that_does_not_end():
    record = b"\x16\x03\x03\x40\x00"  # the head of 16 KiB that follow byte by byte
    with (
        behaving(lambda connection, done: trickle(connection, done, record, b"\x00")) as address,
        EmotionClient(address.replace("http", "https"), "emotion", retry=NEVER, timeout=0.3) as one,
        too_late(0.3, UnavailableError, "no connection in 0.3 s"),
    ):
        one.is_available()


def test_a_connection_serves_again_and_has_another_deadline():
    """The server is slow at the third request, which comes when the first deadline is over."""
    connections = []

    def behave(connection: socket.socket, done: threading.Event) -> None:
        connections.append(connection)
        for _ in range(2):
            connection.recv(2**16)
            connection.sendall(GOOD)
        connection.recv(2**16)
        trickle(connection, done, HEAD, b"a")

    with behaving(behave) as address, EmotionClient(address, "emotion", timeout=0.3) as client:
        assert not client.is_available()
        time.sleep(0.4)
        assert not client.is_available()
        with too_late(0.3):
            client.is_available()
    assert len(connections) == 1


def test_all_addresses_of_a_host_share_one_deadline(monkeypatch: pytest.MonkeyPatch):
    found = socket.getaddrinfo
    monkeypatch.setattr(socket, "getaddrinfo", lambda *one, **more: 4 * found(*one, **more))
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener:
        port = listener.getsockname()[1]
        address = f"http://127.0.0.1:{port}"
        with (
            socket.create_connection(("127.0.0.1", port)),  # which leaves no room for another
            EmotionClient(address, "emotion", retry=NEVER, timeout=0.4) as client,
            too_late(0.4, UnavailableError, "no connection in 0.4 s"),
        ):
            client.is_available()


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b"<html>", b'{"predictions": []}', b'{"outputs": 3}', b'{"outputs": {}}',
     b'{"outputs": {"label": [], "labels": [], "probabilities": []}}',
     b'{"outputs": {"label": ["a"], "labels": [["a", "b"]], "probabilities": [[1]]}}'],
)  # fmt: skip
def test_answers_of_no_model_server(body: bytes):
    with (
        scripted([(200, body)]) as (address, _),
        EmotionClient(address, "emotion") as client,
        pytest.raises(ProtocolError),
    ):
        client.predict(VOICES[:1])


def test_an_answer_that_is_not_compressed_as_it_says():
    def behave(connection: socket.socket, done: threading.Event) -> None:
        connection.recv(2**16)
        connection.sendall(GOOD.replace(b"OK\r\n", b"OK\r\nContent-Encoding: gzip\r\n"))

    with (
        behaving(behave) as address,
        EmotionClient(address, "emotion") as client,
        pytest.raises(ProtocolError, match="cannot be decoded"),
    ):
        client.is_available()


def test_a_model_that_takes_something_else():
    with (
        scripted([], ("lld", "num_frames")) as (address, _),
        EmotionClient(address, "emotion") as client,
        pytest.raises(RefusedError, match="takes lld, num_frames, which this client does not"),
    ):
        client.predict(VOICES[:1])


def test_errors_have_one_base():
    kinds = (DeadlineError, ModelNotFoundError, OverloadedError, ProtocolError, RefusedError)
    assert all(issubclass(kind, ServingError) for kind in (*kinds, UnavailableError))
