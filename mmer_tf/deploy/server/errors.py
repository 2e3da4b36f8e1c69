"""Why a request was not answered, with the HTTP status that TensorFlow Serving would give."""

from http import HTTPStatus

SHOWN_CHARACTERS = 200


class RequestError(ValueError):
    """A request that gets an error instead of an answer.

    Args:
        message: what the client reads under `error`.
        status: of the HTTP response.
    """

    def __init__(self, message: str, status: HTTPStatus = HTTPStatus.BAD_REQUEST):
        super().__init__(message, status)
        self.message = message
        self.status = status

    def __str__(self) -> str:
        return self.message


def shortened(text: str) -> str:
    """The beginning of a text that a client sent, for an error message."""
    return text if len(text) <= SHOWN_CHARACTERS else f"{text[:SHOWN_CHARACTERS]}…"


def shape_text(shape: tuple[int | None, ...]) -> str:
    """As the model server writes shapes: [2,?,64]."""
    return f"[{','.join('?' if size is None else str(size) for size in shape)}]"
