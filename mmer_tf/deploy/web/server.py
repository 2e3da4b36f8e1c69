"""Serves the page from one socket until a signal ends it."""

import asyncio
import logging
import signal
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import gradio as gr
import numpy as np
import uvicorn
from fastapi import FastAPI, Request, Response
from starlette.concurrency import run_in_threadpool
from starlette.middleware.trustedhost import TrustedHostMiddleware

from mmer_tf.deploy.web.examples import FOLDER
from mmer_tf.deploy.web.live import Microphones
from mmer_tf.deploy.web.page import SCRIPT, STYLE
from mmer_tf.deploy.web.privacy import LOOPBACK, KeptToItself

LARGEST = "500mb"
"""Of a file."""

MOST_BYTES = 32 * 2**20
"""Of a microphone, at once: more than the page ever holds back."""

_FONTS = ("system-ui", "Segoe UI", "Roboto", "sans-serif")
_MONOSPACE = ("ui-monospace", "Consolas", "monospace")


def _theme() -> gr.themes.Default:
    """Fonts of the system, and white on a blue that is dark enough to be read."""
    return gr.themes.Default(
        primary_hue=gr.themes.colors.blue,
        text_size="lg",
        font=[gr.themes.Font(name) for name in _FONTS],
        font_mono=[gr.themes.Font(name) for name in _MONOSPACE],
    ).set(
        button_primary_background_fill="*primary_700",
        button_primary_background_fill_dark="*primary_700",
        button_primary_background_fill_hover="*primary_800",
        button_primary_background_fill_hover_dark="*primary_800",
        block_label_text_color="#4b5563",
        block_title_text_color="#4b5563",
    )


def make_app(page: gr.Blocks, microphones: Microphones, host: str) -> FastAPI:
    """The page as an ASGI application.

    Args:
        page: of `page.make_page`.
        microphones: take what `live.js` sends.
        host: that is listened at; where it is this machine alone, only this machine's names are
            answered, so that no page from elsewhere can ask through the user's browser.
    """

    @asynccontextmanager
    async def forgetting(app: FastAPI) -> AsyncIterator[None]:
        task = asyncio.create_task(_forget(microphones))
        yield
        task.cancel()

    app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None, lifespan=forgetting)

    @app.post("/live")
    async def live(request: Request) -> Response:
        return await _live(microphones, request)

    gr.mount_gradio_app(
        app,
        page,
        path="/",
        server_name=host,
        allowed_paths=[str(FOLDER)],
        show_error=False,
        max_file_size=LARGEST,
        footer_links=[],
        run_history=False,
        ssr_mode=False,
        mcp_server=False,
        pwa=False,
        enable_monitoring=False,
        theme=_theme(),
        app_kwargs={"openapi_url": None, "docs_url": None, "redoc_url": None},
        # Not as `css`, of which Gradio changes the selectors and their weight.
        head=f"<style>{STYLE}</style><script>{SCRIPT}</script>",
    )
    app.add_middleware(KeptToItself)
    if host in ("127.0.0.1", "localhost", "::1"):
        app.add_middleware(TrustedHostMiddleware, allowed_hosts=list(LOOPBACK))
    return app


async def _forget(microphones: Microphones) -> None:
    while True:
        await asyncio.sleep(10)
        microphones.forget()


async def _live(microphones: Microphones, request: Request) -> Response:
    """Some seconds of a microphone: float32 samples, little-endian, as the body.

    A browser sends the header `x-microphone` from this page alone, since other pages would have to
    be allowed to.
    """
    query, key = request.query_params, request.headers.get("x-microphone", "")
    rate = query.get("rate", "")
    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > MOST_BYTES:
            return Response("too many samples at once", 413)
    if len(key) < 32 or not rate.isdecimal() or len(rate) > 6 or len(body) % 4:
        return Response("not what the page sends", 400)
    samples = np.frombuffer(body, "<f4")
    drawn = await run_in_threadpool(
        microphones.push,
        key,
        query.get("run", ""),
        query.get("asr", ""),
        int(rate),
        np.clip(np.nan_to_num(samples), -1, 1),
        query.get("last") == "1",
    )
    return Response(drawn, media_type="text/html")


def serve(app: FastAPI, listener: socket.socket, verbose: bool = False) -> None:
    """Answer until SIGINT, SIGTERM or SIGHUP.

    Args:
        app: of `make_app`.
        listener: bound.
        verbose: log each request.
    """
    config = uvicorn.Config(
        app,
        log_level="info" if verbose else "warning",
        access_log=verbose,
        server_header=False,
        timeout_graceful_shutdown=1,  # the page holds a connection open
    )
    server = uvicorn.Server(config)

    def worth_telling(record: logging.LogRecord) -> bool:
        """What is cut off on purpose at the end is no error."""
        error = record.exc_info[1] if record.exc_info else None
        cut = isinstance(error, asyncio.CancelledError) or "timeout graceful" in str(record.msg)
        return not (server.should_exit and cut)

    if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        signal.signal(signal.SIGHUP, server.handle_exit)
    log = logging.getLogger("uvicorn.error")
    log.addFilter(worth_telling)
    try:
        server.run(sockets=[listener])
    except SystemExit:
        # uvicorn stops in good order and then hands the signal on: it has done its work.
        if not server.should_exit:
            raise
    finally:
        log.removeFilter(worth_telling)
