"""What went wrong as one sentence that a page can show."""

import logging

from mmer_tf.audio.decode import AudioError

_log = logging.getLogger(__name__)


class NothingGivenError(ValueError):
    """Neither a recording nor words."""


class TooLongError(ValueError):
    """A recording that is no single utterance."""


def sentence(error: Exception) -> str:
    """What the user can read of an error; one that nobody expected goes to the log, too.

    Files are named without their folder, which is the server's own.
    """
    if isinstance(error, AudioError) and error.reason == "missing file":
        return "The recording is kept for a short while only, and is gone: record it again."
    if isinstance(error, AudioError):
        return str(error).replace(str(error.path), error.path.name)
    if type(error).__module__.startswith("mmer_tf."):
        return str(error)
    if isinstance(error, FileNotFoundError):
        return (
            "The recording is no longer here: it is kept for a short while only; record it again."
        )
    _log.error("while answering the page", exc_info=error)
    return f"This did not work ({type(error).__name__}); the terminal of the demo says more."
