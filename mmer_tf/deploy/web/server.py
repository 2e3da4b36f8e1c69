"""Serves the page from one socket until a signal ends it."""

import signal
import socket

import gradio as gr
import uvicorn
from fastapi import FastAPI
from starlette.middleware.trustedhost import TrustedHostMiddleware

from mmer_tf.deploy.web.examples import FOLDER
from mmer_tf.deploy.web.page import STYLE
from mmer_tf.deploy.web.privacy import LOOPBACK, KeptToItself

LARGEST = "500mb"
"""Of a file."""

_FONTS = [gr.themes.Font(name) for name in ("system-ui", "Segoe UI", "Roboto", "sans-serif")]
_MONOSPACE = [gr.themes.Font(name) for name in ("ui-monospace", "Consolas", "monospace")]


def make_app(page: gr.Blocks, host: str) -> FastAPI:
    """The page as an ASGI application.

    Args:
        page: of `page.make_page`.
        host: that is listened at; where it is this machine alone, only this machine's names are
            answered, so that no page from elsewhere can ask through the user's browser.
    """
    app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None)
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
        theme=gr.themes.Default(font=_FONTS, font_mono=_MONOSPACE, text_size="lg"),
        css=STYLE,
    )
    app.add_middleware(KeptToItself)
    if host in ("127.0.0.1", "localhost", "::1"):
        app.add_middleware(TrustedHostMiddleware, allowed_hosts=list(LOOPBACK))
    return app


def serve(app: FastAPI, listener: socket.socket, verbose: bool = False) -> None:
    """Answer until SIGINT or SIGTERM.

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
    # uvicorn stops in good order and then hands the signal on: it has done its work.
    signal.signal(signal.SIGTERM, lambda number, frame: None)
    uvicorn.Server(config).run(sockets=[listener])
