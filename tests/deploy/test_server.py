"""The server over a real socket: its answers, its limits, its refusals and its end."""

import base64
import gzip
import io
import json
import socket
import threading
import time
import wave
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from serving import Served, held, serving
from small_bundle import LABELS, noise

from mmer_tf.deploy.description import FORMAT_VERSION, ServedModelError
from mmer_tf.deploy.server.batching import Batching
from mmer_tf.deploy.server.loaded_model import LoadedModel
from mmer_tf.deploy.server.validation import Limits

MODEL = "/v1/models/emotion"
VOICES = [noise(0.4, 1), noise(0.9, 2), None, noise(0.02, 3), noise(2.5, 4)]
WORDS = ["Never again.", "", "Good morning!", "zyx É", "I can't believe it."]


def wav_file(samples: np.ndarray, rate=16_000, channels=1, width=2, extra: bytes = b"") -> bytes:
    stream = io.BytesIO()
    with wave.open(stream, "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(width)
        file.setframerate(rate)
        file.writeframes(samples.tobytes())
    content = stream.getvalue()
    if not extra:
        return content
    chunk = b"LIST" + len(extra).to_bytes(4, "little") + extra
    size = len(content) + len(chunk) - 8
    return b"RIFF" + size.to_bytes(4, "little") + content[8:36] + chunk + content[36:] + chunk


def packed(content: bytes) -> dict[str, str]:
    return {"b64": base64.b64encode(content).decode()}


def row(voice: np.ndarray | None, words: str) -> dict:
    samples = [0.0] if voice is None else voice.astype("float64").tolist()
    count = 0 if voice is None else len(voice)
    return {"waveform": samples, "num_samples": count, "transcript": words}


def wav_row(content: bytes, words: str = "Never again.") -> dict:
    return {"wav": packed(content), "transcript": words}


def expected(bundle, voices, words) -> np.ndarray:
    return np.array([list(one.probabilities.values()) for one in bundle.predict(voices, words)])


def probabilities(response) -> np.ndarray:
    assert response.status_code == 200, response.text
    return np.array([one["probabilities"] for one in response.json()["predictions"]])


def error(response, status: int = 400) -> str:
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/json"
    (key,) = response.json()
    assert key == "error"
    return response.json()["error"]


def test_rows_are_answered_as_by_the_bundle(server: Served, small_bundle):
    for voice, words in zip(VOICES, WORDS, strict=True):
        found = server.predict({"instances": [row(voice, words)]})
        wanted = expected(small_bundle, [voice], [words])
        np.testing.assert_allclose(probabilities(found), wanted, atol=1e-5)
        (one,) = found.json()["predictions"]
        assert one["label"] == LABELS[wanted[0].argmax()] and one["labels"] == list(LABELS)


def test_columns_are_answered_as_by_the_bundle(server: Served, small_bundle):
    longest = max(len(voice) for voice in VOICES if voice is not None)
    rows = [row(voice, words) for voice, words in zip(VOICES, WORDS, strict=True)]
    columns = {name: [one[name] for one in rows] for name in rows[0]}
    columns["waveform"] = [one + [0.0] * (longest - len(one)) for one in columns["waveform"]]
    found = server.predict({"inputs": columns})
    assert found.status_code == 200, found.text
    outputs = found.json()["outputs"]
    wanted = expected(small_bundle, VOICES, WORDS)
    np.testing.assert_allclose(outputs["probabilities"], wanted, atol=1e-5)
    assert outputs["label"] == [LABELS[index] for index in wanted.argmax(axis=1)]


def test_wav_files_with_and_without_extra_chunks(server: Served, small_bundle):
    samples = np.rint(noise(0.5, 5) * 32767).astype("int16")
    wanted = expected(small_bundle, [samples / np.float32(32768)], ["Never again."])
    contents = [wav_file(samples), wav_file(samples, extra=b"INFOISFT\x04\0\0\0Lavf")]
    found = server.predict({"signature_name": "wav", "instances": list(map(wav_row, contents))})
    np.testing.assert_allclose(probabilities(found), wanted.repeat(2, axis=0), atol=1e-5)
    nothing = server.predict({"signature_name": "wav", "instances": [wav_row(b"")]})
    words_alone = expected(small_bundle, [None], ["Never again."])
    np.testing.assert_allclose(probabilities(nothing), words_alone, atol=1e-5)


def test_neither_voice_nor_words_have_no_label(server: Served):
    found = server.predict({"instances": [row(None, "")]})
    assert found.json()["predictions"][0]["label"] == ""
    np.testing.assert_allclose(probabilities(found), 1 / 3, atol=1e-6)


def test_status_metadata_and_health(server: Served, loaded: LoadedModel):
    status = {"error_code": "OK", "error_message": ""}
    entry = {"version": "3", "state": "AVAILABLE", "status": status}
    for path in (MODEL, f"{MODEL}/versions/3", "/V1/Models/emotion"):
        assert server.http.get(path).json() == {"model_version_status": [entry]}
    metadata = server.http.get(f"{MODEL}/metadata").json()
    assert metadata["model_spec"] == {"name": "emotion", "signature_name": "", "version": "3"}
    signatures = metadata["metadata"]["signature_def"]["signature_def"]
    waveform = signatures["serving_default"]["inputs"]["waveform"]
    assert waveform["dtype"] == "DT_FLOAT"
    assert [one["size"] for one in waveform["tensor_shape"]["dim"]] == ["-1", "-1"]
    assert signatures["wav"]["method_name"] == "tensorflow/serving/predict"
    assert server.http.get("/healthz").status_code == 200
    assert server.http.head("/healthz").status_code == 200


def test_a_version_may_be_named(server: Served):
    body = {"instances": [row(None, "Never again.")]}
    assert server.http.post(f"{MODEL}/versions/3:predict", json=body).status_code == 200
    for address, status, message in (
        (f"{MODEL}/versions/2:predict", 404, "not found for request: Specific(emotion, 2)"),
        ("/v1/models/other:predict", 404, "Servable not found for request: Latest(other)"),
        (f"{MODEL}/labels/stable:predict", 400, "Unrecognized servable version label: stable"),
        (f"{MODEL}/versions/{'9' * 99}:predict", 400, "Failed to convert version: 999"),
        (f"{MODEL}:classify", 400, "method_name to be tensorflow/serving/classify. Was: tens"),
        (f"{MODEL}:regress", 400, "Expected regression signature method_name"),
    ):
        assert message in error(server.http.post(address, json=body), status)
    for address, message in (
        (f"{MODEL}/versions/2", "Could not find version 2 of model emotion"),
        ("/v1/models/other", "Could not find any versions of model other"),
        ("/v1/models/other/metadata", "Servable not found for request: Latest(other)"),
    ):
        assert message in error(server.http.get(address), 404)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", f"{MODEL}:predict", 400),
        ("POST", MODEL, 400),
        ("POST", f"{MODEL}:guess", 400),
        ("GET", "/v1/models", 400),
        ("GET", "/", 404),
        ("GET", "/v1/models/a%2Fb", 400),
        ("DELETE", MODEL, 405),
        ("PUT", f"{MODEL}:predict", 405),
        ("BREW", MODEL, 405),
    ],
)
def test_what_is_no_path_or_method(server: Served, method: str, path: str, status: int):
    assert error(server.http.request(method, path), status).startswith(
        f"Malformed request: {method}"
    )


