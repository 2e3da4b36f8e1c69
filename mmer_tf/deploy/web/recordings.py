"""Long recordings of the page, as timelines that grow."""

import time
from collections.abc import Iterator
from pathlib import Path

from mmer_tf.audio.blocks import read_blocks
from mmer_tf.deploy.asr import Recogniser
from mmer_tf.deploy.stream.emotion_stream import OF_A_FILE, EmotionStream
from mmer_tf.deploy.stream.segment import Segment
from mmer_tf.deploy.stream.smoothing import Smoothing
from mmer_tf.deploy.stream.writing import clock
from mmer_tf.deploy.web.classifiers import SharedClassifier
from mmer_tf.deploy.web.timeline import draw_timeline
from mmer_tf.types import SAMPLE_RATE, Seconds

_CHUNK = 5 * SAMPLE_RATE
_REDRAW: Seconds = 1.0


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
        classifier, recogniser, smoothing=Smoothing(threshold=threshold), batch_size=OF_A_FILE
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
