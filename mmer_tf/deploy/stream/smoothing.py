"""From the answers for windows to a steady timeline: smoothing, hysteresis, and being unsure."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from mmer_tf.deploy.stream.segment import Segment
from mmer_tf.types import Seconds, Word

UNSURE = ""
"""The label of a segment of which the classifier says too little."""


@dataclass(frozen=True)
class Smoothing:
    """How steady a timeline is.

    Args:
        newest: share of the newest window in the running probabilities, above 0; 1 does not
            smooth.
        margin: by so much a new label must lead to be taken at once.
        patience: of so many windows in a row a new label must be the first to be taken without
            such a lead, at least 1.
        threshold: below this probability of the first label the timeline is unsure.

    Raises:
        ValueError: a value out of range.
    """

    newest: float = 0.6
    margin: float = 0.3
    patience: int = 2
    threshold: float = 0.5

    def __post_init__(self) -> None:
        if not 0 < self.newest <= 1:
            raise ValueError(f"`newest` must be above 0 and <= 1. Received: newest={self.newest}.")
        if self.patience < 1:
            raise ValueError(f"`patience` must be >= 1. Received: patience={self.patience}.")
        for name in ("margin", "threshold"):
            value = getattr(self, name)
            if not 0 <= value <= 1:
                raise ValueError(f"`{name}` must be 0 to 1. Received: {name}={value}.")


@dataclass(frozen=True)
class Verdict:
    """What is said about the part of a recording that a window stands for.

    Args:
        start, end: of the part; it begins where the one before ended, or after a pause.
        probabilities: (classes,); None where the classifier was not asked.
        words: in this part, with times in the recording.
        note: why it was not asked, or what was missing.
    """

    start: Seconds
    end: Seconds
    probabilities: np.ndarray | None
    words: tuple[Word, ...] = ()
    note: str = ""


@dataclass
class _Growing:
    """A segment that is not finished: sums, since it may become long."""

    start: Seconds
    end: Seconds
    label: str
    total: np.ndarray
    asked: int = 0
    words: list[Word] = field(default_factory=list)
    notes: dict[str, None] = field(default_factory=dict)  # in order, each once

    def add(self, verdict: Verdict, smoothed: np.ndarray | None) -> None:
        self.end = verdict.end
        self.words += verdict.words
        if verdict.note:
            self.notes[verdict.note] = None
        if smoothed is not None:
            self.total = self.total + smoothed
            self.asked += 1

    def finished(self, labels: Sequence[str]) -> Segment:
        means = {}
        if self.asked:
            means = dict(zip(labels, map(float, self.total / self.asked), strict=True))
        confidence = means.get(self.label, max(means.values(), default=0.0))
        notes = list(self.notes)
        if self.label == UNSURE and self.asked and not notes:
            notes = ["unsure"]
        words = tuple(self.words)
        return Segment(self.start, self.end, self.label, confidence, means, words, "; ".join(notes))


class Timeline:
    """Joins neighbouring verdicts with one label into segments.

    A label that has just begun to lead is doubted: its windows wait, at most `patience` of them,
    and go to the new segment once it is taken, or else to the old one. So a segment begins where
    its label began to lead.

    Args:
        labels: in the order of the probabilities.
        smoothing: how steady it is.
    """

    def __init__(self, labels: Sequence[str], smoothing: Smoothing | None = None):
        self._labels = tuple(labels)
        self._smoothing = smoothing or Smoothing()
        self._running: np.ndarray | None = None
        self._segment: _Growing | None = None
        self._doubted: list[tuple[Verdict, np.ndarray | None]] = []
        self._challenger = UNSURE

    @property
    def current(self) -> Segment | None:
        """The segment in progress, without windows in doubt; None between stretches."""
        return self._segment.finished(self._labels) if self._segment else None

    def add(self, verdict: Verdict) -> list[Segment]:
        """Take the next verdict of a stretch, and answer with what is finished by it."""
        smoothed = self._smoothed(verdict.probabilities)
        label = self._leading(smoothed)
        segment = self._segment
        if segment is None or label in (segment.label, self._challenger):
            self._doubted.append((verdict, smoothed))
        else:
            self._settle(segment)
            self._doubted = [(verdict, smoothed)]
        if segment is None or label == segment.label:
            self._segment = self._settle(segment or self._begun(label))
            return []
        self._challenger = label
        patient = len(self._doubted) >= self._smoothing.patience
        if not patient and self._lead(smoothed, segment.label) < self._smoothing.margin:
            return []
        self._segment = self._settle(self._begun(label))
        return [segment.finished(self._labels)]

    def end(self) -> list[Segment]:
        """The stretch is over: what follows starts anew, also its smoothing."""
        segment, self._segment, self._running = self._segment, None, None
        return [self._settle(segment).finished(self._labels)] if segment else []

    def _begun(self, label: str) -> _Growing:
        """A segment that begins with what is in doubt."""
        (first, _) = self._doubted[0]
        return _Growing(first.start, first.end, label, np.zeros(len(self._labels)))

    def _settle(self, segment: _Growing) -> _Growing:
        """What was in doubt belongs to a segment."""
        for doubted in self._doubted:
            segment.add(*doubted)
        self._doubted, self._challenger = [], segment.label
        return segment

    def _smoothed(self, probabilities: np.ndarray | None) -> np.ndarray | None:
        """The running probabilities, moved towards the newest; unmoved where there are none."""
        if probabilities is None:
            return None
        if self._running is None:
            self._running = probabilities
        else:
            newest = self._smoothing.newest
            self._running = newest * probabilities + (1 - newest) * self._running
        return self._running

    def _leading(self, smoothed: np.ndarray | None) -> str:
        if smoothed is None or smoothed.max() < self._smoothing.threshold:
            return UNSURE
        return self._labels[int(smoothed.argmax())]

    def _lead(self, smoothed: np.ndarray | None, old: str) -> float:
        """By how much what leads now is ahead of the old label, or of the threshold."""
        if smoothed is None:
            return 0.0
        threshold, first = self._smoothing.threshold, float(smoothed.max())
        if old == UNSURE:
            return first - threshold
        if first < threshold:
            return threshold - first
        return first - float(smoothed[self._labels.index(old)])
