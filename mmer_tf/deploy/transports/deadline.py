"""One deadline for a whole HTTP exchange: connecting, sending, headers and body.

The library's own time-outs count each piece that is sent or received anew, so that a server which
trickles an answer is waited for without end. Here its "time-outs" are points in time, and every
wait on a socket ends there. They travel with the request, so that threads may share a client and
requests a connection. Only the look-up of a host's name is the system's, which nobody can hurry.
"""

import socket
import ssl
import time
from collections.abc import Iterable
from typing import Any

import httpcore2
import httpx2

from mmer_tf.types import Seconds

PIECE_BYTES = 8192
"""Sent at a time: a socket that takes anything takes this whole, so that no wait is repeated."""


def deadline_client() -> httpx2.Client:
    """A client whose requests need `ends_in`; they then end in time, whatever the server does."""
    client = httpx2.Client()
    # It has no public way to other sockets that keeps the proxies which the environment names.
    for transport in (client._transport, *client._mounts.values()):
        if transport is not None:
            pool = transport._pool
            pool._network_backend = _Backend(pool._network_backend)
    return client


def ends_in(timeout: Seconds) -> dict[str, Any]:
    """The `extensions` of a request that is to end so many seconds from now."""
    deadline = time.monotonic() + timeout
    return {"timeout": {"pool": timeout, "connect": deadline, "write": deadline, "read": deadline}}


class _Backend(httpcore2.NetworkBackend):
    """Opens connections."""

    def __init__(self, backend: httpcore2.NetworkBackend):
        self._backend = backend

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,
    ) -> httpcore2.NetworkStream:
        try:
            addresses = len(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
        except OSError as error:
            raise httpcore2.ConnectError(str(error)) from error
        left = _left(timeout, httpcore2.ConnectTimeout)
        # Each address of a host is tried in turn, and given the whole time-out.
        share = None if left is None else left / addresses
        return _Stream(self._backend.connect_tcp(host, port, share, local_address, socket_options))


class _Stream(httpcore2.NetworkStream):
    """Sends and receives."""

    def __init__(self, stream: httpcore2.NetworkStream):
        self._stream = stream

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max_bytes, _left(timeout, httpcore2.ReadTimeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        for first in range(0, len(buffer), PIECE_BYTES):
            left = _left(timeout, httpcore2.WriteTimeout)
            self._stream.write(buffer[first : first + PIECE_BYTES], left)

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore2.NetworkStream:
        left = _left(timeout, httpcore2.ConnectTimeout)
        return _Stream(self._stream.start_tls(ssl_context, server_hostname, left))

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


def _left(deadline: float | None, late: type[httpcore2.TimeoutException]) -> Seconds | None:
    """Until a deadline; an error where it is over, since 0 would mean not to wait at all."""
    if deadline is None:
        return None
    left = deadline - time.monotonic()
    if left <= 0:
        raise late("the deadline is over")
    return left
