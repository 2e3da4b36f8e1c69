"""`python -m mmer_tf.serve`: what it prints, what it refuses, and how it leaves."""

import re
import signal
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx2
import numpy as np
import pytest
from small_bundle import noise

from mmer_tf import cli, serve
from mmer_tf.deploy.client import EmotionClient, Retry


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--port", "70000"], "must be a port from 0 to 65535, not '70000'"),
        (["--port", "x"], "must be a port"),
        (["--max-batch-size", "0"], "must be a whole number from 1, not '0'"),
        (["--batch-timeout", "-1"], "must be a whole number from 0"),
    ],
)
def test_options_that_make_no_sense(arguments, message: str, capsys):
    with pytest.raises(SystemExit) as stop:
        serve.make_parser().parse_args(["--model", "x", *arguments])
    assert stop.value.code == 2 and message in capsys.readouterr().err


def test_a_taken_port_is_told(tmp_path: Path, capsys):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = str(listener.getsockname()[1])
        arguments = ["--model", str(tmp_path), "--port", port]
        assert cli.run(serve.main, serve.make_parser(), arguments) == cli.USER_ERROR
    assert f"cannot listen at 127.0.0.1:{port} (Address already in use" in capsys.readouterr().err


def test_a_host_that_is_none_is_told(tmp_path: Path, capsys):
    arguments = ["--model", str(tmp_path), "--host", "256.1.1.1", "--port", "0"]
    assert cli.run(serve.main, serve.make_parser(), arguments) == cli.USER_ERROR
    assert "cannot listen at 256.1.1.1:0" in capsys.readouterr().err


def test_no_model_is_told(tmp_path: Path, capsys):
    arguments = ["--model", str(tmp_path / "nowhere"), "--port", "0"]
    assert cli.run(serve.main, serve.make_parser(), arguments) == cli.USER_ERROR
    assert "nowhere: no such folder; write it with" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_after_the_last_answer(versions: Path, small_bundle, number):
    """Requests are under way all the time; every one that was accepted is answered."""
    command = [sys.executable, "-m", "mmer_tf.serve", "--model", str(versions), "--port", "0"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        line = process.stdout.readline()
        (address,) = re.findall(r"emotion version 3 at (http://127.0.0.1:\d+)/v1/", line)
        voices, words = [noise(0.9, 1)], ["Never again."]
        (wanted,) = small_bundle.predict(voices, words)
        answered, lost, stop = [], [], threading.Event()

        def ask() -> None:
            with EmotionClient(address, "emotion", retry=Retry(times=0)) as client:
                while not stop.is_set():
                    try:
                        answered.extend(client.predict(voices, words))
                    except Exception as error:
                        lost.append(error)
                        return

        with ThreadPoolExecutor(8) as pool:
            for _ in range(8):
                pool.submit(ask)
            until = time.monotonic() + 60
            while len(answered) < 50 and time.monotonic() < until:
                time.sleep(0.01)
            process.send_signal(number)
            process.wait(60)
            stop.set()
        assert process.returncode == (0 if number == signal.SIGTERM else cli.INTERRUPTED)
        assert "Traceback" not in process.stderr.read()
    assert len(answered) >= 50
    for answer in answered:
        np.testing.assert_allclose(
            list(answer.probabilities.values()), list(wanted.probabilities.values()), atol=1e-5
        )
    # Those who came afterwards found nobody, or a connection that had been closed when idle.
    for error in lost:
        causes = (httpx2.ConnectError, httpx2.RemoteProtocolError, httpx2.ReadError)
        assert isinstance(error.__cause__, causes), error
