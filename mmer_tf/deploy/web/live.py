"""Live microphones: each browser's samples go into a timeline of its own, and nowhere else.

Gradio's own streaming microphone sends a file every 100 ms and keeps the newest alone while the
server is busy, so that speech gets lost; the page sends its samples itself (`live.js`), in order.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from mmer_tf.audio.blocks import BlockResampler
from mmer_tf.audio.decode import HIGHEST_RATE, LOWEST_RATE
from mmer_tf.deploy.asr import Recogniser
from mmer_tf.deploy.stream.emotion_stream import EmotionStream
from mmer_tf.deploy.stream.segment import Segment
from mmer_tf.deploy.stream.smoothing import Smoothing
from mmer_tf.deploy.web.classifiers import SharedClassifier
from mmer_tf.deploy.web.desk import Desk
from mmer_tf.deploy.web.drawing import draw_message
from mmer_tf.deploy.web.telling import sentence
from mmer_tf.deploy.web.timeline import draw_timeline
from mmer_tf.types import Hertz, Seconds

SILENT: Seconds = 120
"""A microphone that sent nothing for so long is forgotten."""

MOST = 8
"""Microphones at once."""


class LiveError(ValueError):
    """Samples that cannot be taken."""


class LiveTimeline:
    """What one microphone has said so far.

    Args:
        classifier: a run.
        recogniser: hears words; None judges by the voice alone.
        threshold: of being sure.
        rate: of the microphone.

    Raises:
        LiveError: an implausible rate.
        StreamError: the classifier only reads, and nobody hears the words.
    """

    def __init__(
        self,
        classifier: SharedClassifier,
        recogniser: Recogniser | None,
        threshold: float,
        rate: Hertz,
    ):
        if not LOWEST_RATE <= rate <= HIGHEST_RATE:
            raise LiveError(f"The microphone's rate of {rate} Hz is implausible; choose another.")
        self.rate = rate
        self._stream = EmotionStream(
            classifier, recogniser, smoothing=Smoothing(threshold=threshold)
        )
        self._resampler = BlockResampler(rate)
        self._segments: list[Segment] = []

    def push(self, samples: np.ndarray) -> str:
        """The timeline after some more samples: float32 (samples,) in [-1, 1] at `rate`."""
        self._segments += self._stream.push(self._resampler.push(samples))
        return self._drawn("Listening", self._stream.position, self._stream.current)

    def finish(self) -> str:
        """The whole timeline; the microphone is off."""
        self._segments += self._stream.push(self._resampler.finish())
        seconds = self._stream.position
        self._segments += self._stream.finish()
        return self._drawn("", seconds, None)

    def _drawn(self, running: str, seconds: Seconds, current: Segment | None) -> str:
        labels = self._stream.labels
        return draw_timeline(self._segments, labels, seconds, "microphone", current, running)


@dataclass
class _Microphone:
    settings: tuple[str, str, Hertz]
    timeline: LiveTimeline
    used: Seconds
    note: str = ""
    turn: threading.Lock = field(default_factory=threading.Lock)


class Microphones:
    """The microphones that are on.

    Args:
        desk: has the runs and the recognisers.
        silent: seconds after which one that sends nothing is forgotten.
        most: at once.
        clock: seconds that never go back.
    """

    def __init__(
        self,
        desk: Desk,
        silent: Seconds = SILENT,
        most: int = MOST,
        clock: Callable[[], Seconds] = time.monotonic,
    ):
        self._desk, self._silent, self._most, self._clock = desk, silent, most, clock
        self._on: dict[str, _Microphone] = {}
        self._changing = threading.Lock()

    def __len__(self) -> int:
        return len(self._on)

    def push(
        self, key: str, run: str, asr: str, rate: Hertz, samples: np.ndarray, last: bool
    ) -> str:
        """The timeline of a microphone after some more samples, as HTML; a problem as well.

        Args:
            key: known to one browser alone; a new one switches a microphone on.
            run, asr: names; other ones than before begin anew.
            rate: of the samples.
            samples: float32 (samples,) in [-1, 1].
            last: the microphone is off now.
        """
        try:
            microphone = self._microphone(key, (run, asr, rate))
            with microphone.turn:
                drawn = microphone.timeline.push(samples)
                return microphone.note + (microphone.timeline.finish() if last else drawn)
        except Exception as error:
            last = True  # what failed once is not gone on with
            return draw_message(sentence(error))
        finally:
            if last:
                with self._changing:
                    self._on.pop(key, None)

    def forget(self) -> None:
        """Let go of those that have sent nothing for long; called now and then."""
        now = self._clock()
        with self._changing:
            for key, one in list(self._on.items()):
                if now - one.used > self._silent:
                    del self._on[key]

    def _microphone(self, key: str, settings: tuple[str, str, Hertz]) -> _Microphone:
        now = self._clock()
        run, asr, rate = settings
        self.forget()
        with self._changing:
            known = self._on.get(key)
            if known is not None and known.settings == settings:
                known.used = now
                return known
            if known is None and len(self._on) >= self._most:
                raise LiveError(f"{self._most} microphones are on already; try again later.")
        recogniser, missing = self._desk.recogniser(asr)
        classifier = self._desk.classifiers.get(run)
        timeline = LiveTimeline(classifier, recogniser, self._desk.threshold, rate)
        note = draw_message(missing, "note") if missing else ""
        microphone = _Microphone(settings, timeline, now, note)
        with self._changing:
            self._on[key] = microphone
        return microphone
