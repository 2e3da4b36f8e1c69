"""Which pictures a report has, and what each of them says to those who cannot see it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from mmer_tf.evaluation.analysis import Analysis
from mmer_tf.evaluation.attention import Example
from mmer_tf.evaluation.history import best_epoch, read_history
from mmer_tf.evaluation.plots import (
    draw_attention,
    draw_block,
    draw_classes,
    draw_confusion_matrix,
    draw_gate,
    draw_groups,
    draw_reliability,
    draw_robustness,
    draw_training,
)

BLOCK_TITLES = {
    "temporal": "Temporal block: the voice as one vector",
    "contextual": "Contextual block: the words as one vector",
    "fusion": "Fusion block: what the classifier reads",
}

WIDE_FROM = 12
"""Classes from which a matrix cannot be read at the width of a phone."""


@dataclass(frozen=True)
class Picture:
    """A picture of a report.

    Args:
        name: of its file, without the ending.
        section: of the page, where it stands.
        alt: what it shows, in words.
        wide: it is not made as narrow as a phone, but scrolled.
    """

    name: str
    section: str
    alt: str
    wide: bool = False


def draw_pictures(
    report: Mapping[str, Any], folder: Path, analysis: Analysis | None = None
) -> Iterator[tuple[Picture, Figure]]:
    """Draw one picture after the other, of what there is to draw.

    Args:
        report: of `make_report`.
        folder: of the run, whose training is drawn too where it holds one.
        analysis: what the classifier did inside.
    """
    yield from _confusions(report)
    yield (
        Picture("classes", "classes", f"Bars for each class: {_of_classes(report)}."),
        draw_classes(report["per_class"], "Precision, recall and F1 of each class"),
    )
    yield (
        Picture("reliability", "calibration", _of_calibration(report["calibration"])),
        draw_reliability(report["calibration"], "Reliability diagram"),
    )
    for key, name in (("per_speaker", "speaker"), ("per_gender", "gender")):
        if groups := report[key]:
            alt = f"Bars of weighted accuracy by {name}: {_of_groups(groups)}."
            figure = draw_groups(groups, f"WA and UA by {name}")
            yield Picture(f"{name}s", "speakers", alt), figure
    yield from _training(folder)
    if report.get("robustness"):
        alt = "Bars of UA and of unchanged answers for each condition; the table has the figures."
        figure = draw_robustness(report["robustness"], "Robustness")
        yield Picture("robustness", "robustness", alt), figure
    if report.get("gate"):
        means = (f"{label} {row['mean']:.2f}" for label, row in report["gate"].items())
        alt = f"Bars of the share of the voice in the gate, by class: {_some(means)}."
        yield Picture("gate", "gate", alt), draw_gate(report["gate"], "Share of the voice")
    if analysis is not None:
        yield from _inside(analysis, report["labels"])


def _confusions(report: Mapping[str, Any]) -> Iterator[tuple[Picture, Figure]]:
    matrix, labels = report["confusion_matrix"], report["labels"]
    figures = f"WA {report['wa']:.3f}, UA {report['ua']:.3f}"
    wide = len(labels) > WIDE_FROM
    alt = f"Confusion matrix of {len(labels)} classes. {_of_confusions(matrix, labels)}"
    yield (
        Picture("confusion_matrix", "confusions", alt, wide),
        draw_confusion_matrix(matrix, labels, f"Utterances ({figures})"),
    )
    yield (
        Picture("confusion_matrix_normalised", "confusions", f"In per cent: {alt}", wide),
        draw_confusion_matrix(matrix, labels, "Per cent of the true class", normalised=True),
    )


def _training(folder: Path) -> Iterator[tuple[Picture, Figure]]:
    stages = read_history(folder)
    if not stages:
        return
    best = {stage: int(best_epoch(rows)["epoch"]) for stage, rows in stages.items()}
    told = (
        f"{f'stage {stage}: ' if stage else ''}{len(rows)} epochs, the best is {best[stage]}"
        for stage, rows in stages.items()
    )
    alt = f"Curves of loss and UA in training and validation. {_some(told)}."
    yield Picture("training", "training", alt, len(stages) > 2), draw_training(stages, best)


def _inside(analysis: Analysis, labels) -> Iterator[tuple[Picture, Figure]]:
    for name, block in analysis.blocks.items():
        if block.points is not None:
            alt = f"t-SNE of {len(block.ids)} vectors of the {name} block by true class."
            figure = draw_block(block.points, block.targets, labels, BLOCK_TITLES[name])
            yield Picture(f"block_{name}", "blocks", alt), figure
    for number, example in enumerate(analysis.examples, 1):
        yield (
            Picture(f"attention_{number}", "attention", _of_attention(example)),
            draw_attention(example),
        )


def _of_classes(report: Mapping[str, Any]) -> str:
    rows = report["per_class"].items()
    return _some(f"{label} recall {row['recall']:.2f}" for label, row in rows if row["n"])


def _of_groups(groups: Mapping[str, Mapping[str, float]]) -> str:
    return _some(f"{name} {row['wa']:.2f}" for name, row in groups.items())


def _of_confusions(matrix, labels) -> str:
    wrong = [
        (count, true, predicted)
        for true, row in zip(labels, matrix, strict=True)
        for predicted, count in zip(labels, row, strict=True)
        if count and true != predicted
    ]
    if not wrong:
        return "No utterance is confused."
    count, true, predicted = max(wrong, key=lambda entry: entry[0])
    return f"The most frequent confusion: {true} taken for {predicted}, {count} times."


def _of_calibration(calibration: Mapping[str, Any]) -> str:
    return (
        "Reliability diagram: share of right answers by their probability, in "
        f"{len(calibration['bins'])} bins. Expected calibration error {calibration['ece']:.3f}."
    )


def _of_attention(example: Example) -> str:
    told = [f"Attention in utterance {example.id}."]
    if example.voice:
        most = max(example.voice, key=lambda one: one.weight)
        told.append(f"Most of the voice at {most.start:.2f} to {most.end:.2f} seconds.")
    if example.words:
        heaviest = sorted(example.words, key=lambda one: -one[1])[:3]
        told.append(f"Heaviest words: {', '.join(word for word, _ in heaviest)}.")
    return " ".join(told)


def _some(parts, most: int = 12) -> str:
    """Parts of a sentence, but not more than anyone would listen to."""
    parts = list(parts)
    rest = [f"and {len(parts) - most} more"] if len(parts) > most else []
    return ", ".join(parts[:most] + rest)
