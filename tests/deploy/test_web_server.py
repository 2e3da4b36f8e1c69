"""The page over HTTP: it asks nobody else, and keeps nothing."""

import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from starlette.testclient import TestClient
from stream_fakes import room, voice
from web_fakes import make_desk

from mmer_tf import cli, demo
from mmer_tf.bundle import Bundle
from mmer_tf.deploy.web.live import Microphones
from mmer_tf.deploy.web.privacy import keep_to_itself, private_folder

KEY = "0123456789abcdef" * 2


@pytest.fixture(scope="module")
def page_parts(small_bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRADIO_TEMP_DIR", str(tmp_path_factory.mktemp("gradio")))
        for name in ("GRADIO_ANALYTICS_ENABLED", "GRADIO_RUN_HISTORY", "HF_HUB_OFFLINE"):
            patch.setenv(name, "")  # put back at the end
        keep_to_itself()
        asked: list[str] = []
        look_up = socket.getaddrinfo

        def told(host, *rest, **more):
            asked.append(str(host))
            return look_up(host, *rest, **more)

        patch.setattr(socket, "getaddrinfo", told)
        from mmer_tf.deploy.web.page import make_page
        from mmer_tf.deploy.web.server import make_app

        yield make_page, make_app, make_desk(small_bundle)
        assert set(asked) <= {"127.0.0.1", "localhost"}  # neither telemetry nor a newer version


@pytest.fixture(scope="module")
def page(page_parts) -> Iterator[TestClient]:
    make_page, make_app, desk = page_parts
    app = make_app(make_page(desk), Microphones(desk), "127.0.0.1")
    with TestClient(app, base_url="http://127.0.0.1") as client:
        yield client


def test_the_page_may_load_nothing_from_elsewhere(page: TestClient):
    answer = page.get("/")
    assert answer.status_code == 200
    policy = answer.headers["content-security-policy"]
    assert "default-src 'self'" in policy and "http" not in policy and "*" not in policy
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert answer.headers["cache-control"] == "no-store"
    # Script and style sheets; addresses in `meta` and in texts are not loaded.
    loaded = re.findall(r"<(?:script|link|img)[^>]+(?:src|href)=[\"']([^\"']+)", answer.text)
    assert not [address for address in loaded if address.startswith(("http", "//"))]


def test_pages_from_elsewhere_are_not_answered(page: TestClient):
    assert page.get("/", headers={"host": "evil.example"}).status_code == 400
    assert page.get("/", headers={"host": "localhost:7860"}).status_code == 200
    assert page.get("/", headers={"host": "[::1]:7860"}).status_code == 200


def send(page: TestClient, wave: np.ndarray, key: str = KEY, **query) -> tuple[int, str]:
    query = {"run": "small", "asr": "pocketsphinx", "rate": 16000, "last": 0} | query
    answer = page.post("/live", params=query, content=wave.tobytes(), headers={"x-microphone": key})
    return answer.status_code, answer.text


def test_a_microphone(page: TestClient):
    assert send(page, voice(2.5))[0] == 200
    status, html = send(page, room(1), last=1)
    assert status == 200 and "never again" in html and "Download CSV" in html


def test_samples_that_are_none(page: TestClient):
    assert send(page, voice(0.1), key="short")[0] == 400
    assert send(page, voice(0.1), rate="fast")[0] == 400
    assert send(page, np.zeros(3, "uint8"))[0] == 400
    assert send(page, np.zeros(9_000_000, "float32"))[0] == 413
    status, html = send(page, np.full(1600, np.nan, "float32"), last=1)
    assert status == 200 and "mmer-problem" not in html


def test_what_is_not_the_pages_is_not_served(page: TestClient, tmp_path: Path):
    (tmp_path / "secret.txt").write_text("secret")
    for file in (tmp_path / "secret.txt", "/etc/passwd"):
        assert page.get(f"/gradio_api/file={file}").status_code in (403, 404)
    example = Path(demo.__file__).parent / "deploy" / "web" / "examples" / "sad.ogg"
    assert page.get(f"/gradio_api/file={example}").status_code == 200


def test_recordings_are_removed_after_a_while(page_parts, tmp_path: Path, monkeypatch):
    make_page, make_app, desk = page_parts
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    page = make_page(desk)
    assert page.delete_cache == (60, 1800)
    page.delete_cache = (1, 1)
    app = make_app(page, Microphones(desk), "127.0.0.1")
    with TestClient(app, base_url="http://127.0.0.1") as client:
        answer = client.post("/gradio_api/upload", files={"files": ("voice.wav", b"RIFF private")})
        file = Path(answer.json()[0])
        assert file.is_relative_to(tmp_path) and file.read_bytes() == b"RIFF private"
        for _ in range(100):
            if not file.exists():
                break
            time.sleep(0.1)
        assert not file.exists()


def test_what_browsers_send_is_private_and_goes():
    before = tempfile.gettempdir()
    with private_folder() as folder:
        assert folder.stat().st_mode & 0o077 == 0
        assert Path(tempfile.gettempdir()).is_relative_to(folder)
        assert Path(os.environ["GRADIO_TEMP_DIR"]).is_relative_to(folder)
        (folder / "recordings" / "voice.wav").write_bytes(b"private")
    assert not folder.exists() and tempfile.gettempdir() == before


ANSWERS_LATE = """
import asyncio, socket, sys
from fastapi import FastAPI
from mmer_tf.deploy.web.privacy import private_folder
from mmer_tf.deploy.web.server import serve

app = FastAPI()

@app.get("/")
async def late():
    print("asked", flush=True)
    await asyncio.sleep(60)

with private_folder(), socket.create_server(("127.0.0.1", 0)) as listener:
    print(listener.getsockname()[1], flush=True)
    try:
        serve(app, listener)
    except KeyboardInterrupt:
        pass
print("the end")
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_the_end_is_quiet_and_leaves_nothing(tmp_path: Path, number: signal.Signals):
    process = subprocess.Popen(
        [sys.executable, "-c", ANSWERS_LATE],
        env=os.environ | {"TMPDIR": str(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        port = next(line for line in process.stdout if line.strip().isdecimal()).strip()
        with socket.create_connection(("127.0.0.1", int(port))) as asking:
            asking.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert process.stdout.readline() == "asked\n"
            assert len(list(tmp_path.glob("mmer_tf-demo-*"))) == 1
            process.send_signal(number)
            said, _ = process.communicate(timeout=60)
    finally:
        process.kill()
    assert said == "the end\n" and process.returncode == 0
    assert not list(tmp_path.glob("mmer_tf-demo-*"))


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_ended_before_the_address_is_told(
    small_bundle: Bundle, tmp_path: Path, number: signal.Signals
):
    small_bundle.save(tmp_path / "runs" / "small")
    (tmp_path / "temporary").mkdir()
    process = subprocess.Popen(
        [sys.executable, "-m", "mmer_tf.demo", "--runs", tmp_path / "runs", "--port", "0"],
        env=os.environ | {"TMPDIR": str(tmp_path / "temporary")},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        while not list((tmp_path / "temporary").glob("mmer_tf-demo-*")):
            assert process.poll() is None
            time.sleep(0.01)
        process.send_signal(number)
        said, _ = process.communicate(timeout=120)
    finally:
        process.kill()
    assert said == "" and process.returncode == 128 + number
    assert not list((tmp_path / "temporary").glob("mmer_tf-demo-*"))


def test_what_can_be_asked_is_not_listed(page: TestClient):
    for path in ("/openapi.json", "/docs", "/redoc"):
        assert page.get(path).status_code == 404


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--port", "70000"], "must be a port from 0 to 65535, not '70000'"),
        (["--threshold", "2"], "must be a number from 0 to 1, not '2'"),
        (["--threshold", "x"], "must be a number from 0 to 1, not 'x'"),
    ],
)
def test_options_that_make_no_sense(arguments, told: str, capsys):
    with pytest.raises(SystemExit) as stop:
        demo.make_parser().parse_args(arguments)
    assert stop.value.code == 2 and told in capsys.readouterr().err


def test_no_run_is_told(tmp_path: Path, capsys):
    arguments = ["--runs", str(tmp_path)]
    assert cli.run(demo.main, demo.make_parser(), arguments) == cli.USER_ERROR
    assert "no finished run; train one with `make train`" in capsys.readouterr().err
    assert cli.run(demo.main, demo.make_parser(), [*arguments, "--run", "x"]) == cli.USER_ERROR
    assert "x: no finished run; `ls " in capsys.readouterr().err


def test_a_taken_port_is_told(small_bundle: Bundle, tmp_path: Path, capsys):
    small_bundle.save(tmp_path / "small")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = str(listener.getsockname()[1])
        arguments = ["--runs", str(tmp_path), "--port", port]
        assert cli.run(demo.main, demo.make_parser(), arguments) == cli.USER_ERROR
    error = capsys.readouterr().err
    assert f"cannot listen at 127.0.0.1:{port} (Address already in use" in error
    assert "--port" in error and "Traceback" not in error


def test_weights_that_are_none_are_told(small_bundle: Bundle, tmp_path: Path, capsys):
    small_bundle.save(tmp_path / "small")
    arguments = ["--runs", str(tmp_path), "--port", "0", "--whisper", str(tmp_path / "nowhere")]
    assert cli.run(demo.main, demo.make_parser(), arguments) == cli.USER_ERROR
    error = capsys.readouterr().err
    assert "nowhere" in error and "Traceback" not in error


def test_a_missing_extra_is_told(small_bundle: Bundle, tmp_path: Path, capsys, monkeypatch):
    small_bundle.save(tmp_path / "small")
    monkeypatch.setitem(sys.modules, "gradio", None)  # cannot be imported
    for name in ("GRADIO_ANALYTICS_ENABLED", "GRADIO_RUN_HISTORY", "HF_HUB_OFFLINE"):
        monkeypatch.setenv(name, "")
    arguments = ["--runs", str(tmp_path), "--port", "0"]
    assert cli.run(demo.main, demo.make_parser(), arguments) == cli.USER_ERROR
    assert "the web page needs the extra 'demo': pip install \"mmer-tf[demo]\"" in (
        capsys.readouterr().err
    )


@pytest.mark.parametrize("screen", [True, False])
def test_page_is_opened_where_there_is_a_screen(
    small_bundle: Bundle, page_parts, tmp_path: Path, monkeypatch, screen: bool
):
    small_bundle.save(tmp_path / "small")
    from mmer_tf.deploy.web import server

    opened: list[str] = []
    monkeypatch.setattr(server, "serve", lambda app, listener, verbose: None)
    monkeypatch.setattr(demo.webbrowser, "open", opened.append)
    monkeypatch.setattr(demo, "has_screen", lambda: screen)
    for name in ("GRADIO_ANALYTICS_ENABLED", "GRADIO_RUN_HISTORY", "HF_HUB_OFFLINE"):
        monkeypatch.setenv(name, "")
    arguments = ["--runs", str(tmp_path), "--port", "0", "--open"]
    assert cli.run(demo.main, demo.make_parser(), arguments) == 0
    assert [bool(re.fullmatch(r"http://127\.0\.0\.1:\d+", one)) for one in opened] == [
        True
    ] * screen
