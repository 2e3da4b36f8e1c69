"""Worker processes: how they are started, left alone by the keyboard, gone when their parent is."""

import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import connection, forkserver
from multiprocessing.context import BaseContext

_server: list[BaseContext] = []


def import_ahead() -> None:
    """Begin to import what computes features, in a process that all workers become forks of.

    The import takes seconds: so it happens once, while this process does other things, and not
    once a worker; the memory of the code is shared, too. That process does nothing else, so that a
    fork of it is safe, and stays as long as this one: for commands that do little else than start
    workers.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["mmer_tf.data.writer"])
    with silent_children():
        forkserver.ensure_running()
    _server[:] = [context]


def worker_context() -> BaseContext:
    """How workers are started: from the process of `import_ahead`, else each anew."""
    return _server[0] if _server else multiprocessing.get_context("spawn")


@contextmanager
def silent_children() -> Iterator[None]:
    """Start processes without standard error, where TensorFlow's messages are not wanted.

    It greets there whatever its log level is. Errors come back through the futures.
    """
    if os.environ.get("TF_CPP_MIN_LOG_LEVEL") != "3":
        yield
        return
    original = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(original, 2)
        os.close(original)
        os.close(nowhere)


def end_with_parent() -> None:
    """Ignore interrupts, which the parent answers, and end when it ends, however it does.

    To be called once, in the worker.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    assert parent is not None
    threading.Thread(target=_exit_with, args=(parent.sentinel,), daemon=True).start()


def _exit_with(sentinel: int) -> None:
    connection.wait([sentinel])
    os._exit(1)
