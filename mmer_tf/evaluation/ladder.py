"""The same recipe under several protocols, side by side: what each leak is worth.

A rung is a protocol; the rungs go from the one whose test utterances share the most with the others
to the one whose share the least.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from rich.box import SIMPLE_HEAD
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from mmer_tf.atomic import replacing, write_text
from mmer_tf.evaluation.metrics import mean_and_deviation
from mmer_tf.evaluation.report import joint_notes, write_json
from mmer_tf.protocols.promises import PROMISES

PICTURE = "ladder.png"
MARKDOWN = "ladder.md"
HEADINGS = (
    "protocol", "runs", "UA", "leak worth", "WA", "audit", "macro F1", "trained on",
    "test shares no",
)  # fmt: skip
SHOWN = HEADINGS[:6]
"""What fits a terminal of 80 columns."""
UNEVEN = 1.1
"""From this ratio of training utterances on, the ladder says that they differ."""

VERDICTS = ("leak", "unknown", "clean")
"""What an audit may find, the worst first."""

ONE_FOLD = (
    "one run of each protocol: the differences also hold who happens to be tested; more folds "
    "(--folds all) or seeds tell them apart"
)


def make_ladder(
    reports: Mapping[str, Sequence[Mapping[str, Any]]],
    trained: Mapping[str, Sequence[int]],
    refused: Mapping[str, str],
    *,
    run: str,
    data: str,
    fold: int | str,
    seed: Sequence[int],
) -> dict[str, Any]:
    """Sum up the reports of each protocol.

    Args:
        reports: protocol -> the reports of its folds and seeds, at least one.
        trained: protocol -> how many utterances each of these runs was trained on.
        refused: protocol -> why it cannot divide this corpus.
        run: name of the ladder.
        data: name of the data set.
        fold: which folds were tested.
        seed: of the trainings.

    Returns:
        `run, data, fold, seed, labels, chance, rungs, refused, notes`. `chance` is the UA of
        guessing. A rung has `protocol, promises` (what test shares with no other utterance),
        `runs, n` (tested utterances), `trained_on, ua, wa` (of each run), `summary` (mean and
        deviation over the runs), `worth` (UA above that of the lowest rung), `audit` and `notes`.
    """
    rungs = [
        _rung(name, list(reports[name]), trained[name]) for name in PROMISES if name in reports
    ]
    # Against the lowest, since what protocols keep apart is of different kinds: a corpus decides
    # whether strangers or unheard scripts are the harder test.
    lowest = min(rungs, key=lambda rung: rung["summary"]["ua"]["mean"])
    for rung in rungs:
        rung["worth"] = rung["summary"]["ua"]["mean"] - lowest["summary"]["ua"]["mean"]
    explanation = (
        f"leak worth: how much more UA than under '{lowest['protocol']}', the lowest of this table"
    )
    labels = next(iter(reports.values()))[0]["labels"]
    warnings = [ONE_FOLD] if all(len(rung["runs"]) == 1 for rung in rungs) else []
    sizes = [_mean(rung["trained_on"]) for rung in rungs]
    if max(sizes) > UNEVEN * min(sizes):
        told = ", ".join(
            f"{rung['protocol']} {size:.0f}" for rung, size in zip(rungs, sizes, strict=True)
        )
        warnings.append(f"more training data helps too; utterances to train on: {told}")
    return {
        "run": run,
        "data": data,
        "protocol": "ladder",
        "fold": fold,
        "seed": list(seed),
        "labels": list(labels),
        "chance": 1 / len(labels),
        "rungs": rungs,
        "refused": {name: refused[name] for name in PROMISES if name in refused},
        "notes": [explanation, *warnings, *_notes(rungs)],
    }


def ladder_table(ladder: Mapping[str, Any]) -> RenderableType:
    """The ladder on a terminal, with what is not on it and the notes."""
    table = Table(title=ladder["run"], title_justify="left", box=SIMPLE_HEAD)
    table.pad_edge, table.collapse_padding = False, True
    for heading in SHOWN:
        right = heading not in ("protocol", "audit")
        narrow = heading.replace("leak worth", "leak\nworth")
        whole = heading in ("protocol", "UA", "WA")
        table.add_column(narrow, justify="right" if right else "left", no_wrap=whole)
    for rung in ladder["rungs"]:
        table.add_row(*_cells(rung)[: len(SHOWN)])
    return Group(table, *map(Text, _remarks(ladder)))


def ladder_markdown(ladder: Mapping[str, Any]) -> str:
    """The ladder as a Markdown page, with every column."""
    left = ("protocol", "audit", "test shares no")
    signs = [":--" if heading in left else "--:" for heading in HEADINGS]
    rows = (HEADINGS, signs, *map(_cells, ladder["rungs"]))
    lines = ["| " + " | ".join(cells) + " |" for cells in rows]
    remarks = "".join(f"- {remark}\n" for remark in _remarks(ladder))
    table = "\n".join(lines)
    return f"# {ladder['run']}\n\n{table}\n\n{remarks}\n![The ladder]({PICTURE})\n"


def draw_ladder(ladder: Mapping[str, Any]) -> Figure:
    """UA and WA of each rung, mean and deviation, over the single runs and chance level."""
    rungs = ladder["rungs"]
    figure = Figure(figsize=(2.4 + 1.05 * len(rungs), 4.2), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    for offset, name, colour, marker in ((-0.1, "ua", "C0", "o"), (0.1, "wa", "C1", "s")):
        places = [place + offset for place in range(len(rungs))]
        means = [rung["summary"][name]["mean"] for rung in rungs]
        deviations = [rung["summary"][name]["deviation"] for rung in rungs]
        axes.errorbar(
            places, means, deviations, color=colour, marker=marker, capsize=4, label=name.upper()
        )
        for place, rung in zip(places, rungs, strict=True):
            if len(rung[name]) > 1:
                axes.scatter(
                    [place] * len(rung[name]), rung[name], s=14, color=colour, alpha=0.4, zorder=1
                )
    axes.axhline(ladder["chance"], color="grey", linestyle="--", label="UA of guessing")
    names = [rung["protocol"].replace("-in-", "-in-\n").replace("ed-", "ed-\n") for rung in rungs]
    axes.set_xticks(range(len(rungs)), names, rotation=30, ha="right", rotation_mode="anchor")
    axes.set(ylim=(0, 1), ylabel="share", title=ladder["run"])
    axes.set_xlabel("test shares more with training  →  shares less")
    axes.title.set_fontsize("medium")
    axes.grid(axis="y", alpha=0.3)
    axes.legend(loc="lower left", ncols=3, fontsize="small")
    return figure


def write_ladder(ladder: Mapping[str, Any], folder: Path) -> None:
    """Write `ladder.png`, `ladder.md` and, last, `report.json`."""
    with replacing(folder / PICTURE) as picture:
        draw_ladder(ladder).savefig(picture, dpi=130)
    write_text(folder / MARKDOWN, ladder_markdown(ladder))
    write_json(ladder, folder / "report.json")


def _rung(
    protocol: str, reports: list[Mapping[str, Any]], trained: Sequence[int]
) -> dict[str, Any]:
    named = [(f"fold {report['fold']}, seed {report['seed']}", report) for report in reports]
    return {
        "protocol": protocol,
        "promises": list(PROMISES[protocol]),
        "runs": [report["run"] for report in reports],
        "n": sum(report["n"] for report in reports),
        "trained_on": list(trained),
        "ua": [report["ua"] for report in reports],
        "wa": [report["wa"] for report in reports],
        "summary": mean_and_deviation(reports),
        "audit": _joint_verdict([report.get("audit") for report in reports]),
        "notes": joint_notes([(name, report["notes"]) for name, report in named]),
    }


def _joint_verdict(audits: Sequence[Mapping[str, Any] | None]) -> dict[str, Any] | None:
    """The worst verdict over the runs, and how many kinds of leaks and of notes they have.

    None where a run was not audited.
    """
    done = [audit for audit in audits if audit]
    if len(done) < len(audits):
        return None
    found = {(entry["severity"], entry["kind"]) for audit in done for entry in audit["findings"]}
    return {
        "verdict": min((audit["verdict"] for audit in done), key=VERDICTS.index),
        "leaks": sum(severity == "leak" for severity, _ in found),
        "notes": sum(severity == "note" for severity, _ in found),
    }


def _notes(rungs: Sequence[Mapping[str, Any]]) -> list[str]:
    """What the rungs have to say, each with the name of its protocol."""
    return [f"{rung['protocol']}: {note}" for rung in rungs for note in rung["notes"]]


def _cells(rung: Mapping[str, Any]) -> tuple[str, ...]:
    """The cells of a row, in the order of `HEADINGS`."""
    several = len(rung["runs"]) > 1

    def figure(name: str) -> str:
        values = rung["summary"][name]
        deviation = f" ± {values['deviation']:.3f}" if several else ""
        return f"{values['mean']:.3f}{deviation}"

    return (
        rung["protocol"],
        str(len(rung["runs"])),
        figure("ua"),
        f"{rung['worth']:+.3f}",
        figure("wa"),
        _verdict(rung["audit"]),
        figure("macro_f1"),
        f"{_mean(rung['trained_on']):.0f}",
        ", ".join(rung["promises"]) or "(nothing is promised)",
    )


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _verdict(audit: Mapping[str, Any] | None) -> str:
    if audit is None:
        return "not audited"
    counts = ((audit["leaks"], "leak"), (audit["notes"], "note"))
    told = [f"{count} {what}{'s' if count > 1 else ''}" for count, what in counts if count]
    # That there are leaks is the verdict.
    return ", ".join(told if audit["leaks"] else [audit["verdict"], *told])


def _remarks(ladder: Mapping[str, Any]) -> list[str]:
    """What stands below the table."""
    refused = (f"not on the ladder: {name}: {why}" for name, why in ladder["refused"].items())
    return [*(f"note: {note}" for note in ladder["notes"]), *refused]