VOICE = noise(0.1, 9)
SAMPLES = np.zeros(80, "int16")
COLUMNS = {"waveform": [[0.5] * 9], "num_samples": [9], "transcript": ["a"]}


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"waveform": [[float("nan")] * 9]}, "input waveform: holds NaN or infinite values"),
        ({"waveform": [[float("inf")] * 9]}, "input waveform: holds NaN or infinite values"),
        ({"waveform": [[9000.0] * 9]}, "beyond full scale (largest value 9000); scale them"),
        ({"waveform": [0.5]}, "input waveform: Expecting shape [?,?] but got: [1]"),
        ({"waveform": [[[0.5]]]}, "input waveform: Expecting shape [?,?] but got: [1,1,1]"),
        ({"num_samples": [10]}, "input num_samples: 10 is not between 0 and the 9 samples"),
        ({"num_samples": [-1]}, "input num_samples: -1 is not between 0"),
        ({"num_samples": 9}, "Batching Run() input tensors must have at least one dimension"),
        ({"num_samples": [9, 9]}, "input tensors must have equal 0th-dimension size"),
        ({"waveform": [], "num_samples": [], "transcript": []}, "must have at least one row"),
        ({"transcript": [packed(b"\xff")]}, "input transcript: is no UTF-8 text"),
        ({"transcript": ["a" * 10_001]}, "input transcript: 10001 characters, the limit is 10000"),
        ({"waveform": [[0] * 960_001]}, "input waveform: 60.0 s of audio, the limit is 60 s"),
    ],
)
def test_values_that_the_model_cannot_take(server: Served, fields: dict, message: str):
    assert message in error(server.predict(json.dumps({"inputs": COLUMNS | fields})))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"no wav", "input wav: is no WAV file"),
        (b"RIFF", "input wav: is no WAV file"),
        (wav_file(SAMPLES).replace(b"data", b"eata"), "data chunk missing"),
        (wav_file(SAMPLES[:0])[:36] + b"eata\x09\0\0\0", "is no WAV file (it ends too early)"),
        (wav_file(SAMPLES)[:-1], "159 of 160 bytes of samples are there"),
        (wav_file(SAMPLES)[:44], "input wav: holds no samples"),
        (wav_file(SAMPLES[:0]), "input wav: holds no samples"),
        (wav_file(SAMPLES, rate=8_000), "this one has 8000 Hz, 1 channels and 16 bits"),
        (wav_file(SAMPLES, channels=2), "this one has 16000 Hz, 2 channels and 16 bits"),
        (wav_file(SAMPLES, width=4), "this one has 16000 Hz, 1 channels and 32 bits"),
        (wav_file(np.zeros(960_001, "int16")), "input wav: 60.0 s of audio, the limit is 60 s"),
    ],
)
def test_wav_files_that_the_model_cannot_take(server: Served, content: bytes, message: str):
    body = {"signature_name": "wav", "instances": [wav_row(content)]}
    assert message in error(server.predict(body))


