"""Which speech recognition the page offers; each is made when it is first wanted."""

import threading
from collections.abc import Callable
from pathlib import Path

from mmer_tf.deploy.asr import Recogniser, make_recogniser
from mmer_tf.registry import Registry

NONE = "none"


class Recognisers:
    """What can be chosen.

    Args:
        whisper: folder of Whisper's weights; None does not offer it.
        make: name and weights -> recogniser.
    """

    def __init__(
        self,
        whisper: Path | None = None,
        make: Callable[[str, Path | None], Recogniser] = make_recogniser,
    ):
        weights = {"pocketsphinx": None} | ({"whisper": whisper} if whisper else {})
        self._weights = Registry[Path | None]("recogniser", weights)
        self._make = make
        self._known: dict[str, Recogniser] = {}
        self._making = threading.Lock()

    @property
    def names(self) -> tuple[str, ...]:
        """The default first; the last hears nothing."""
        return (*self._weights, NONE)

    def get(self, name: str) -> Recogniser | None:
        """A recogniser by its name; None where no words are wanted.

        Raises:
            UnknownNameError: there is none of this name.
            MissingExtraError: its package is not installed.
            RecognitionError: it cannot be made.
        """
        if name == NONE:
            return None
        with self._making:
            if name not in self._known:
                self._known[name] = self._make(name, self._weights[name])
            return self._known[name]
