"""The model card of a run: what it is, what it was tested on, and what it is not for.

Sections after Mitchell et al. 2019, *Model Cards for Model Reporting*,
doi 10.1145/3287560.3287596. Everything comes from the run's own files.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from mmer_tf.evaluation.card_facts import (
    UNKNOWN,
    data_facts,
    evaluation_facts,
    limits,
    model_facts,
    share,
    sources,
    verdict_of,
)
from mmer_tf.evaluation.modalities import GIVEN, spread_text
from mmer_tf.evaluation.report import HEADINGS
from mmer_tf.evaluation.run_record import RunRecord
from mmer_tf.run_files import REPORT, read_report

MODEL_CARD = "model_card.md"

PARTS = {"train": "training", "validation": "validation", "test": "test"}

MOST_ROWS = 20
"""Speakers, and findings, that a table of the card holds; report.html has them all."""


def model_card(folder: Path) -> str:
    """The card of a run: the one that lies in its folder, else one made of what is there.

    Raises:
        RunFileError: its report is damaged.
    """
    card = folder / MODEL_CARD
    if card.is_file():
        return card.read_text(encoding="utf-8")
    report = read_report(folder) if (folder / REPORT).is_file() else None
    return render_card(report, folder)


def render_card(report: Mapping[str, Any] | None, folder: Path, run: Path | None = None) -> str:
    """The card as Markdown.

    Args:
        report: of `make_report`; None where the run was not evaluated.
        folder: where the report lies.
        run: of the classifier that is reported on; None is `folder` itself, or the first of the
            runs that are summed up.
    """
    record = RunRecord.read(run or _home(report, folder))
    name = folder.resolve().name if report is None else report["run"]
    told = {} if report is None else report
    findings = (told.get("audit") or {}).get("findings", ())
    labels = record.dataset.labels if record.dataset else ()
    contents: dict[str, Any] = {
        "name": name,
        "verdict": verdict_of(report),
        "model": model_facts(record, told),
        "data": data_facts(record, told),
        "parts": _parts(record),
        "run": record.name,
        "dashes": Markup("---|" * len(labels)),
        "classes": labels,
        "evaluation": evaluation_facts(record, report),
        "figures": _figures(told),
        "interval_note": _interval_note(told),
        "per_class": _per_class(told),
        "groups": _groups(told),
        "modalities": {GIVEN[given]: row for given, row in told.get("modalities", {}).items()},
        "members": told.get("members", ()),
        "findings": findings[:MOST_ROWS],
        "limits": limits(record, report),
        "usage": Markup(_usage(record, told, name)),
        "citation": sources(record),
        "share": share,
        "spread": spread_text,
    }
    return _TEMPLATES.get_template(MODEL_CARD).render(**contents)


def _plain(value: Any) -> Any:
    """Text of others, such as a class or a path, as text in a cell of a Markdown table."""
    if isinstance(value, Markup) or not isinstance(value, str):
        return value
    return Markup(" ".join(value.split()).replace("|", "\\|").replace("<", "&lt;"))


def _cells(values: Sequence[Any]) -> Markup:
    """Several cells of a row."""
    return Markup(" | ".join(str(_plain(value)) for value in values))


_TEMPLATES = jinja2.Environment(
    loader=jinja2.FileSystemLoader(Path(__file__).parent),
    autoescape=False,  # Markdown; `_plain` keeps texts from being read as such
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    finalize=_plain,
)
_TEMPLATES.filters["cells"] = _cells


def _home(report: Mapping[str, Any] | None, folder: Path) -> Path:
    """The run to be described: of several that are summed up the first."""
    runs = (report or {}).get("runs")
    return folder.parent / runs[0] if runs else folder


def _parts(record: RunRecord) -> list[dict[str, Any]]:
    rows = []
    for part, name in PARTS.items():
        counts, speakers = record.classes(part), record.speakers(part)
        if counts is not None:
            told = UNKNOWN if speakers is None else str(len(speakers))
            rows.append(
                {
                    "name": name,
                    "utterances": len(record.stored[part]),
                    "speakers": told,
                    "counts": list(counts.values()),
                }
            )
    return rows


def _figures(report: Mapping[str, Any]) -> list[dict[str, str]]:
    around = report.get("intervals", {})
    return [
        {
            "name": heading,
            "value": share(report[name]),
            "interval": "{:.3f} to {:.3f}".format(*around[name]) if name in around else "",
        }
        for name, heading in HEADINGS.items()
        if name in report
    ]


def _interval_note(report: Mapping[str, Any]) -> str:
    if not report:
        return ""
    around = report.get("intervals")
    of_what = (
        f"Of {report['n']} utterances. WA is the share of right answers, UA the mean of the "
        "recalls of the classes."
    )
    if not around:
        return of_what
    return f"{of_what} Intervals: bootstrap over {around['groups']} {around['over']}."


def _per_class(report: Mapping[str, Any]) -> list[dict[str, str]]:
    return [
        {"name": name, "n": str(row["n"])}
        | {
            figure: share(row[figure]) if row["n"] else "–"
            for figure in ("precision", "recall", "f1")
        }
        for name, row in report.get("per_class", {}).items()
    ]


def _groups(report: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    genders, speakers = report.get("per_gender") or {}, report.get("per_speaker") or {}
    return {"gender": genders, "speaker": speakers if len(speakers) <= MOST_ROWS else {}}


def _usage(record: RunRecord, report: Mapping[str, Any], name: str) -> str:
    """Commands for the reader; of several runs, how each is asked."""
    runs = [str(one) for one in report.get("runs", ())]
    runs = runs or [str(one["run"]) for one in report.get("members", ())] or [record.name]
    given = "recording.wav" if record.recipe.get("speech") or not record.recipe else ""
    if record.recipe.get("text") or not record.recipe:
        given += ' --text "what was said"'
    lines = [f"python -m mmer_tf.predict --run {runs[0]} {given.strip()}"]
    if len(runs) == 1:
        lines.append(f"python -m mmer_tf.export --run {runs[0]}")
    several = f"{name} is no model, but the answers of {', '.join(runs)}.\n\n"
    return (several if len(runs) > 1 else "") + "\n".join(["```bash", *lines, "```"])
