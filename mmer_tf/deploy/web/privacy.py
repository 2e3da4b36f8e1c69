"""What keeps the page to itself: no request to another host, no recording that stays."""

import os
import shutil
import signal
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; "
    "style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; media-src 'self' data: blob:; "
    "font-src 'self' data:; connect-src 'self' data: blob:; worker-src 'self' blob:; "
    "object-src 'none'; base-uri 'self'; form-action 'self'; frame-ancestors 'none'"
)
"""What a browser may load: from here alone (Content-Security-Policy)."""

HEADERS = {
    "content-security-policy": POLICY,
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "permissions-policy": "microphone=(self), camera=(), geolocation=()",
    "cache-control": "no-store",
}

LOOPBACK = ("127.0.0.1", "localhost", "[::1]")
"""Names of this machine by which it is asked; others come from pages of elsewhere."""

ENDING = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name))
"""Signals that end the demo, beside Ctrl+C."""


class KeptToItself:
    """Adds what tells the browser to ask nobody else and to keep nothing.

    Args:
        app: an ASGI application.
    """

    def __init__(self, app: Callable):
        self._app = app

    async def __call__(self, scope: dict[str, Any], receive: Callable, send: Callable) -> None:
        """Pass everything on, with more headers."""

        async def sent(message: dict[str, Any]) -> None:
            if message["type"] == "http.response.start":
                replaced = {name.encode() for name in HEADERS}
                headers = [one for one in message["headers"] if one[0].lower() not in replaced]
                added = [(name.encode(), value.encode()) for name, value in HEADERS.items()]
                message = message | {"headers": [*headers, *added]}
            await send(message)

        await self._app(scope, receive, sent)


@contextmanager
def private_folder() -> Iterator[Path]:
    """Where everything that browsers send goes, readable by this user alone; removed at the end.

    Must be entered before Gradio is imported, in the main thread: SIGTERM and a closed terminal
    end the process in good order from now on.
    """
    with _ended_by_signals():
        yield from _private_folder()


def _private_folder() -> Iterator[Path]:
    before = tempfile.tempdir, os.environ.get("GRADIO_TEMP_DIR")
    folder = Path(tempfile.mkdtemp(prefix="mmer_tf-demo-"))
    try:
        os.environ["GRADIO_TEMP_DIR"] = str(folder / "recordings")
        (folder / "recordings").mkdir()
        (folder / "uploads").mkdir()
        tempfile.tempdir = str(folder / "uploads")  # of what is on its way
        yield folder
    finally:
        tempfile.tempdir = before[0]
        os.environ.pop("GRADIO_TEMP_DIR", None)
        if before[1] is not None:
            os.environ["GRADIO_TEMP_DIR"] = before[1]
        for number in ENDING:  # a second one would leave the rest
            signal.signal(number, signal.SIG_IGN)
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _ended_by_signals() -> Iterator[None]:
    def end(number: int, frame: FrameType | None) -> None:
        raise SystemExit(128 + number)

    before = {number: signal.getsignal(number) for number in ENDING}
    try:
        for number, handler in before.items():
            if handler is not signal.SIG_IGN:  # as `nohup` wants it
                signal.signal(number, end)
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def keep_to_itself() -> None:
    """No telemetry, no look for a newer version, no hub. Before Gradio is imported."""
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    os.environ["GRADIO_RUN_HISTORY"] = "False"
    os.environ["HF_HUB_OFFLINE"] = "1"
    os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
