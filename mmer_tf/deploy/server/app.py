"""The ASGI application: paths, limits and time-outs around a loaded model."""

import asyncio
import logging
import re
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from http import HTTPStatus
from urllib.parse import quote

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from mmer_tf.deploy.server.batching import Batcher, Batching
from mmer_tf.deploy.server.errors import RequestError, shortened
from mmer_tf.deploy.server.loaded_model import DEFAULT_SIGNATURE, LoadedModel
from mmer_tf.deploy.server.rest import (
    read_request,
    servable_not_found,
    status_not_found,
    status_of,
    write_answer,
    write_error,
)
from mmer_tf.deploy.server.validation import Limits, validated

MODEL = r"(?i:/v1/models)/([^/:]+)(?:/(?i:versions)/(\d+)|/(?i:labels)/([^/:]+))?"
PREDICTION_PATH = re.compile(MODEL + r":(classify|regress|predict)")
STATUS_PATH = re.compile(MODEL + r"(?:/(metadata))?")
"""As in TensorFlow Serving's `http_rest_api_util.cc`."""

EXPECTED = {
    "classify": ("classification", "tensorflow/serving/classify"),
    "regress": ("regression", "tensorflow/serving/regress"),
}
"""Method -> how its signatures are called, which `export` does not write."""

THROWN_AWAY_BODIES = 4
"""How many times the limit of a body is read of one that is too large."""

logger = logging.getLogger(__name__)


