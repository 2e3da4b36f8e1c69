"""Smoothing, hysteresis and being unsure, on verdicts written down by hand."""

import numpy as np
import pytest

from mmer_tf.deploy.stream.smoothing import Smoothing, Timeline, Verdict
from mmer_tf.types import Word

A, B, NOBODY = (0.9, 0.1), (0.1, 0.9), (0.5, 0.5)
JUST_B = (0.45, 0.55)


def run(rows, **options) -> list[tuple[str, float, float]]:
    """Label, start and end of each segment, of verdicts that stand for a second each."""
    timeline = Timeline(("a", "b"), Smoothing(**options))
    segments = []
    for second, row in enumerate(rows):
        probabilities = None if row is None else np.array(row)
        segments += timeline.add(Verdict(second, second + 1, probabilities))
    segments += timeline.end()
    return [(one.label, one.start, one.end) for one in segments]


RAW = {"newest": 1.0, "threshold": 0.0}


@pytest.mark.parametrize(
    ("rows", "options", "expected"),
    [
        ([A, A, A], {}, [("a", 0, 3)]),
        ([A, A, B, B], {"margin": 0.5}, [("a", 0, 2), ("b", 2, 4)]),  # by its lead
        ([A, JUST_B, A, A], {"margin": 0.5}, [("a", 0, 4)]),  # neither lead nor patience
        ([A, JUST_B, JUST_B, A], {"margin": 0.5, "patience": 3}, [("a", 0, 4)]),
        ([A, JUST_B, JUST_B, JUST_B], {"margin": 0.5, "patience": 3}, [("a", 0, 1), ("b", 1, 4)]),
        ([A, JUST_B, JUST_B], {"margin": 0.5, "patience": 3}, [("a", 0, 3)]),  # over too soon
        ([A, JUST_B], {"margin": 0.0}, [("a", 0, 1), ("b", 1, 2)]),
        ([A, JUST_B], {"margin": 1.0, "patience": 1}, [("a", 0, 1), ("b", 1, 2)]),
        ([A, JUST_B, B, B], {"margin": 0.5, "patience": 9}, [("a", 0, 1), ("b", 1, 4)]),
        ([NOBODY], {"threshold": 0.6}, [("", 0, 1)]),
        ([A, NOBODY, NOBODY], {"threshold": 0.6, "margin": 0.5}, [("a", 0, 1), ("", 1, 3)]),
        ([A, NOBODY, A], {"threshold": 0.6, "margin": 0.5}, [("a", 0, 3)]),
        ([NOBODY, A], {"threshold": 0.6, "margin": 0.2}, [("", 0, 1), ("a", 1, 2)]),
        ([NOBODY, A], {"threshold": 0.6, "margin": 0.5}, [("", 0, 2)]),
        ([None, A], {"patience": 1}, [("", 0, 1), ("a", 1, 2)]),
        ([A, None, A], {}, [("a", 0, 3)]),
        ([], {}, []),
    ],
)
def test_hysteresis(rows, options: dict, expected):
    assert run(rows, **(RAW | options)) == expected


def test_another_doubt_ends_the_first():
    """Three labels: what led for a moment belongs to the old label."""
    timeline = Timeline("abc", Smoothing(newest=1.0, margin=1.0, patience=2, threshold=0.0))
    rows = [(0.9, 0.1, 0.0), (0.1, 0.9, 0.0), (0.1, 0.0, 0.9), (0.1, 0.0, 0.9)]
    done = []
    for second, row in enumerate(rows):
        done += timeline.add(Verdict(second, second + 1, np.array(row)))
    done += timeline.end()
    assert [(one.label, one.start, one.end) for one in done] == [("a", 0, 2), ("c", 2, 4)]


def test_probabilities_are_smoothed_and_averaged():
    timeline = Timeline(("a", "b"), Smoothing(newest=0.5, threshold=0.0))
    for second, row in enumerate(((1.0, 0.0), (0.6, 0.4), (0.6, 0.4))):
        timeline.add(Verdict(second, second + 1, np.array(row)))
    (segment,) = timeline.end()
    assert segment.probabilities == pytest.approx({"a": (1 + 0.8 + 0.7) / 3, "b": 0.5 / 3})
    assert segment.confidence == segment.probabilities["a"]


def test_a_pause_forgets():
    timeline = Timeline(("a", "b"), Smoothing(newest=0.1, threshold=0.0))
    timeline.add(Verdict(0, 1, np.array(A)))
    timeline.end()
    timeline.add(Verdict(5, 6, np.array(B)))
    assert timeline.current is not None and timeline.current.label == "b"
    (segment,) = timeline.end()
    assert segment.probabilities == pytest.approx({"a": 0.1, "b": 0.9})
    assert timeline.current is None and timeline.end() == []


def test_words_and_notes_are_joined():
    timeline = Timeline(("a", "b"), Smoothing(newest=1.0, threshold=0.0))
    for second, note in enumerate(("", "x", "x", "y")):
        word = Word(str(second), second, second + 0.5)
        timeline.add(Verdict(second, second + 1, np.array(A), (word,), note))
    (segment,) = timeline.end()
    assert (segment.text, segment.note) == ("0 1 2 3", "x; y")


@pytest.mark.parametrize(
    "options", [{"newest": 0.0}, {"newest": 1.1}, {"patience": 0}, {"margin": -1}, {"threshold": 2}]
)
def test_values_out_of_range_are_refused(options: dict):
    with pytest.raises(ValueError, match=f"`{next(iter(options))}` must be"):
        Smoothing(**options)
