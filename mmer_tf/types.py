"""What walks through the house: an utterance, and why one was left behind."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

Seconds = float
Hertz = int

SAMPLE_RATE: Hertz = 16_000
"""The one sample rate behind `audio.decode`."""

MAX_SECONDS: Seconds = 15.0
"""Longer clips are cropped to this length by default."""


@dataclass(frozen=True, slots=True)
class Word:
    """One spoken word with its place in the clip."""

    text: str
    start: Seconds
    end: Seconds


@dataclass(frozen=True, slots=True)
class Utterance:
    """One labelled stretch of speech, of text, or of both.

    Args:
        id: unique within its corpus.
        label: one of the corpus's classes, in the corpus's own spelling.
        audio: the recording; None for a text corpus.
        transcript: what is said; empty where the corpus does not tell.
        soft_label: share of votes per class, summing to 1, where the corpus has votes.
        speaker: unique within its corpus.
        gender: "female" or "male" where known.
        session: recording session.
        script: script, scenario or sentence code that the speaker followed.
        partition: "train", "validation" or "test" where the corpus predefines it.
        duration: length of the recording; None without audio.
        words: word timings, in order; empty where the corpus has none.
    """

    id: str
    label: str
    audio: Path | None = None
    transcript: str = ""
    soft_label: Mapping[str, float] | None = None
    speaker: str | None = None
    gender: Literal["female", "male"] | None = None
    session: str | None = None
    script: str | None = None
    partition: Literal["train", "validation", "test"] | None = None
    duration: Seconds | None = None
    words: tuple[Word, ...] = ()


@dataclass(frozen=True, slots=True)
class Rejected:
    """A row that did not become an utterance, and why.

    Args:
        source: file, and where it helps the row, as the user can find it.
        reason: a short phrase, the same for every row left out for the same cause
            (rows are counted by it).
        kind: "dropped" by a rule of the corpus or by the label selection;
            "rejected" because the input is broken (`--strict` stops at these).
        detail: what is particular to this row.
    """

    source: str
    reason: str
    kind: Literal["dropped", "rejected"]
    detail: str = ""


class MissingExtraError(ImportError):
    """An optional dependency is not installed; the message holds the command that installs it.

    Args:
        extra: the extra of the package that brings it, such as "opensmile".
        purpose: what was wanted, as the subject of the sentence.
    """

    def __init__(self, extra: str, purpose: str):
        super().__init__(extra, purpose)  # the bare arguments, so that it survives pickling
        self.extra = extra
        self.purpose = purpose

    def __str__(self) -> str:
        return (
            f"{self.purpose} needs the extra '{self.extra}': pip install \"mmer-tf[{self.extra}]\""
        )


EXPLANATIONS = ("speech_attention", "text_attention", "word_attention", "gate")
"""What a model may answer besides probabilities."""


@dataclass(frozen=True)
class Answer:
    """What a classifier says about one utterance.

    Args:
        label: the most probable class.
        probabilities: class -> probability.
        speech_attention: (steps,) weights over the voice, None without.
        text_attention: (tokens,) weights over the words, None without.
        gate: (dim,) share of the voice in each unit of the fusion, None without.
        word_attention: (words,) weights over the timed words, None without.
    """

    label: str
    probabilities: dict[str, float]
    speech_attention: np.ndarray | None = None
    text_attention: np.ndarray | None = None
    gate: np.ndarray | None = None
    word_attention: np.ndarray | None = None

    @classmethod
    def of(cls, labels: Sequence[str], outputs: Mapping[str, np.ndarray]) -> "Answer":
        """What a model's outputs for one utterance say.

        Args:
            labels: in the order of the probabilities.
            outputs: `probabilities` (classes,), and explanations where the model has them.
        """
        probabilities = outputs["probabilities"]
        return cls(
            label=labels[int(np.argmax(probabilities))],
            probabilities=dict(zip(labels, map(float, probabilities), strict=True)),
            **{name: outputs[name] for name in EXPLANATIONS if name in outputs},
        )
