"""Rows of several requests computed at once.

A batch closes when it is full, or when its first request has waited for `timeout` and a thread is
free. The refusals are worded as by TensorFlow's `shared_batch_scheduler` and TensorFlow Serving's
`batching_session`.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field
from http import HTTPStatus

import numpy as np

from mmer_tf.deploy.server.errors import RequestError
from mmer_tf.deploy.server.loaded_model import Arrays
from mmer_tf.types import Seconds


@dataclass(frozen=True)
class Batching:
    """How requests are put together.

    Args:
        max_rows: of one batch, and of one request.
        timeout: how long the first request of a batch waits for others.
        max_queued_rows: that wait for a thread; requests beyond it are refused.

    Raises:
        ValueError: a number that is too small.
    """

    max_rows: int = 32
    timeout: Seconds = 0.005
    max_queued_rows: int = 512

    def __post_init__(self):
        if self.max_rows < 1:
            raise ValueError(f"`max_rows` must be >= 1. Received: max_rows={self.max_rows}.")
        if self.timeout < 0:
            raise ValueError(f"`timeout` must be >= 0. Received: timeout={self.timeout}.")
        if self.max_queued_rows < self.max_rows:
            raise ValueError(
                "`max_queued_rows` must be >= `max_rows`. "
                f"Received: max_queued_rows={self.max_queued_rows}, max_rows={self.max_rows}."
            )


@dataclass(eq=False)
class _Task:
    """One request in the queue."""

    inputs: Arrays
    rows: int
    arrived: Seconds
    future: asyncio.Future[Arrays] = field(default_factory=asyncio.Future)


class Batcher:
    """Batches the requests for one signature. Belongs to one event loop.

    Args:
        run: computes a batch; called in a thread.
        options: how requests are put together.
        executor: the threads.
        free: as many as there are threads, shared with the batchers of other signatures.
    """

    def __init__(
        self,
        run: Callable[[Arrays], Arrays],
        options: Batching,
        executor: Executor,
        free: asyncio.Semaphore,
    ):
        self._run = run
        self._options = options
        self._executor = executor
        self._free = free
        self._queue: deque[_Task] = deque()
        self._changed = asyncio.Event()
        self._running: set[asyncio.Task] = set()
        self._loop = asyncio.create_task(self._form_batches())

    async def answer(self, inputs: Arrays, timeout: Seconds) -> Arrays:
        """The outputs for the rows of one request.

        Args:
            inputs: validated.
            timeout: after which nobody waits for the answer any more.

        Raises:
            RequestError: too many rows, a full queue, no answer in time, or values that the model
                refuses.
        """
        rows = _rows(inputs)
        if rows > self._options.max_rows:
            raise RequestError(
                f"Task size {rows} is larger than maximum input batch size {self._options.max_rows}"
            )
        if self._queued_rows() + rows > self._options.max_queued_rows:
            raise RequestError(
                "The batch scheduling queue to which this task was submitted is full",
                HTTPStatus.SERVICE_UNAVAILABLE,
            )
        task = _Task(inputs, rows, asyncio.get_running_loop().time())
        self._queue.append(task)
        self._changed.set()
        try:
            async with asyncio.timeout(timeout):
                return await task.future
        except TimeoutError as error:
            if task in self._queue:
                raise RequestError(
                    "Run() timeout exceeded while waiting in batching queue",
                    HTTPStatus.TOO_MANY_REQUESTS,
                ) from error
            raise RequestError(
                "Timed out waiting for notification", HTTPStatus.GATEWAY_TIMEOUT
            ) from error
        finally:
            with contextlib.suppress(ValueError):  # it is being computed, or answered
                self._queue.remove(task)

    async def close(self) -> None:
        """Compute what is under way, and stop."""
        while self._queue or self._running:
            await asyncio.sleep(0.01)
        self._loop.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._loop

    def _queued_rows(self) -> int:
        return sum(task.rows for task in self._queue)

    async def _form_batches(self) -> None:
        while True:
            await self._filled()
            await self._free.acquire()  # meanwhile others may come, or those that wait give up
            batch = self._take()
            if not batch:
                self._free.release()
                continue
            running = asyncio.create_task(self._compute(batch))
            self._running.add(running)
            running.add_done_callback(self._running.discard)

    async def _filled(self) -> None:
        """Until there is a full batch, or one that has waited long enough."""
        while self._queued_rows() < self._options.max_rows:
            self._changed.clear()
            closes = self._queue[0].arrived + self._options.timeout if self._queue else None
            try:
                async with asyncio.timeout_at(closes):
                    await self._changed.wait()
            except TimeoutError:
                return

    def _take(self) -> list[_Task]:
        """The requests at the head of the queue that fit into one batch."""
        batch: list[_Task] = []
        rows = 0
        while self._queue and rows + self._queue[0].rows <= self._options.max_rows:
            batch.append(self._queue.popleft())
            rows += batch[-1].rows
        return batch

    async def _compute(self, batch: Sequence[_Task]) -> None:
        try:
            await self._answer_together(batch)
        finally:
            self._free.release()

    async def _answer_together(self, batch: Sequence[_Task]) -> None:
        try:
            answers = await self._in_thread([task.inputs for task in batch])
        except RequestError as error:
            if len(batch) == 1:
                _settle(batch[0], error)
                return
            # One of them is to blame, and the others are not to suffer for it.
            for task in batch:
                if not task.future.done():
                    await self._answer_together([task])
        except Exception as error:
            # A defect of ours: those who wait are told, and it is logged with their requests.
            for task in batch:
                _settle(task, error)
        else:
            for task, answer in zip(batch, answers, strict=True):
                _settle(task, answer)

    async def _in_thread(self, requests: Sequence[Arrays]) -> list[Arrays]:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._executor, self._answers, requests)

    def _answers(self, requests: Sequence[Arrays]) -> list[Arrays]:
        return split(self._run(joined(requests)), [_rows(inputs) for inputs in requests])


def joined(requests: Sequence[Arrays]) -> dict[str, np.ndarray]:
    """One batch of the rows of several requests, the shorter ones padded behind.

    The padding is zero, False, or no bytes: a mask says of it that nothing is there. (TensorFlow
    Serving pads with the first value of the request's tensor instead.)
    """
    if len(requests) == 1:
        return dict(requests[0])
    return {name: _stacked([inputs[name] for inputs in requests]) for name in requests[0]}


def split(outputs: Arrays, rows: Sequence[int]) -> list[dict[str, np.ndarray]]:
    """The outputs of each request."""
    ends = np.cumsum(rows)[:-1]
    parts = {name: np.split(values, ends) for name, values in outputs.items()}
    return [{name: parts[name][number] for name in parts} for number in range(len(rows))]


def _settle(task: _Task, result: Arrays | Exception) -> None:
    """Hand over an answer or an error, where somebody still waits for it."""
    if task.future.done():
        return
    if isinstance(result, Exception):
        task.future.set_exception(result)
    else:
        task.future.set_result(result)


def _rows(inputs: Arrays) -> int:
    return len(next(iter(inputs.values())))


def _stacked(tensors: Sequence[np.ndarray]) -> np.ndarray:
    sizes = np.max([tensor.shape[1:] for tensor in tensors], axis=0).astype(int)
    shape = (sum(map(len, tensors)), *sizes)
    padding = b"" if tensors[0].dtype == object else 0
    batch = np.full(shape, padding, tensors[0].dtype)
    first = 0
    for tensor in tensors:
        place = (slice(first, first + len(tensor)), *(slice(size) for size in tensor.shape[1:]))
        batch[place] = tensor
        first += len(tensor)
    return batch
