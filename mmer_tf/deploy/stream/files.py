"""The timelines of sound files, with one sentence about each that has none."""

import math
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from mmer_tf.audio.blocks import duration, read_blocks
from mmer_tf.audio.decode import AudioError
from mmer_tf.deploy.stream.emotion_stream import EmotionStream
from mmer_tf.deploy.stream.segment import Segment
from mmer_tf.types import SAMPLE_RATE, MissingExtraError


def whole_seconds(files: Sequence[Path]) -> int:
    """How long the files say that they are together, for a progress bar."""
    total = 0.0
    for file in files:
        try:
            total += duration(file)
        except (AudioError, MissingExtraError):  # told when its turn comes
            continue
    return math.ceil(total)


def write_timelines(
    stream: EmotionStream,
    files: Sequence[Path],
    show: Callable[[Path, Segment], None],
    advance: Callable[[int], None],
) -> int:
    """Show the segments of each file; one that cannot be read does not stop the others.

    Args:
        stream: judges them one after the other.
        files: sound files.
        show: takes each segment as it is finished.
        advance: takes the seconds that are done.

    Returns:
        How many files could not be read.
    """
    failed, done = 0, 0.0

    def blocks(file: Path) -> Iterator[np.ndarray]:
        nonlocal done
        for block in read_blocks(file):
            yield block
            done += len(block) / SAMPLE_RATE
            advance(int(done))

    for file in files:
        found = False
        try:
            for segment in stream.run(blocks(file)):
                found = True
                show(file, segment)
            if not found:
                print(f"{file}: nobody speaks", file=sys.stderr)
        except (AudioError, MissingExtraError) as error:
            failed += 1
            print(f"error: {error}", file=sys.stderr)
    return failed
