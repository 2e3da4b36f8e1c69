"""The client against this package's server and against TensorFlow Serving's own protocol."""

import contextlib
import json
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import grpc
import numpy as np
import pytest
import soundfile
from prediction_service import prediction_service
from serving import serving
from small_bundle import SPEECH, TEXT, make_bundle, noise

from mmer_tf.audio.decode import AudioError, decode
from mmer_tf.deploy.client import (
    DeadlineError,
    EmotionClient,
    ModelNotFoundError,
    NothingToClassifyError,
    OverloadedError,
    ProtocolError,
    RefusedError,
    Retry,
    ServingError,
    UnavailableError,
)
from mmer_tf.deploy.saved_model import export_saved_model
from mmer_tf.deploy.server.batching import Batching
from mmer_tf.deploy.server.loaded_model import LoadedModel
from mmer_tf.deploy.transports import retry as retry_module

VOICES = [noise(0.4, 1), noise(0.9, 2), None, noise(0.02, 3), noise(2.5, 4)]
WORDS = ["Never again.", "", "Good morning!", "zyx É", "I can't believe it."]
SIXTEEN_BIT = [None if one is None else np.rint(one * 32767) / np.float32(32768) for one in VOICES]
NEVER = Retry(times=0)
BOTH = ("waveform", "num_samples", "transcript")


@pytest.fixture(scope="module")
def service(loaded: LoadedModel) -> Iterator:
    with prediction_service(loaded) as (address, one):
        yield address, one


@pytest.fixture(params=["REST", "gRPC"])
def address(request: pytest.FixtureRequest) -> str:
    if request.param == "REST":
        return request.getfixturevalue("server").address
    return request.getfixturevalue("service")[0]


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """How long the client waited between its attempts; it does not really wait."""
    waited: list[float] = []
    monkeypatch.setattr(retry_module.time, "sleep", waited.append)
    return waited


def assert_same(answers, others, tolerance: float = 1e-5) -> None:
    for answer, other in zip(answers, others, strict=True):
        assert answer.label == other.label
        assert answer.probabilities == pytest.approx(other.probabilities, abs=tolerance)
        for name in ("speech_attention", "text_attention", "gate"):
            found, wanted = getattr(answer, name), getattr(other, name)
            wanted = np.trim_zeros(wanted, "b") if wanted.any() else wanted[:1]
            np.testing.assert_allclose(found, wanted, atol=tolerance)
            assert found.dtype == np.float32


def test_answers_are_those_of_the_bundle(address: str, small_bundle):
    with EmotionClient(address, "emotion", retry=NEVER) as client:
        assert client.is_available()
        for voices in (VOICES, SIXTEEN_BIT):
            wanted = small_bundle.predict(voices, WORDS)
            assert_same(client.predict(voices, WORDS), wanted)
        assert_same(client.predict(None, WORDS[:1]), small_bundle.predict(None, WORDS[:1]))
        assert_same(client.predict(VOICES[:1]), small_bundle.predict(VOICES[:1]))
    for size in (1, 2):
        with EmotionClient(address, "emotion", version=3, batch_size=size) as client:
            assert_same(client.predict(VOICES, WORDS), small_bundle.predict(VOICES, WORDS))


def test_files_of_any_kind(address: str, small_bundle, tmp_path):
    stereo = np.stack([noise(0.8, 6), noise(0.8, 7)], axis=1)
    soundfile.write(tmp_path / "a.flac", stereo, 44_100)
    soundfile.write(tmp_path / "b.wav", noise(0.5, 8), 16_000, "PCM_16")
    files = [tmp_path / "a.flac", None, str(tmp_path / "b.wav")]
    waveforms = [None if file is None else decode(file) for file in files]
    with EmotionClient(address, "emotion") as client:
        found = client.predict_files(files, WORDS[2:])
        assert_same(found, small_bundle.predict(waveforms, WORDS[2:]))
        with pytest.raises(AudioError, match=r"nowhere.wav: missing file"):
            client.predict_files([tmp_path / "nowhere.wav"])


def test_real_clips(address: str, small_bundle, real_clips):
    wanted = small_bundle.predict([decode(clip) for clip in real_clips])
    with EmotionClient(address, "emotion") as client:
        assert_same(client.predict_files(real_clips), wanted)


def test_wav_files_are_sent_where_they_lose_nothing(server, monkeypatch):
    client = EmotionClient(server.address, "emotion")
    asked = []
    predict = client._transport.predict
    monkeypatch.setattr(
        client._transport,
        "predict",
        lambda signature, inputs: asked.append(signature) or predict(signature, inputs),
    )
    client.predict(SIXTEEN_BIT[:2])
    client.predict(VOICES[:2])
    client.predict([np.ones(10, "float32")])  # one step beyond what 16 bits hold
    assert asked == ["wav", "serving_default", "serving_default"]


def test_requests_hold_similar_lengths_and_few_samples(service):
    address, one = service
    one.requests.clear()
    seconds = (0.1, 3, 0.1, 50, 0.2, 3.5)
    voices = [noise(length, number) for number, length in enumerate(seconds)]
    with EmotionClient(address, "emotion", batch_size=3) as client:
        client.predict(voices)
    shapes = [
        tuple(dimension.size for dimension in request.inputs["waveform"].tensor_shape.dim)
        for request in one.requests
    ]
    assert shapes == [(3, 3200), (2, 56_000), (1, 800_000)]


