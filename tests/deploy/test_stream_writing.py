"""Timelines as text, tables and JSON lines."""

import csv
import io
import json

import pytest

from mmer_tf.deploy.stream.segment import Segment
from mmer_tf.deploy.stream.writing import clock, timeline_writer, write_timeline
from mmer_tf.types import Word

LABELS = ("happy", "sad")
SEGMENTS = [
    Segment(
        0.5, 3.25, "sad", 0.75, {"happy": 0.25, "sad": 0.75},
        (Word('a "b", ü', 0.6, 0.9), Word("c", 1.0, 1.1)),
    ),
    Segment(3.25, 3660.0, "", 0.5, {"happy": 0.5, "sad": 0.5}, (), "unsure"),
    Segment(3661.0, 3661.4, "", 0.0, note="too short to judge (0.30 s of speech)"),
]  # fmt: skip


def written(form: str, file=None) -> str:
    stream = io.StringIO(newline="")
    write_timeline(form, stream, LABELS, SEGMENTS, file)
    return stream.getvalue()


def test_json_is_read_back():
    rows = [json.loads(line) for line in written("json", "x.wav").splitlines()]
    assert [Segment.from_json(row) for row in rows] == SEGMENTS
    assert [row["file"] for row in rows] == ["x.wav"] * 3
    assert json.loads(written("json").splitlines()[0])["file"] is None


def test_a_table_holds_the_same():
    rows = list(csv.DictReader(io.StringIO(written("csv", "x.wav"), newline="")))
    assert list(rows[0]) == [
        "file", "start", "end", "label", "confidence", *LABELS, "words", "note"
    ]  # fmt: skip
    for row, segment in zip(rows, SEGMENTS, strict=True):
        assert (row["file"], row["label"], row["note"]) == ("x.wav", segment.label, segment.note)
        assert row["words"] == segment.text
        assert float(row["start"]) == segment.start and float(row["end"]) == segment.end
        assert float(row["confidence"]) == pytest.approx(segment.confidence)
        stored = {label: float(row[label]) for label in LABELS if row[label]}
        assert stored == pytest.approx(segment.probabilities)


def test_text_is_for_people():
    assert written("text", "x.wav").splitlines() == [
        'x.wav: 0:00.50 - 0:03.25  sad  0.75  a "b", ü c',
        "x.wav: 0:03.25 - 1:01:00.00  unsure  0.50",
        "x.wav: 1:01:01.00 - 1:01:01.40  unsure  (too short to judge (0.30 s of speech))",
    ]
    assert written("text").startswith("0:00.50")


def test_each_segment_is_written_at_once():
    flushed = []

    class Screen(io.StringIO):
        def flush(self) -> None:
            flushed.append(self.getvalue())

    for form in ("text", "csv", "json"):
        flushed.clear()
        write = timeline_writer(form, Screen(), LABELS)
        write(None, SEGMENTS[0])
        assert flushed and "sad" in flushed[-1]


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(0, "0:00.00"), (59.999, "1:00.00"), (3599.994, "59:59.99"), (3599.996, "1:00:00.00")],
)
def test_clock(seconds: float, shown: str):
    assert clock(seconds) == shown
