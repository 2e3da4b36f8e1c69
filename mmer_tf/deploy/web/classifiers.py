"""Trained runs in memory: read when first asked, a few held, one answer at a time."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from mmer_tf.bundle import Bundle
from mmer_tf.deploy.web.runs import Run
from mmer_tf.registry import Registry
from mmer_tf.types import SAMPLE_RATE, Answer, Word


class SharedClassifier:
    """A run that several browsers ask; it answers one after the other.

    Args:
        bundle: the run.
        turn: held while it answers.
    """

    def __init__(self, bundle: Bundle, turn: threading.Lock):
        self.bundle = bundle
        self.labels, self.hears, self.reads = bundle.labels, bundle.hears, bundle.reads
        self._turn = turn

    def predict(
        self,
        waveforms: Sequence[np.ndarray | None] | None = None,
        transcripts: Sequence[str] | None = None,
        words: Sequence[Sequence[Word]] | None = None,
    ) -> list[Answer]:
        """As `Bundle.predict`."""
        with self._turn:
            return self.bundle.predict(waveforms, transcripts, words)

    def predict_probabilities(
        self,
        waveforms: Sequence[np.ndarray | None] | None = None,
        transcripts: Sequence[str] | None = None,
        words: Sequence[Sequence[Word]] | None = None,
    ) -> np.ndarray:
        """As `Bundle.predict_probabilities`."""
        with self._turn:
            return self.bundle.predict_probabilities(waveforms, transcripts, words)


class Classifiers:
    """The runs that the page offers.

    Args:
        runs: name -> run.
        held: how many stay in memory, those that were asked last.
        load: reads one.
    """

    def __init__(
        self,
        runs: Mapping[str, Run],
        held: int = 2,
        load: Callable[[Path], Bundle] = Bundle.load,
    ):
        self.runs = Registry("run", runs)
        self._held, self._load = held, load
        self._known: OrderedDict[str, SharedClassifier] = OrderedDict()
        self._loading = threading.Lock()
        self._turn = threading.Lock()

    def get(self, name: str) -> SharedClassifier:
        """A run by its name.

        Raises:
            UnknownNameError: there is none of this name.
            BundleError, HubError: it cannot be read.
        """
        with self._loading:
            if name not in self._known:
                classifier = SharedClassifier(self._load(self.runs[name].folder), self._turn)
                _warm_up(classifier)
                self._known[name] = classifier
            self._known.move_to_end(name)
            while len(self._known) > self._held:
                self._known.popitem(last=False)
            return self._known[name]

    @property
    def in_memory(self) -> tuple[str, ...]:
        """Names of the runs that are held, the one that was asked last at the end."""
        return tuple(self._known)


def _warm_up(classifier: SharedClassifier) -> None:
    """The first answer traces the graph, the second for any length: nobody has to wait for them."""
    for seconds, words in ((1, "hello"), (2, "hello and good morning")):
        voice = np.full(seconds * SAMPLE_RATE, 1e-3, np.float32) if classifier.hears else None
        classifier.predict([voice], [words])