class PredictionServer:
    """Answers HTTP requests with one model.

    Args:
        model: loaded.
        limits: what a client may ask for.
        batching: how requests are put together.
        threads: batches that are computed at once.
    """

    def __init__(self, model: LoadedModel, limits: Limits, batching: Batching, threads: int = 1):
        self.model = model
        self.limits = limits
        self.batching = batching
        self.threads = threads
        self._held_bytes = 0
        self._batchers: dict[str, Batcher] = {}

    def app(self) -> Starlette:
        """What an ASGI server runs."""
        return Starlette(
            routes=[
                Route("/healthz", self._healthy, methods=["GET"]),
                Route("/{path:path}", self._dispatch, methods=["GET", "POST"]),
            ],
            exception_handlers={
                RequestError: _refused,
                HTTPException: _malformed,
                ClientDisconnect: _gone,
                Exception: _failed,
            },
            lifespan=self._running,
        )

    @asynccontextmanager
    async def _running(self, app: Starlette) -> AsyncIterator[None]:
        """Threads and queues while the application runs; what is queued is answered first."""
        free = asyncio.Semaphore(self.threads)
        # JSON is parsed under Python's global lock: a second thread would gain nothing.
        with (
            ThreadPoolExecutor(self.threads, "batch") as compute,
            ThreadPoolExecutor(1, "json") as self._json,
        ):
            for name, signature in self.model.signatures.items():
                if signature.inputs:
                    run = partial(self.model.run, name)
                    self._batchers[name] = Batcher(run, self.batching, compute, free)
            yield
            for batcher in self._batchers.values():
                await batcher.close()

    async def _healthy(self, request: Request) -> Response:
        return JSONResponse({"status": "ok"})

    async def _dispatch(self, request: Request) -> Response:
        path = request.scope["path"]
        if request.method == "POST" and (match := PREDICTION_PATH.fullmatch(path)):
            name, version, label, method = match.groups()
            self._find(name, self._version(version, label), servable_not_found)
            if method != "predict":
                kind, expected = EXPECTED[method]
                found = self.model.signatures[DEFAULT_SIGNATURE].method
                raise RequestError(
                    f"Expected {kind} signature method_name to be {expected}. Was: {found}"
                )
            return await self._predict(request)
        if request.method != "POST" and (match := STATUS_PATH.fullmatch(path)):
            name, version, label, what = match.groups()
            number = self._version(version, label)
            self._find(name, number, servable_not_found if what else status_not_found)
            return JSONResponse(self.model.metadata if what else status_of(self.model))
        known = path.lower().startswith("/v1/")
        raise _malformed_request(request, HTTPStatus.BAD_REQUEST if known else HTTPStatus.NOT_FOUND)

    def _version(self, version: str | None, label: str | None) -> int | None:
        if label is not None:
            raise RequestError(f"Unrecognized servable version label: {shortened(label)}")
        if version is None:
            return None
        if len(version) > 18:  # digits that surely fit into 64 bits
            raise RequestError(f"Failed to convert version: {shortened(version)} to numeric.")
        return int(version)

    def _find(self, name: str, version: int | None, refusal: Callable[..., RequestError]) -> None:
        if name != self.model.name or version not in (None, self.model.version):
            raise refusal(shortened(name), version)

    async def _predict(self, request: Request) -> Response:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self.limits.timeout
        encoding = request.headers.get("content-encoding", "identity")
        if encoding.lower() != "identity":
            raise RequestError(
                f"Content-Encoding {shortened(encoding)}: send the body as it is",
                HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            )
        with self._accounted() as hold:
            body = await self._read_body(request, deadline, hold)
            signature, inputs, row_format = await loop.run_in_executor(
                self._json, self._parsed, body
            )
            outputs = await self._batchers[signature].answer(inputs, deadline - loop.time())
            answer = await loop.run_in_executor(self._json, write_answer, outputs, row_format)
        return Response(answer, media_type="application/json")

    def _parsed(self, body: bytes):
        request = read_request(body, self.model)
        inputs = validated(request.signature, request.inputs, self.limits)
        return request.signature.name, inputs, request.row_format

    @contextmanager
    def _accounted(self):
        """Counts the bytes of a body for as long as its request is under way."""
        held = 0

        def hold(count: int) -> None:
            nonlocal held
            if self._held_bytes + count > self.limits.held_bytes:
                raise RequestError(
                    "The server holds as many requests as it can", HTTPStatus.SERVICE_UNAVAILABLE
                )
            self._held_bytes += count
            held += count

        try:
            yield hold
        finally:
            self._held_bytes -= held

    async def _read_body(self, request: Request, deadline: float, hold) -> bytes:
        """The whole body.

        One that is too large is read on for a while and thrown away, so that the client reads
        the refusal rather than a broken connection.
        """
        chunks, size = [], 0
        try:
            async with asyncio.timeout_at(deadline):
                async for chunk in request.stream():
                    size += len(chunk)
                    if size <= self.limits.body_bytes:
                        hold(len(chunk))
                        chunks.append(chunk)
                    else:
                        chunks.clear()
                    if size > THROWN_AWAY_BODIES * self.limits.body_bytes:
                        break
        except TimeoutError as error:
            raise RequestError(
                "Timed out reading the request", HTTPStatus.REQUEST_TIMEOUT
            ) from error
        if size > self.limits.body_bytes:
            raise RequestError(
                f"The body has more than {self.limits.body_bytes} bytes; send fewer rows at once",
                HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
            )
        return b"".join(chunks)


def _malformed_request(request: Request, status: HTTPStatus) -> RequestError:
    path = shortened(quote(request.scope["path"], safe="/:"))
    return RequestError(f"Malformed request: {request.method} {path}", status)


async def _refused(request: Request, error: Exception) -> Response:
    """What a client got wrong, or what is too much."""
    assert isinstance(error, RequestError)
    if error.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        logger.warning("%s: %s", quote(request.scope["path"], safe="/:"), error)
    return _error(error.message, error.status)


async def _malformed(request: Request, error: Exception) -> Response:
    """A method that no path has."""
    assert isinstance(error, HTTPException)
    refusal = _malformed_request(request, HTTPStatus(error.status_code))
    return _error(refusal.message, refusal.status)


async def _gone(request: Request, error: Exception) -> Response:
    """The client left before its request was read: nobody reads this any more."""
    return Response(status_code=HTTPStatus.BAD_REQUEST)


async def _failed(request: Request, error: Exception) -> Response:
    """A defect of ours; its trace goes to the log."""
    return _error("Internal error; the server's log tells of it", HTTPStatus.INTERNAL_SERVER_ERROR)


def _error(message: str, status: HTTPStatus) -> Response:
    return Response(write_error(message), status_code=status, media_type="application/json")
