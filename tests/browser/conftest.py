"""A real browser (Debian's chromium, driven by Playwright) and the demo as a real process."""

import os
import re
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr
from screens import DESKTOP, PATIENCE
from small_bundle import SPEECH, TEXT, make_bundle

from mmer_tf.audio.decode import decode
from mmer_tf.deploy.web.examples import read_examples

SCREENSHOTS = Path(__file__).parent / "screenshots"
CHROMIUM = "/usr/bin/chromium"
FLAGS = (
    "--no-sandbox",  # tests run as root
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--use-fake-device-for-media-stream",
    "--use-fake-ui-for-media-stream",
)


@pytest.fixture(scope="session")
def speech(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All examples one after the other, with pauses, 48 kHz: what the fake microphone hears."""
    pause = np.zeros(16_000, "float32")
    parts = [part for one in read_examples() for part in (decode(one.path), pause)]
    file = tmp_path_factory.mktemp("speech") / "speech.wav"
    wave = soxr.resample(np.concatenate(parts), 16_000, 48_000)
    soundfile.write(file, wave, 48_000, subtype="PCM_16")
    return file


@pytest.fixture(scope="session")
def browser(speech: Path) -> Iterator:
    if shutil.which(CHROMIUM) is None:
        pytest.skip("no /usr/bin/chromium: apt-get install chromium")
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        pytest.skip("no Playwright: pip install playwright")
    with sync_playwright() as playwright:
        flags = [*FLAGS, f"--use-file-for-fake-audio-capture={speech}"]
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=flags)
        yield chromium
        chromium.close()


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory, browser) -> Iterator[str]:
    """Address of the demo with three small runs; not started where there is no browser."""
    runs = tmp_path_factory.mktemp("runs")
    temporary = tmp_path_factory.mktemp("temporary")
    data = {"max_seconds": 10.0}
    make_bundle(speech=SPEECH, data=data).save(runs / "voice")
    make_bundle(text=TEXT, data=data).save(runs / "words")
    make_bundle(speech=SPEECH, text=TEXT, fusion="gmu", data=data).save(runs / "both")
    command = [sys.executable, "-m", "mmer_tf.demo", "--runs", str(runs), "--run", "both"]
    process = subprocess.Popen(
        [*command, "--port", "0", "--threshold", "0.4"],
        env=os.environ | {"TMPDIR": str(temporary)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    lines: list[str] = []
    ready = threading.Event()

    def read() -> None:
        for line in process.stdout:
            lines.append(line)
            if line.startswith("open http"):
                ready.set()
        ready.set()

    threading.Thread(target=read, daemon=True).start()
    try:
        assert ready.wait(180), "the demo did not start in time: " + "".join(lines)
        found = re.search(r"open (http://127\.0\.0\.1:\d+/)", "".join(lines))
        assert found, "".join(lines)
        yield found.group(1)
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) in (0, -signal.SIGTERM)
        assert "Traceback" not in "".join(lines), "".join(lines)
        assert not list(temporary.iterdir())  # of what was recorded, nothing is left
    finally:
        process.kill()


@pytest.fixture
def open_page(browser, demo: str, request: pytest.FixtureRequest) -> Iterator[Callable]:
    """Opens the demo, each time as a browser that was never there.

    What was asked of other hosts, and what the page complained of, fails the test.
    """
    contexts, elsewhere, complaints = [], [], []

    def asked(url: str) -> None:
        if not url.startswith((demo, "data:", "blob:")):
            elsewhere.append(url)

    def complained(text: str) -> None:
        # The player says so of a file that is none; the page does too.
        if "Waveform load error" not in text:
            complaints.append(text)

    def open_one(size: tuple[int, int] = DESKTOP):
        context = browser.new_context(viewport=dict(zip(("width", "height"), size, strict=True)))
        contexts.append(context)
        context.set_default_timeout(PATIENCE)
        page = context.new_page()
        page.on("request", lambda one: asked(one.url))
        page.on("websocket", lambda one: asked(one.url.replace("ws:", "http:")))
        page.on("pageerror", lambda one: complained(str(one)))
        page.on("console", lambda one: complained(one.text) if one.type == "error" else None)
        page.goto(demo)
        page.get_by_role("button", name="Happy").wait_for()
        return page

    yield open_one
    if getattr(request.node, "failed", False):
        SCREENSHOTS.mkdir(exist_ok=True)
        pages = [page for context in contexts for page in context.pages]
        for number, page in enumerate(pages):
            file = SCREENSHOTS / f"{request.node.name}-{number}.png"
            page.screenshot(path=file, full_page=True)
            print(f"screenshot: {file}")
    for context in contexts:
        context.close()
    assert not elsewhere and not complaints


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    outcome = yield
    report = outcome.get_result()
    if report.when == "call":
        item.failed = report.failed
