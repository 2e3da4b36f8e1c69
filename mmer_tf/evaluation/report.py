"""A report on the screen and on disk."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Column, Table
from rich.text import Text

from mmer_tf.atomic import write_text
from mmer_tf.evaluation.metrics import SUMMARISED

HEADINGS = dict(zip(SUMMARISED, ("WA", "UA", "macro F1", "weighted F1", "loss"), strict=True))

PER_CLASS = {"precision": "precision", "recall": "recall", "f1": "F1", "n": "n"}

MOST_COLUMNS = 7
"""Classes whose confusions fit on a terminal of 80 columns."""


def write_json(values: Mapping[str, Any], file: Path) -> None:
    """Write atomically: a reader never sees half a report."""
    write_text(file, json.dumps(values, indent=2, ensure_ascii=False) + "\n")


def report_table(report: Mapping[str, Any], title: str) -> RenderableType:
    """One report as tables: the figures, a row a class, the confusions, and its notes."""
    figures = Table(title=title, title_justify="left")
    for name in SUMMARISED:
        figures.add_column(HEADINGS[name], justify="right")
    figures.add_column("n", justify="right")
    figures.add_row(*(f"{report[name]:.3f}" for name in SUMMARISED), str(report["n"]))

    classes = Table("class", *(Column(name, justify="right") for name in PER_CLASS.values()))
    confusion = Table("true \\ predicted", *(Column(x, justify="right") for x in report["labels"]))
    for label, counts in zip(report["labels"], report["confusion_matrix"], strict=True):
        row = report["per_class"][label]
        shares = (f"{row[name]:.3f}" for name in PER_CLASS if name != "n")
        classes.add_row(label, *shares, str(row["n"]))
        confusion.add_row(label, *map(str, counts))
    if len(report["labels"]) > MOST_COLUMNS:
        confusion = Text("too many classes for a table of confusions: see report.json")
    notes = (Text(f"note: {note}") for note in report["notes"])
    return Group(figures, classes, confusion, *notes)


def summary_table(
    rows: Sequence[tuple[str, Mapping[str, Any]]],
    summary: Mapping[str, Mapping[str, float]],
    title: str,
) -> RenderableType:
    """One row a fold or seed, closed by mean and deviation."""
    table = Table(title=title, title_justify="left")
    table.add_column("run")
    for name in SUMMARISED:
        table.add_column(HEADINGS[name], justify="right")
    table.add_column("n", justify="right")
    for name, report in rows:
        figures = [f"{report[figure]:.3f}" for figure in SUMMARISED]
        table.add_row(name, *figures, str(report["n"]))
    table.add_section()
    for statistic in ("mean", "deviation"):
        figures = [f"{summary[figure][statistic]:.3f}" for figure in SUMMARISED]
        table.add_row(statistic, *figures, "")
    return table


def absence_notes(report: Mapping[str, Any]) -> list[str]:
    """What must be said about classes that the evaluated split lacks."""
    absent = report["absent_classes"]
    if not absent:
        return []
    return [f"no evaluated utterance is {', '.join(absent)}: left out of UA and macro F1"]


def joint_notes(members: Sequence[tuple[str, Sequence[str]]]) -> list[str]:
    """Each note once; one that is not true of every run says of which.

    Args:
        members: what a run is called, and its notes.
    """
    notes = []
    for name, own in members:
        for note in own:
            of_all = all(note in others for _, others in members)
            notes.append(note if of_all or name in note else f"{name}: {note}")
    return list(dict.fromkeys(notes))
