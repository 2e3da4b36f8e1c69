"""The page's desk with small bundles and a recogniser that hears what a test tells it to."""

from pathlib import Path

import numpy as np

from mmer_tf.bundle import Bundle
from mmer_tf.deploy.web.classifiers import Classifiers
from mmer_tf.deploy.web.desk import Desk
from mmer_tf.deploy.web.recognisers import Recognisers
from mmer_tf.deploy.web.runs import Run
from mmer_tf.types import Word

HEARD = (Word("never", 0.0, 0.3), Word("again", 0.3, 0.6))


class FakeRecogniser:
    """Hears what it was told to, or fails as it was told to."""

    def __init__(self, answer: tuple[Word, ...] | Exception):
        self.answer = answer

    def transcribe(self, waveform: np.ndarray) -> tuple[Word, ...]:
        assert waveform.dtype == np.float32 and waveform.ndim == 1
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def make_desk(
    small: Bundle,
    answer: tuple[Word, ...] | Exception = HEARD,
    threshold: float = 0.0,
    **more: Bundle,
) -> Desk:
    """A desk with the run `small` and others."""
    bundles = {"small": small} | more
    runs = {name: Run(name, Path(name), one.hears, one.reads) for name, one in bundles.items()}
    classifiers = Classifiers(runs, load=lambda folder: bundles[folder.name])
    recogniser = FakeRecogniser(answer)
    return Desk(classifiers, Recognisers(make=lambda name, weights: recogniser), threshold)
