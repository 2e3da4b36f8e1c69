"""Where somebody speaks: a stream of samples split into stretches of speech, as it comes.

WebRTC's voice activity detector, from pocketsphinx, says of every 30 ms whether it is voice.
"""

from dataclasses import dataclass

import numpy as np

from mmer_tf.deploy.voice_activity import FRAME, make_detector, pcm16
from mmer_tf.types import SAMPLE_RATE, Seconds

_ONSET = 10
"""Frames that are looked at for a beginning, 0.3 s; most of them must be voice."""

_ONSET_VOICED = 6
_MARGIN = 4
"""Frames kept before the first and after the last that is voice, which cuts soft sounds."""


@dataclass(frozen=True)
class Piece:
    """The next samples of a stretch of speech.

    Args:
        start: number of the first sample in the recording.
        samples: float32 (samples,); may be empty where `last`.
        voiced: how many of them are voice.
        last: the stretch ends with it.
    """

    start: int
    samples: np.ndarray
    voiced: int
    last: bool


class SpeechDetector:
    """Finds stretches of speech; holds `pause` and some frames of sound at most.

    Args:
        pause: silence that ends a stretch; a shorter one belongs to it.
        strictness: of the detector, from 0, which takes more for voice, to 3, which misses more.

    Raises:
        MissingExtraError: pocketsphinx is not installed.
        ValueError: `pause` or `strictness` out of range.
    """

    def __init__(self, pause: Seconds = 0.5, strictness: int = 2):
        if not pause >= 0.15:
            raise ValueError(f"`pause` must be >= 0.15 seconds. Received: pause={pause}.")
        if strictness not in range(4):
            raise ValueError(f"`strictness` must be 0 to 3. Received: strictness={strictness}.")
        self._is_voice = make_detector(strictness)
        self._longest_silence = round(pause * SAMPLE_RATE / FRAME)
        self._position = 0  # of the first sample that is held or yet to come
        self._rest = np.zeros(0, np.float32)  # less than a frame
        self._frames: list[tuple[np.ndarray, bool]] = []  # heard, not yet passed on
        self._speaking = False

    def push(self, samples: np.ndarray) -> list[Piece]:
        """What is known to be speech after some more samples: float32 (samples,) in [-1, 1]."""
        samples = np.concatenate([self._rest, samples]) if len(self._rest) else samples
        whole = len(samples) // FRAME * FRAME
        self._rest = samples[whole:].copy()  # not a view, which would keep the block
        pieces = []
        for first in range(0, whole, FRAME):
            pieces += self._hear(samples[first : first + FRAME])
        return pieces

    def finish(self) -> list[Piece]:
        """The end of a stretch that the recording ends in; the detector listens no more."""
        if not self._speaking:
            return []
        self._frames.append((self._rest, False))
        return [self._passed_on(_MARGIN, last=True)]

    def _hear(self, frame: np.ndarray) -> list[Piece]:
        voiced = self._is_voice(pcm16(frame).tobytes())
        self._frames.append((frame.copy(), voiced))
        if self._speaking:
            if voiced:
                return [self._passed_on(len(self._frames))]
            if len(self._frames) >= self._longest_silence:
                self._speaking = False
                return [self._passed_on(_MARGIN, last=True)]
            return []
        recent = [voiced for _, voiced in self._frames[-_ONSET:]]
        if sum(recent) < _ONSET_VOICED:
            self._forget(len(self._frames) - _ONSET - _MARGIN)
            return []
        self._speaking = True
        before = len(self._frames) - len(recent)
        self._forget(before + recent.index(True) - _MARGIN)
        return [self._passed_on(len(self._frames))]

    def _forget(self, count: int) -> None:
        if count > 0:
            self._passed_on(count)

    def _passed_on(self, count: int, last: bool = False) -> Piece:
        taken, self._frames = self._frames[:count], self._frames[count:]
        samples = np.concatenate([np.zeros(0, np.float32), *(frame for frame, _ in taken)])
        start, self._position = self._position, self._position + len(samples)
        return Piece(start, samples, sum(len(f) for f, voiced in taken if voiced), last)