@pytest.mark.parametrize(
    ("inputs", "arguments", "others", "message"),
    [
        (BOTH[:2], (VOICES[:1], ["a"]), (None, ["a"]), "hears only the voice"),
        (BOTH[2:], (VOICES[:1], ["a"]), (VOICES[:1], None), "reads only the words"),
    ],
)
def test_what_a_model_does_not_take_is_not_sent(inputs, arguments, others, message: str):
    with scripted([], inputs) as (address, seen), EmotionClient(address, "emotion") as client:
        assert set(client._inputs([(VOICES[0], "a")])[1]) == set(inputs)
        assert client.predict(*arguments)[0].label == "sad"
        with pytest.raises(NothingToClassifyError, match=message):
            client.predict(*others)
        assert seen == ["GET", "POST"]


@pytest.mark.slow
def test_models_of_one_modality(tmp_path):
    voice = make_bundle(speech=SPEECH)
    words = make_bundle(text=TEXT)
    for bundle, arguments, others, message in (
        (voice, (VOICES[:2], None), (None, ["a"]), "hears only the voice"),
        (words, (None, WORDS[:1]), (VOICES[:1], None), "reads only the words"),
    ):
        name = "voice" if bundle is voice else "words"
        model = LoadedModel(export_saved_model(bundle, tmp_path / name))
        with serving(model) as served, EmotionClient(served.address, name) as client:
            for answer, other in zip(
                client.predict(*arguments), bundle.predict(*arguments), strict=True
            ):
                assert answer.probabilities == pytest.approx(other.probabilities, abs=1e-5)
            with pytest.raises(NothingToClassifyError, match=message):
                client.predict(*others)


def test_what_is_nothing_to_classify(address: str):
    with EmotionClient(address, "emotion") as client:
        assert client.predict([], []) == []
        with pytest.raises(NothingToClassifyError, match="give waveforms, transcripts or both"):
            client.predict()
        with pytest.raises(NothingToClassifyError, match="utterance 1: neither a recording nor"):
            client.predict([VOICES[0], None], ["a", " "])
        with pytest.raises(ValueError, match=r"Received: \(0,\) for utterance 0"):
            client.predict([np.zeros(0, "float32")])
        with pytest.raises(ValueError, match=r"Received: \(2, 2\) for utterance 0"):
            client.predict([np.zeros((2, 2), "float32")])


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


@contextlib.contextmanager
def scripted(answers: list, inputs: tuple[str, ...] = BOTH) -> Iterator[tuple[str, list[str]]]:
    """An HTTP server that answers with what is in the list, and then as a model server."""
    seen: list[str] = []
    signatures = {"serving_default": {"inputs": {name: {} for name in inputs}}}
    metadata = {"metadata": {"signature_def": {"signature_def": signatures}}}
    good = {"outputs": {"label": ["sad"], "labels": [["sad"]], "probabilities": [[1.0]]}}

    class Handler(BaseHTTPRequestHandler):
        def answer(self):
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            seen.append(self.command)
            scripted = self.command == "POST" and answers
            status, body = answers.pop(0) if scripted else (200, None)
            if status is None:
                self.close_connection = True
                return
            if body is None:
                body = json.dumps(good if self.command == "POST" else metadata).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = answer  # noqa: N815

        def log_message(self, *arguments):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}", seen
        finally:
            server.shutdown()
            thread.join()


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


def test_a_server_that_talks_too_slowly():
    def talk(listener: socket.socket) -> None:
        connection, _ = listener.accept()
        with connection, contextlib.suppress(OSError):
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
            while not done.wait(0.05):
                connection.sendall(b" ")

    done = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=talk, args=(listener,))
        thread.start()
        address = f"http://127.0.0.1:{listener.getsockname()[1]}"
        with EmotionClient(address, "emotion", timeout=0.3) as client:
            with pytest.raises(DeadlineError, match=r"no answer in 0.3 s"):
                client.is_available()
            done.set()
        thread.join()


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


def test_a_model_that_takes_something_else():
    with (
        scripted([], ("lld", "num_frames")) as (address, _),
        EmotionClient(address, "emotion") as client,
        pytest.raises(RefusedError, match="takes lld, num_frames, which this client does not"),
    ):
        client.predict(VOICES[:1])


def test_many_threads_share_a_client(loaded: LoadedModel, small_bundle):
    wanted = small_bundle.predict(VOICES, WORDS)
    with (
        serving(loaded, batching=Batching(max_rows=8)) as served,
        EmotionClient(served.address, "emotion") as client,
        ThreadPoolExecutor(8) as pool,
    ):
        found = list(pool.map(lambda _: client.predict(VOICES, WORDS), range(8)))
    for answers in found:
        assert_same(answers, wanted)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"address": "localhost:8501"}, "must begin with http://, https:// or grpc://"),
        ({"address": "grpc://"}, "name a host"),
        ({"timeout": 0}, "`timeout` must be > 0"),
        ({"batch_size": 0}, "`batch_size` must be >= 1"),
    ],
)
def test_arguments_that_make_no_sense(arguments: dict, message: str):
    with pytest.raises(ValueError, match=message):
        EmotionClient(**{"address": "http://localhost", "model": "emotion"} | arguments)


def test_retries_that_make_no_sense():
    with pytest.raises(ValueError, match="`times` must be >= 0"):
        Retry(times=-1)


def test_errors_have_one_base():
    kinds = (DeadlineError, ModelNotFoundError, OverloadedError, ProtocolError, RefusedError)
    assert all(issubclass(kind, ServingError) for kind in (*kinds, UnavailableError))


def test_rest_needs_no_tensorflow(server):
    code = (
        "import sys\n"
        "import numpy as np\n"
        "from mmer_tf.deploy.client import EmotionClient\n"
        "with EmotionClient(sys.argv[1], 'emotion') as client:\n"
        "    (answer,) = client.predict([np.ones(900, 'float32') / 3], ['Never again.'])\n"
        "print(answer.label)\n"
        "heavy = {'tensorflow', 'keras', 'grpc', 'librosa', 'transformers'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, server.address], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() in ("angry", "happy", "sad")
