"""One entry of a timeline: from when to when somebody sounds how."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from mmer_tf.types import Seconds, Word


@dataclass(frozen=True)
class Segment:
    """A part of a recording with one emotion.

    Args:
        start, end: in the recording.
        label: the emotion; empty where the classifier is unsure or was not asked.
        confidence: mean probability of the label, of the most probable class where it is unsure;
            0 where the classifier was not asked.
        probabilities: class -> mean probability over the windows, smoothed; empty where the
            classifier was not asked.
        words: heard in this part, with their times in the recording.
        note: why there is no label, or what was missing; empty where nothing was.
    """

    start: Seconds
    end: Seconds
    label: str
    confidence: float
    probabilities: Mapping[str, float] = field(default_factory=dict)
    words: tuple[Word, ...] = ()
    note: str = ""

    @property
    def text(self) -> str:
        """The words in one line."""
        return " ".join(word.text for word in self.words)

    def to_json(self) -> dict[str, Any]:
        """What `json.dumps` takes; `from_json` reads it back.

        >>> Segment(1.0, 2.5, "sad", 0.8, {"sad": 0.8}, (Word("no", 1.2, 1.5),)).to_json()["words"]
        [{'text': 'no', 'start': 1.2, 'end': 1.5}]
        """
        return {
            "start": self.start,
            "end": self.end,
            "label": self.label,
            "confidence": self.confidence,
            "probabilities": dict(self.probabilities),
            "words": [{"text": w.text, "start": w.start, "end": w.end} for w in self.words],
            "note": self.note,
        }

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> "Segment":
        """Read what `to_json` gave; what else the row holds is left alone."""
        fields = ("start", "end", "label", "confidence", "probabilities", "note")
        words = tuple(Word(**word) for word in row["words"])
        return cls(words=words, **{name: row[name] for name in fields})
