"""Asking again, where that is safe."""

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from mmer_tf.deploy.transports.errors import DeadlineError, ServingError, UnavailableError
from mmer_tf.types import Seconds

Answer = TypeVar("Answer")


@dataclass(frozen=True)
class Retry:
    """How often, and after which pause, a request is sent again.

    A prediction changes nothing on the server, so it may be repeated where the server was not
    reached or said that it had no room. After a time-out it is not, unless asked for: the server
    may still be computing, and a second request would add to its load.

    Args:
        times: at most; 0 never.
        first_pause: on average, before the first one; each further pause is twice as long.
        longest_pause: on average.
        after_timeout: also after a time-out.
    """

    times: int = 3
    first_pause: Seconds = 0.1
    longest_pause: Seconds = 2.0
    after_timeout: bool = False

    def __post_init__(self):
        if self.times < 0:
            raise ValueError(f"`times` must be >= 0. Received: times={self.times}.")

    def run(self, ask: Callable[[], Answer]) -> Answer:
        """What `ask` answers, at last.

        Raises:
            ServingError: the last one, or one that is not to be repeated.
        """
        for attempt in range(self.times):
            try:
                return ask()
            except ServingError as error:
                if not self._is_safe(error):
                    raise
            pause = min(self.first_pause * 2**attempt, self.longest_pause)
            # Drawn, so that clients who were refused together do not come back together.
            time.sleep(pause * random.uniform(0.5, 1.5))
        return ask()

    def _is_safe(self, error: ServingError) -> bool:
        if isinstance(error, DeadlineError):
            return self.after_timeout
        return isinstance(error, UnavailableError)