FEATURES = {
    "has_speech": [True], "has_text": [True], "token_ids": [[2, 5, 3]], "token_mask": [[True] * 3],
    "log_mel": [[[0.0] * 64] * 4], "log_mel_mask": [[True] * 4],
}  # fmt: skip


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"log_mel_mask": [[True]]}, "input log_mel_mask: Expecting shape [1,4], one value for"),
        ({"log_mel_mask": [[True] * 9]}, "of log_mel, but got: [1,9]"),
        ({"log_mel_mask": [[]]}, "of log_mel, but got: [1,0]"),
        ({"token_mask": [[True]]}, "input token_mask: Expecting shape [1,3], one value for"),
        ({"token_ids": [[2]]}, "of token_ids, but got: [1,3]"),
    ],
)
def test_masks_are_as_long_as_what_they_mask(server: Served, fields: dict, message: str):
    body = {"signature_name": "features", "inputs": FEATURES}
    assert server.predict(body).status_code == 200
    assert message in error(server.predict(body | {"inputs": FEATURES | fields}))


def test_a_token_that_the_model_does_not_know_hurts_only_its_own_request(loaded: LoadedModel):
    """Nothing but the computation itself can tell that it is none."""
    bodies = [FEATURES, FEATURES | {"token_ids": [[2, 10**6, 3]]}, FEATURES]
    bodies = [{"signature_name": "features", "inputs": one} for one in bodies]
    with serving(loaded, batching=Batching(timeout=0.5)) as served, ThreadPoolExecutor(3) as pool:
        first, bad, last = pool.map(served.predict, bodies)
    assert "1000000 is not in" in error(bad)
    assert first.json() == last.json() and first.status_code == 200


