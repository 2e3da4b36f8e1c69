"""What can go wrong between a client and a model server, by what the caller can do about it."""


class ServingError(Exception):
    """A request to a model server that got no answer.

    Args:
        message: one sentence.
        status: HTTP status or name of the gRPC code; None where no server spoke.
    """

    def __init__(self, message: str, status: int | str | None = None):
        super().__init__(message, status)
        self.message = message
        self.status = status

    def __str__(self) -> str:
        return self.message if self.status is None else f"{self.message} ({self.status})"


class UnavailableError(ServingError):
    """No server listens there, it is overloaded, or the connection broke: asking again is safe."""


class DeadlineError(ServingError, TimeoutError):
    """No answer in time. The server may still be computing it."""


class OverloadedError(ServingError):
    """The server has no room or time for this request (429, RESOURCE_EXHAUSTED)."""


class RefusedError(ServingError, ValueError):
    """The server understood the request and refuses it: the same one will be refused again."""


class ModelNotFoundError(ServingError, LookupError):
    """The server has no such model or version."""


class ProtocolError(ServingError):
    """The server failed, or answered what no model server answers."""


class NothingToClassifyError(ServingError, ValueError):
    """An utterance that lacks what the model hears or reads."""
