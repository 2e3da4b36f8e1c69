"""Timelines as text, as a table and as JSON lines, one segment a line, as they come."""

import csv
import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Literal, TextIO

from mmer_tf.deploy.stream.segment import Segment
from mmer_tf.types import Seconds

Form = Literal["text", "csv", "json"]
Write = Callable[[Path | str | None, Segment], None]
"""Writes one segment of a file."""


def timeline_writer(form: Form, stream: TextIO, labels: Sequence[str]) -> Write:
    """What writes one segment, at once, so that a killed command loses none.

    Args:
        form: `csv` has the columns file, start, end, label, confidence, the classes, words, note;
            `json` is an object a line, which `Segment.from_json` reads back; `text` is for people.
        stream: a file opened with `newline=""`, or the screen.
        labels: the classes, in the order of the columns.
    """
    if form == "csv":
        columns = ["file", "start", "end", "label", "confidence", *labels, "words", "note"]
        table = csv.DictWriter(stream, columns, lineterminator="\n")
        table.writeheader()

        def write_row(file: Path | str | None, segment: Segment) -> None:
            row = {label: f"{p:.6f}" for label, p in segment.probabilities.items()}
            row |= {"start": f"{segment.start:.3f}", "end": f"{segment.end:.3f}"}
            row |= {"label": segment.label, "confidence": f"{segment.confidence:.6f}"}
            table.writerow({"file": file, "words": segment.text, "note": segment.note} | row)
            stream.flush()

        return write_row
    if form == "json":

        def write_line(file: Path | str | None, segment: Segment) -> None:
            row = {"file": file and str(file)} | segment.to_json()
            print(json.dumps(row), file=stream, flush=True)

        return write_line

    def write_text(file: Path | str | None, segment: Segment) -> None:
        parts = [f"{clock(segment.start)} - {clock(segment.end)}", segment.label or "unsure"]
        parts += [f"{segment.confidence:.2f}"] if segment.probabilities else []
        parts += [segment.text] if segment.words else []
        parts += [f"({segment.note})"] if segment.note not in ("", "unsure") else []
        named = f"{file}: " if file else ""
        print(named + "  ".join(parts), file=stream, flush=True)

    return write_text


def write_timeline(
    form: Form,
    stream: TextIO,
    labels: Sequence[str],
    segments: Iterable[Segment],
    file: Path | str | None = None,
) -> None:
    """A whole timeline; see `timeline_writer`."""
    write = timeline_writer(form, stream, labels)
    for segment in segments:
        write(file, segment)


def clock(seconds: Seconds) -> str:
    """A time in a recording for people.

    >>> clock(61.239), clock(3725.0)
    ('1:01.24', '1:02:05.00')
    """
    hundredths = round(seconds * 100)
    minutes, rest = divmod(hundredths, 6000)
    hours, minutes = divmod(minutes, 60)
    shown = f"{minutes:02d}" if hours else f"{minutes}"
    return f"{hours}:" * (hours > 0) + f"{shown}:{rest / 100:05.2f}"
