"""Several runs summed up: over folds and seeds, and the clean beside the leaky ones."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Group
from rich.table import Table
from rich.text import Text

from mmer_tf import cli
from mmer_tf.evaluation.auditing import audit_text
from mmer_tf.evaluation.calibration import soften
from mmer_tf.evaluation.evaluate import make_report, write_report
from mmer_tf.evaluation.metrics import mean_and_deviation
from mmer_tf.evaluation.modalities import modalities_table, summed_modalities
from mmer_tf.evaluation.predictions import Predictions, load_predictions, pool
from mmer_tf.evaluation.report import HEADINGS, joint_notes, summary_table, write_json
from mmer_tf.plan import Plan
from mmer_tf.protocols.audit import joint_audit
from mmer_tf.run_files import REPORT


def sum_up(
    plans: Sequence[Plan],
    reports: list[dict[str, Any]],
    folder: Path,
    *,
    fold: int | str,
    seeds: Sequence[int],
    pictures: bool = True,
) -> dict[str, Any]:
    """Mean and deviation over finished runs, and one report of their pooled predictions.

    Args:
        plans: of the runs.
        reports: theirs, in the same order.
        folder: where the summary goes.
        fold: number of the fold, or "all".
        seeds: of the runs.
        pictures: draw them.

    Returns:
        The report of the pooled predictions, with `summary` (figure -> `mean, deviation`) and
        `runs` (their names).
    """
    answers = [load_predictions(plan.folder / "predictions.csv") for plan in plans]
    pooled = pool(answers)
    summary = mean_and_deviation(reports)
    report = make_report(
        pooled,
        run=folder.name,
        data=plans[0].data_name,
        split="test",
        protocol=plans[0].split.protocol,
        fold=fold,
        seed=seeds,
        notes=_notes_of(reports),
        utterances=plans[0].data.rows,
        audit=joint_audit([(_place(report), report.get("audit")) for report in reports]),
        uncalibrated=_uncalibrated(answers, reports),
    )
    report |= {"summary": summary, "runs": [plan.folder.name for plan in plans]}
    modalities = summed_modalities(reports)
    report |= {"modalities": modalities} if modalities else {}
    folder.mkdir(parents=True, exist_ok=True)
    write_report(report, pooled, folder, pictures=pictures)
    rows = [(_place(one), one) for one in reports]
    table = summary_table([*rows, ("pooled", report)], summary, folder.name)
    notes = (Text(f"note: {note}") for note in report["notes"])
    tables = [table, *([modalities_table(modalities)] if modalities else [])]
    cli.show_result(Group(*tables, *notes, audit_text(report["audit"])), folder)
    return report


def compare_leaky(reports: Mapping[str, list[dict[str, Any]]], folder: Path) -> None:
    """The clean and the leaky runs side by side, with what the audit says of each.

    Args:
        reports: "clean" and "leaky" -> their reports, in the same order.
        folder: where `report.json` goes.
    """
    summary = {kind: mean_and_deviation(of_kind) for kind, of_kind in reports.items()}
    audits = {
        kind: joint_audit([(_place(report), report.get("audit")) for report in reports[kind]])
        for kind in reports
    }
    notes = _notes_of(reports["leaky"])
    content = {
        "run": folder.name,
        "data": reports["clean"][0]["data"],
        "summary": summary,
        "audit": audits,
        "runs": {kind: [report["run"] for report in reports[kind]] for kind in reports},
        "notes": notes,
    }
    folder.mkdir(parents=True, exist_ok=True)
    write_json(content, folder / REPORT)
    table = _comparison_table(reports, summary, folder.name)
    cli.show_result(Group(table, *(Text(f"note: {note}") for note in notes)), folder)


def _comparison_table(
    reports: Mapping[str, list[dict[str, Any]]],
    summary: Mapping[str, Mapping[str, Mapping[str, float]]],
    title: str,
) -> Table:
    """Clean and leaky of each fold and seed on lines of their own, then their means."""
    table = Table("run", title=title, title_justify="left")
    for heading in (*HEADINGS.values(), "n", "audit"):
        table.add_column(heading, justify="right")
    several = len(reports["clean"]) > 1
    for fellows in zip(*reports.values(), strict=True):
        for kind, report in zip(reports, fellows, strict=True):
            where = f", fold {report['fold']}, seed {report['seed']}" if several else ""
            figures = [f"{report[figure]:.3f}" for figure in HEADINGS]
            verdict = (report.get("audit") or {}).get("verdict", "none")
            table.add_row(kind + where, *figures, str(report["n"]), verdict)
    if several:
        table.add_section()
        for kind in reports:
            figures = [f"{summary[kind][figure]['mean']:.3f}" for figure in HEADINGS]
            table.add_row(f"{kind}, mean", *figures, "", "")
    return table


def _uncalibrated(
    answers: Sequence[Predictions], reports: Sequence[Mapping[str, Any]]
) -> Predictions | None:
    """All runs' answers at temperature 1; None where a report does not tell its temperature."""
    temperatures = [report.get("calibration", {}).get("temperature") for report in reports]
    if None in temperatures:
        return None
    return pool([soften(own, 1 / t) for own, t in zip(answers, temperatures, strict=True)])


def _notes_of(reports: Sequence[Mapping[str, Any]]) -> list[str]:
    """What the runs have to say together."""
    return joint_notes([(_place(report), report["notes"]) for report in reports])


def _place(report: Mapping[str, Any]) -> str:
    """What a run is called among those that are summed up."""
    return f"fold {report['fold']}, seed {report['seed']}"