def test_answers_in_a_batch_are_those_alone(loaded: LoadedModel, server: Served, small_bundle):
    bodies = [{"instances": [row(*one)]} for one in zip(VOICES, WORDS, strict=True)]
    with held(loaded) as model, serving(model) as served, ThreadPoolExecutor(9) as pool:
        blocker = pool.submit(served.predict, bodies[0])
        assert model.started.wait(30)
        waiting = [pool.submit(served.predict, body) for body in bodies]
        wait_for_queue(served, 5)
        model.go.set()
        together = [one.result() for one in waiting]
        assert model.rows == [1, 5] and blocker.result().status_code == 200
    found = np.concatenate([probabilities(one) for one in together])
    np.testing.assert_allclose(found, expected(small_bundle, VOICES, WORDS), atol=1e-5)
    for body, one in zip(bodies, together, strict=True):
        (alone,) = server.predict(body).json()["predictions"]
        (batched,) = one.json()["predictions"]
        steps = len(alone["speech_attention"])
        assert not any(batched["speech_attention"][steps:])  # the padding of its neighbours
        batched["speech_attention"] = batched["speech_attention"][:steps]
        for name in ("speech_attention", "gate"):
            np.testing.assert_allclose(batched[name], alone[name], atol=1e-5)


def wait_for_queue(served: Served, rows: int) -> None:
    """Until so many rows wait in a queue."""
    app = served.uvicorn.config.app
    server = next(route.endpoint.__self__ for route in app.routes)
    until = time.monotonic() + 30
    while sum(one._queued_rows() for one in server._batchers.values()) < rows:
        assert time.monotonic() < until
        time.sleep(0.01)


def test_a_full_queue_is_told_and_emptied(loaded: LoadedModel):
    body = {"instances": [row(None, "Never again.")]}
    batching = Batching(max_rows=1, max_queued_rows=2, timeout=0)
    with held(loaded) as model, serving(model, batching=batching) as served:
        with ThreadPoolExecutor(3) as pool:
            running = pool.submit(served.predict, body)
            assert model.started.wait(30)
            queued = [pool.submit(served.predict, body) for _ in range(2)]
            wait_for_queue(served, 2)
            assert "to which this task was submitted is full" in error(served.predict(body), 503)
            assert served.http.get(MODEL).status_code == 200
            model.go.set()
            assert all(one.result().status_code == 200 for one in (running, *queued))
        assert served.predict(body).status_code == 200


def test_too_long_a_wait_is_told(loaded: LoadedModel):
    body = {"instances": [row(None, "Never again.")]}
    with held(loaded) as model, serving(model, Limits(timeout=0.5)) as served:
        assert "Timed out waiting for notification" in error(served.predict(body), 504)
        assert "waiting in batching queue" in error(served.predict(body), 429)
        model.go.set()
        assert served.predict(body).status_code == 200


def test_large_bodies(loaded: LoadedModel):
    limits = Limits(body_bytes=1000, held_bytes=1500)
    body = json.dumps({"instances": [row(None, "Never again.")]})
    with held(loaded) as model, serving(model, limits) as served:
        told = "The body has more than 1000 bytes; send fewer rows at once"
        assert told in error(served.predict(body + " " * 1000), 413)
        pieces = (b" " * 100 for _ in range(20))  # no Content-Length to see it from
        assert told in error(served.http.post(f"{MODEL}:predict", content=pieces), 413)
        with ThreadPoolExecutor(1) as pool:
            first = pool.submit(served.predict, body + " " * (950 - len(body)))
            assert model.started.wait(30)
            told = "The server holds as many requests as it can"
            assert told in error(served.predict(body + " " * (950 - len(body))), 503)
            model.go.set()
            assert first.result().status_code == 200
        assert served.predict(body + " " * (950 - len(body))).status_code == 200


