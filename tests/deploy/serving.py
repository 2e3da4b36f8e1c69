"""Servers in a thread of this process, behind a real socket: this package's, and a scripted one."""

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx2
import uvicorn

from mmer_tf.deploy.server.app import PredictionServer
from mmer_tf.deploy.server.batching import Batching
from mmer_tf.deploy.server.validation import Limits


@dataclass
class Served:
    address: str
    http: httpx2.Client
    uvicorn: uvicorn.Server
    thread: threading.Thread

    def predict(self, body, **arguments) -> httpx2.Response:
        if isinstance(body, str | bytes):
            arguments["content"] = body
        else:
            arguments["json"] = body
        return self.http.post("/v1/models/emotion:predict", **arguments)


@contextmanager
def serving(model, limits: Limits | None = None, batching: Batching | None = None):
    """Yields what `Served` says; leaves when the server has stopped."""
    app = PredictionServer(model, limits or Limits(), batching or Batching()).app()
    server = uvicorn.Server(uvicorn.Config(app, log_level="critical"))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        address = f"http://127.0.0.1:{port}"
        try:
            with httpx2.Client(base_url=address, timeout=30) as http:
                yield Served(address, http, server, thread)
        finally:
            server.should_exit = True
            thread.join()


class HeldModel:
    """A loaded model that computes nothing until it is told to.

    Args:
        model: which it stands for.
    """

    def __init__(self, model):
        self.model = model
        self.go = threading.Event()
        self.started = threading.Event()
        self.rows: list[int] = []

    def __getattr__(self, name: str):
        return getattr(self.model, name)

    def run(self, signature, inputs):
        self.rows.append(len(next(iter(inputs.values()))))
        self.started.set()
        assert self.go.wait(30)
        return self.model.run(signature, inputs)


@contextmanager
def held(model) -> Iterator[HeldModel]:
    one = HeldModel(model)
    try:
        yield one
    finally:
        one.go.set()


BOTH = ("waveform", "num_samples", "transcript")
"""Inputs of a model of both modalities."""


@contextmanager
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
