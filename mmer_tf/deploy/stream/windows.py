"""A stretch of speech cut into windows that overlap, as it comes."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Window:
    """What is judged at once, all numbers in samples of the recording.

    Args:
        start: of what is heard.
        samples: what is heard, float32 (samples,).
        begin, end: the part of the recording that the answer stands for: to half way between
            the middles of this window and of its neighbours, so that the parts join.
    """

    start: int
    samples: np.ndarray
    begin: int
    end: int


class WindowCutter:
    """Cuts one stretch after the other; holds a window and a hop at most, and what is pushed.

    A stretch shorter than a window is one window; what is left behind the last whole one joins
    it. So a window is known once the next one is complete.

    Args:
        length: of a window in samples.
        hop: from one window to the next in samples, at most `length`.

    Raises:
        ValueError: out of range.
    """

    def __init__(self, length: int, hop: int):
        if not 1 <= hop <= length:
            raise ValueError(
                f"`hop` must be above 0 and at most a window. Received: hop={hop}, window={length}."
            )
        self._length, self._hop = length, hop
        self._samples: list[np.ndarray] = []
        self._held = 0
        self.start = self._begin = 0
        self.cut = 0

    def begin(self, start: int) -> None:
        """A stretch begins at this sample of the recording."""
        self._samples, self._held, self.cut = [], 0, 0
        self.start = self._begin = start

    def push(self, samples: np.ndarray) -> list[Window]:
        """The windows that are complete after some more samples: float32 (samples,)."""
        self._samples.append(samples)
        self._held += len(samples)
        windows: list[Window] = []
        if self._held < self._length + self._hop:
            return windows
        held, taken = np.concatenate(self._samples), 0
        while len(held) - taken >= self._length + self._hop:
            end = self.start + (self._length + self._hop) // 2
            # A copy: a view would keep all that was pushed for as long as the window waits.
            windows.append(self._window(held[taken : taken + self._length].copy(), end))
            self.start += self._hop
            taken += self._hop
        self._samples, self._held = [held[taken:].copy()], len(held) - taken
        return windows

    def finish(self) -> Window:
        """The last window of the stretch, with all that is left."""
        held = np.concatenate(self._samples) if self._samples else np.zeros(0, np.float32)
        window = self._window(held, self.start + len(held))
        self._samples, self._held = [], 0
        return window

    def _window(self, samples: np.ndarray, end: int) -> Window:
        window = Window(self.start, samples, self._begin, end)
        self._begin = end
        self.cut += 1
        return window
