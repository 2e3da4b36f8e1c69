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
        return socket.create_server((host, port), family=family, backlog=128)
    except OSError as error:
        reason = error.strerror or str(error)
        raise AddressError(
            f"cannot listen at {host}:{port} ({reason}); choose another with --port"
        ) from error
