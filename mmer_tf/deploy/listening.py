"""A port, taken before anything is loaded."""

import socket


class AddressError(ValueError):
    """An address that cannot be listened at."""


def listening_socket(host: str, port: int) -> socket.socket:
    """A socket that is bound before anything is loaded, so that a taken port is told at once.

    Raises:
        AddressError: the address is taken, or is none of this machine's.
    """
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        listener = socket.create_server((host, port), family=family, backlog=2048)
    except OSError as error:
        reason = error.strerror or str(error)
        raise AddressError(
            f"cannot listen at {host}:{port} ({reason}); choose another with --port"
        ) from error
    # Connections inherit it. asyncio sets it on sockets of its own making alone, and without it an
    # answer's body waits 40 ms for the client to acknowledge the headers.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener


def web_address(listener: socket.socket) -> str:
    """What a browser takes, such as "http://127.0.0.1:8501"."""
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
