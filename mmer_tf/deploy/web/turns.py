"""Which request of one browser is the newest: what an older one answers is no longer wanted."""

from collections.abc import Callable
from typing import Any


class Turns:
    """Lives as long as a browser shows the page.

    >>> turns = Turns()
    >>> first, second = turns.begin(), turns.begin()
    >>> turns.is_newest(first), turns.is_newest(second)
    (False, True)
    """

    def __init__(self):
        self._newest = 0
        self.pending: Callable[..., Any] | None = None

    def begin(self, job: Callable[..., Any] | None = None) -> int:
        """A new request; earlier ones are outdated from now on.

        Args:
            job: what is asked for, kept as `pending` until it is answered.
        """
        self._newest += 1
        self.pending = job
        return self._newest

    def is_newest(self, number: int) -> bool:
        """Whether nothing was asked since."""
        return number == self._newest

    def end(self, number: int) -> bool:
        """The request is answered. Whether it is still the newest, so that the answer counts."""
        if not self.is_newest(number):
            return False
        self.pending = None
        return True
