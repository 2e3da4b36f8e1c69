"""Batches of rows of several requests: who goes with whom, who waits, and who is refused."""

import asyncio
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from mmer_tf.deploy.server.batching import Batcher, Batching, joined, split
from mmer_tf.deploy.server.errors import RequestError


def row(*values: float) -> dict[str, np.ndarray]:
    return {"x": np.float32([values])}


class Doubling:
    """Doubles its input; refuses batches with a 13 in them; waits for `go`."""

    def __init__(self):
        self.go = threading.Event()
        self.go.set()
        self.batches: list[int] = []

    def __call__(self, inputs):
        assert self.go.wait(30)
        self.batches.append(len(inputs["x"]))
        if (inputs["x"] == 13).any():
            raise RequestError("13 is not to be doubled")
        if (inputs["x"] == 666).any():
            raise ZeroDivisionError
        return {"y": 2 * inputs["x"]}


def run(test: Callable[[Batcher, Doubling], Coroutine], **options) -> Doubling:
    """A test with a batcher that is closed behind it."""
    model = Doubling()

    async def scene():
        with ThreadPoolExecutor(1) as executor:
            batcher = Batcher(model, Batching(**options), executor, asyncio.Semaphore(1))
            try:
                await test(batcher, model)
            finally:
                model.go.set()
                await batcher.close()

    asyncio.run(scene())
    return model


async def start(batcher: Batcher, *requests, timeout: float = 30.0) -> list[asyncio.Task]:
    tasks = [asyncio.create_task(batcher.answer(one, timeout)) for one in requests]
    await asyncio.sleep(0)  # all of them are queued, none is computed
    return tasks


def test_joined_rows_are_padded_behind_and_split_again():
    texts = np.array([b"a"], object)
    requests = [
        {"x": np.float32([[1]]), "mask": np.array([[True]]), "t": texts},
        {"x": np.float32([[2, 3], [4, 5]]), "mask": np.ones((2, 2), bool), "t": texts.repeat(2)},
    ]
    batch = joined(requests)
    assert batch["x"].tolist() == [[1, 0], [2, 3], [4, 5]]
    assert batch["mask"].tolist() == [[True, False], [True, True], [True, True]]
    assert batch["t"].tolist() == [b"a"] * 3
    first, second = split(batch, [1, 2])
    assert first["x"].tolist() == [[1, 0]] and second["x"].tolist() == [[2, 3], [4, 5]]
    images = joined([{"i": np.ones((1, 2, 3), "uint8")}, {"i": np.ones((1, 4, 3), "uint8")}])["i"]
    assert images.shape == (2, 4, 3) and images.dtype == np.uint8 and images.sum() == 18


def test_requests_that_wait_together_are_computed_together():
    async def test(batcher, model):
        tasks = await start(batcher, row(1), row(2, 3), row(4))
        answers = await asyncio.gather(*tasks)
        assert [answer["y"][0, 0] for answer in answers] == [2, 4, 8]

    assert run(test, timeout=0.05).batches == [3]


def test_a_full_batch_does_not_wait():
    async def test(batcher, model):
        tasks = await start(batcher, row(1), row(2), row(3))
        await asyncio.gather(*tasks[:2])
        assert not tasks[2].done()
        tasks[2].cancel()

    assert run(test, max_rows=2, timeout=600).batches == [2]


def test_requests_are_not_torn_apart():
    async def test(batcher, model):
        two = {"x": np.float32([[1], [2]])}
        await asyncio.gather(*await start(batcher, two, two, row(3)))

    assert run(test, max_rows=3, timeout=0).batches == [2, 3]


def test_a_request_beyond_the_batch_is_refused():
    async def test(batcher, model):
        message = "Task size 4 is larger than maximum input batch size 3"
        with pytest.raises(RequestError, match=message) as caught:
            await batcher.answer({"x": np.zeros((4, 1), "float32")}, 1)
        assert caught.value.status == 400

    run(test, max_rows=3)


def test_a_full_queue_refuses_and_then_takes_again():
    async def test(batcher, model):
        model.go.clear()
        (computed,) = await start(batcher, row(0))
        await asyncio.sleep(0.05)  # the thread has it, the queue is empty again
        queued = await start(batcher, row(1), row(2))
        with pytest.raises(RequestError, match="this task was submitted is full") as caught:
            await batcher.answer(row(3), 1)
        assert caught.value.status == 503
        model.go.set()
        await asyncio.gather(computed, *queued)
        assert (await batcher.answer(row(3), 30))["y"] == 6

    run(test, max_rows=1, max_queued_rows=2, timeout=0)


def test_timeouts_in_the_queue_and_in_the_model():
    async def test(batcher, model):
        model.go.clear()
        (computed,) = await start(batcher, row(1), timeout=0.2)
        await asyncio.sleep(0.05)
        (queued,) = await start(batcher, row(2), timeout=0.05)
        with pytest.raises(
            RequestError, match="exceeded while waiting in batching queue"
        ) as caught:
            await queued
        assert caught.value.status == 429
        with pytest.raises(RequestError, match="Timed out waiting for notification") as caught:
            await computed
        assert caught.value.status == 504

    assert run(test, timeout=0).batches == [1]  # what nobody waits for is not computed


def test_a_bad_row_does_not_hurt_its_neighbours():
    async def test(batcher, model):
        tasks = await start(batcher, row(1), row(13), row(2))
        first, bad, last = await asyncio.gather(*tasks, return_exceptions=True)
        assert first["y"] == 2 and last["y"] == 4
        assert str(bad) == "13 is not to be doubled"

    assert run(test, timeout=0.05).batches == [3, 1, 1, 1]


def test_a_bad_row_alone_is_asked_once():
    async def test(batcher, model):
        with pytest.raises(RequestError, match="13"):
            await batcher.answer(row(13), 30)

    assert run(test, timeout=0).batches == [1]


def test_a_defect_reaches_those_who_wait_and_no_others():
    async def test(batcher, model):
        with pytest.raises(ZeroDivisionError):
            await batcher.answer(row(666), 30)
        assert (await batcher.answer(row(1), 30))["y"] == 2

    run(test, timeout=0)


def test_closing_answers_what_is_queued():
    async def test(batcher, model):
        tasks = await start(batcher, *(row(number) for number in range(5)))
        await batcher.close()
        assert [task.result()["y"][0, 0] for task in tasks] == [0, 2, 4, 6, 8]

    run(test, max_rows=2, timeout=0.01)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_rows": 0}, "`max_rows` must be >= 1"),
        ({"timeout": -1}, "`timeout` must be >= 0"),
        ({"max_rows": 9, "max_queued_rows": 8}, "`max_queued_rows` must be >= `max_rows`"),
    ],
)
def test_options_that_make_no_sense(options, message: str):
    with pytest.raises(ValueError, match=message):
        Batching(**options)
