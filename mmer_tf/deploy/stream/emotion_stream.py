"""Emotion over time: samples go in as they come, finished segments come out."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mmer_tf.deploy.stream.answers import probabilities_of
from mmer_tf.deploy.stream.segment import Segment
from mmer_tf.deploy.stream.smoothing import Smoothing, Timeline, Verdict
from mmer_tf.deploy.stream.voice import Piece, SpeechDetector
from mmer_tf.deploy.stream.windows import Window, WindowCutter
from mmer_tf.deploy.stream.words import Heard, StretchWords, within
from mmer_tf.modalities import recording
from mmer_tf.text.normalise import clean
from mmer_tf.types import SAMPLE_RATE, Seconds, Word

if TYPE_CHECKING:
    from mmer_tf.deploy.asr import Recogniser
    from mmer_tf.deploy.classifier import Classifier


OF_A_FILE = 8
"""Windows that are judged together where nobody waits for each: `batch_size` for files."""


class StreamError(ValueError):
    """A classifier that has nothing to judge by."""


@dataclass(frozen=True)
class _Waiting:
    """A window that is not judged yet, with the words in it and the reason not to judge it."""

    window: Window
    words: tuple[Word, ...]
    own_words: tuple[Word, ...]
    note: str
    judgeable: bool


class EmotionStream:
    """Splits a recording into stretches of speech and says how each part of them sounds.

    Holds a few windows of sound, with a recogniser a stretch of `longest` seconds. Segments do not
    depend on how the recording is cut when it is pushed. After `finish` the next recording begins.

    Args:
        classifier: a run, its SavedModel or its .tflite file.
        recogniser: hears words; None judges by the voice alone.
        window: seconds of speech that are judged at once.
        hop: seconds from one window to the next.
        shortest: stretches with less speech than this many seconds are not judged.
        pause: seconds of silence that end a stretch.
        strictness: of the voice detector, 0 to 3; see `SpeechDetector`.
        smoothing: how steady the labels are.
        longest: of a stretch with a recogniser, which is asked at least so often.
        batch_size: windows of a stretch that are judged together: 1 for a microphone; more is
            faster with a run and later.

    Raises:
        MissingExtraError: pocketsphinx, which finds the speech, is not installed.
        StreamError: the classifier only reads, and there is no recogniser.
        ValueError: a number out of range.
    """

    def __init__(
        self,
        classifier: "Classifier",
        recogniser: "Recogniser | None" = None,
        *,
        window: Seconds = 3.0,
        hop: Seconds = 1.0,
        shortest: Seconds = 0.5,
        pause: Seconds = 0.5,
        strictness: int = 2,
        smoothing: Smoothing | None = None,
        longest: Seconds = 30.0,
        batch_size: int = 1,
    ):
        if not classifier.hears and recogniser is None:
            raise StreamError("this model reads only the words: give it a recogniser of speech")
        if batch_size < 1:
            raise ValueError(f"`batch_size` must be >= 1. Received: batch_size={batch_size}.")
        if not longest >= window + hop:
            raise ValueError(
                f"`longest` must be >= a window and a hop. Received: longest={longest}."
            )
        self._classifier, self._recogniser = classifier, recogniser
        self._cutter = WindowCutter(round(window * SAMPLE_RATE), round(hop * SAMPLE_RATE))
        self._shortest = round(shortest * SAMPLE_RATE)
        self._pause, self._strictness = pause, strictness
        self._smoothing, self._longest = smoothing, longest
        self._batch_size = batch_size
        self._start_over()

    @property
    def labels(self) -> tuple[str, ...]:
        """The classes."""
        return tuple(self._classifier.labels)

    @property
    def position(self) -> Seconds:
        """How much of the recording was pushed."""
        return self._pushed / SAMPLE_RATE

    @property
    def current(self) -> Segment | None:
        """How the speaker sounds now, which may still change; None in a pause."""
        return self._timeline.current

    def push(self, samples: np.ndarray) -> list[Segment]:
        """Take the next samples.

        Args:
            samples: float32 (samples,) in [-1, 1], 16 kHz mono, as many or as few as there are.

        Returns:
            The segments that are finished by them, in order.

        Raises:
            ValueError: another shape, or values that are no numbers.
        """
        waveform = recording(samples)
        if waveform is None:
            return []
        self._pushed += len(waveform)
        return self._through(self._detector.push(waveform))

    def finish(self) -> list[Segment]:
        """The recording is over: the last segments."""
        segments = self._through(self._detector.finish())
        self._start_over()
        return segments

    def run(self, chunks: Iterable[np.ndarray]) -> Iterator[Segment]:
        """The segments of a whole recording, as they are finished.

        Args:
            chunks: float32 (samples,) each, as for `push`.
        """
        self._start_over()  # an earlier recording may have been left in the middle
        for chunk in chunks:
            yield from self.push(chunk)
        yield from self.finish()

    def _start_over(self) -> None:
        self._pushed = 0
        self._detector = SpeechDetector(self._pause, self._strictness)
        self._listener = None
        if self._recogniser is not None:
            self._listener = StretchWords(self._recogniser, self._longest)
        self._timeline = Timeline(self.labels, self._smoothing)
        self._waiting: list[_Waiting] = []
        self._between_stretches()

    def _between_stretches(self) -> None:
        self._speaking, self._voiced = False, 0
        self._words: tuple[Word, ...] = ()

    def _through(self, pieces: Sequence[Piece]) -> list[Segment]:
        segments = []
        for piece in pieces:
            heard = self._listener.push(piece) if self._listener else [Heard(piece)]
            for one in heard:
                segments += self._take(one)
        return segments

    def _take(self, heard: Heard) -> list[Segment]:
        """The next samples of a stretch, their words known."""
        piece = heard.piece
        if not self._speaking:
            self._speaking = True
            self._cutter.begin(piece.start)
        self._voiced += piece.voiced
        self._words += heard.words
        windows = self._cutter.push(piece.samples)
        note, judgeable = heard.note, True
        if piece.last:
            if not self._cutter.cut and self._voiced < self._shortest:
                note = f"too short to judge ({self._voiced / SAMPLE_RATE:.2f} s of speech)"
                judgeable = False
            windows.append(self._cutter.finish())
        self._waiting += [self._waits(window, note, judgeable) for window in windows]
        self._words = tuple(
            word for word in self._words if word.end * SAMPLE_RATE >= self._cutter.start
        )
        segments = []
        while len(self._waiting) >= self._batch_size or (piece.last and self._waiting):
            segments += self._judge()
        if piece.last:
            segments += self._timeline.end()
            self._between_stretches()
        return segments

    def _waits(self, window: Window, note: str, judgeable: bool) -> _Waiting:
        words = within(self._words, window.start, window.start + len(window.samples))
        own_words = within(self._words, window.begin, window.end)
        if judgeable and not self._classifier.hears and not clean(_transcript(words)):
            judgeable, note = False, note or "no words heard"
        return _Waiting(window, words, own_words, note, judgeable)

    def _judge(self) -> list[Segment]:
        """Have the next windows judged."""
        batch = self._waiting[: self._batch_size]
        self._waiting = self._waiting[self._batch_size :]
        asked = [one for one in batch if one.judgeable]
        rows = iter(
            probabilities_of(
                self._classifier,
                [one.window.samples for one in asked],
                [_transcript(one.words) for one in asked],
                [_from(one.words, one.window.start) for one in asked],
            )
        )
        segments = []
        for one in batch:
            segments += self._timeline.add(
                Verdict(
                    one.window.begin / SAMPLE_RATE,
                    one.window.end / SAMPLE_RATE,
                    next(rows) if one.judgeable else None,
                    one.own_words,
                    one.note,
                )
            )
        return segments


def _transcript(words: Sequence[Word]) -> str:
    return " ".join(word.text for word in words)


def _from(words: Sequence[Word], start: int) -> tuple[Word, ...]:
    """With their times in a window."""
    zero = start / SAMPLE_RATE
    return tuple(Word(word.text, word.start - zero, word.end - zero) for word in words)
