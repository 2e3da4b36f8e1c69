"""Long recordings and live microphones of the page, as timelines that grow."""

import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from mmer_tf.audio.blocks import BlockResampler, read_blocks
from mmer_tf.audio.decode import AudioError, mono_blocks, open_sound
from mmer_tf.deploy.asr import Recogniser
from mmer_tf.deploy.stream.emotion_stream import EmotionStream
from mmer_tf.deploy.stream.segment import Segment
from mmer_tf.deploy.stream.smoothing import Smoothing
from mmer_tf.deploy.stream.writing import clock
from mmer_tf.deploy.web.classifiers import SharedClassifier
from mmer_tf.deploy.web.timeline import draw_timeline
from mmer_tf.types import SAMPLE_RATE, Hertz, Seconds

_CHUNK = 5 * SAMPLE_RATE
_REDRAW: Seconds = 1.0
_TOGETHER = 8
"""Windows of a recording that are judged at once."""


def follow_recording(
    classifier: SharedClassifier,
    recogniser: Recogniser | None,
    recording: Path,
    threshold: float,
) -> Iterator[str]:
    """The timeline of a recording, again and again while it grows, and once when it is whole.

    Raises:
        AudioError: the file cannot be read, or its rest.
        StreamError: the classifier only reads, and nobody hears the words.
    """
    stream = EmotionStream(
        classifier, recogniser, smoothing=Smoothing(threshold=threshold), batch_size=_TOGETHER
    )
    segments: list[Segment] = []
    shown, seconds = time.monotonic(), 0.0
    for block in read_blocks(recording):
        for first in range(0, len(block), _CHUNK):
            segments += stream.push(block[first : first + _CHUNK])
            seconds = stream.position
            if time.monotonic() - shown >= _REDRAW:
                running = f"Judged up to {clock(seconds)}"
                current = stream.current
                yield draw_timeline(segments, stream.labels, seconds, "", current, running)
                shown = time.monotonic()
    segments += stream.finish()
    yield draw_timeline(segments, stream.labels, seconds, recording.name)


class LiveTimeline:
    """What one browser's microphone has said so far.

    Args:
        classifier: a run.
        recogniser: hears words; None judges by the voice alone.
        threshold: of being sure.

    Raises:
        StreamError: the classifier only reads, and nobody hears the words.
    """

    def __init__(
        self, classifier: SharedClassifier, recogniser: Recogniser | None, threshold: float
    ):
        self._stream = EmotionStream(
            classifier, recogniser, smoothing=Smoothing(threshold=threshold)
        )
        self._segments: list[Segment] = []
        self._resampler: BlockResampler | None = None
        self._rate: Hertz = 0
        self._seconds: Seconds = 0.0

    @property
    def segments(self) -> Sequence[Segment]:
        """Those that are finished."""
        return tuple(self._segments)

    def push(self, chunk: Path) -> str:
        """The timeline after one more piece of sound, a file that holds nothing else.

        Raises:
            AudioError: no sound file.
        """
        with open_sound(chunk) as sound:
            rate = sound.samplerate
            blocks = list(mono_blocks(sound, chunk))
        if self._resampler is None:
            self._resampler, self._rate = BlockResampler(rate), rate
        elif rate != self._rate:
            raise AudioError(chunk, "implausible sample rate", f"{rate} Hz after {self._rate} Hz")
        for block in blocks:
            self._segments += self._stream.push(self._resampler.push(block))
        self._seconds = self._stream.position
        return self._drawn("Listening")

    def finish(self) -> str:
        """The whole timeline; the microphone is off."""
        if self._resampler is not None:
            self._segments += self._stream.push(self._resampler.finish())
            self._seconds = self._stream.position
            self._resampler = None
        self._segments += self._stream.finish()
        return self._drawn()

    def _drawn(self, running: str = "") -> str:
        labels, current = self._stream.labels, self._stream.current
        return draw_timeline(self._segments, labels, self._seconds, "microphone", current, running)