def test_compressed_bodies_are_not_inflated(server: Served):
    body = gzip.compress(json.dumps({"inputs": COLUMNS}).encode())
    found = server.predict(body, headers={"Content-Encoding": "gzip"})
    assert "send the body as it is" in error(found, 415)


def test_a_client_that_stops_talking(loaded: LoadedModel):
    head = f"POST {MODEL}:predict HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n".encode()
    with serving(loaded, Limits(timeout=0.3)) as served:
        port = int(served.address.rpartition(":")[2])
        with socket.create_connection(("127.0.0.1", port)) as connection:
            connection.sendall(head + b"{")
            connection.settimeout(30)
            assert connection.recv(1000).startswith(b"HTTP/1.1 408")
        with socket.create_connection(("127.0.0.1", port)) as connection:
            connection.sendall(head + b"{")  # and leaves
        assert served.http.get(MODEL).status_code == 200


def test_requests_under_way_are_answered_before_the_end(loaded: LoadedModel, small_bundle):
    body = {"instances": [row(VOICES[0], WORDS[0])]}
    with held(loaded) as model, serving(model) as served, ThreadPoolExecutor(3) as pool:
        waiting = [pool.submit(served.predict, body)]
        assert model.started.wait(30)
        waiting += [pool.submit(served.predict, body) for _ in range(2)]
        wait_for_queue(served, 2)
        served.uvicorn.should_exit = True
        threading.Timer(0.5, model.go.set).start()
        served.thread.join(30)
        assert not served.thread.is_alive()
        wanted = expected(small_bundle, VOICES[:1], WORDS[:1])
        for one in waiting:
            np.testing.assert_allclose(probabilities(one.result()), wanted, atol=1e-5)
        port = int(served.address.rpartition(":")[2])
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port))


def test_what_is_no_model_is_told(versions, loaded: LoadedModel, tmp_path):
    assert (loaded.name, loaded.version) == ("emotion", 3)
    assert loaded.description["labels"] == list(LABELS)
    with pytest.raises(ServedModelError, match=r"nowhere: no such folder; write it"):
        LoadedModel(tmp_path / "nowhere")
    with pytest.raises(ServedModelError, match=r"holds no version of a model"):
        LoadedModel(tmp_path)
    version = tmp_path / "7"
    version.mkdir()
    (version / "saved_model.pb").write_bytes(b"\xff\xff")
    with pytest.raises(ServedModelError, match=r"cannot be loaded \(saved_model.pb is damaged\)"):
        LoadedModel(tmp_path)
    extra = version / "assets.extra"
    extra.mkdir()
    for text, message in (
        (f'{{"format_version": {FORMAT_VERSION + 1}}}', rf"in format {FORMAT_VERSION + 1}.*update"),
        ("{", r"mmer_tf.json: damaged"),
    ):
        (extra / "mmer_tf.json").write_text(text)
        with pytest.raises(ServedModelError, match=message):
            LoadedModel(tmp_path)


def test_the_newest_version_is_taken(versions, tmp_path):
    for name in ("9", "10", "partial-11"):
        (tmp_path / name).symlink_to(versions / "3")
    (tmp_path / "12").mkdir()  # not written to its end
    assert LoadedModel(versions / "3").version == 3
    model = LoadedModel(tmp_path, name="mood")
    assert model.folder.name == "10" and (model.name, model.version) == ("mood", 10)


def test_warm_up_requests_are_those_of_the_file(loaded: LoadedModel, versions, monkeypatch):
    seen = []
    monkeypatch.setattr(loaded, "run", lambda name, inputs: seen.append((name, inputs)))
    assert loaded.warm_up() == 3
    assert [name for name, _ in seen] == ["serving_default", "serving_default", "wav"]
    assert [len(inputs["transcript"]) for _, inputs in seen] == [1, 8, 1]
