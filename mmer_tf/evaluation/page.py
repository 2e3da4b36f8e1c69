"""A report as one page that needs nothing but itself."""

import base64
import importlib.metadata
import os
import platform
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

import jinja2
from markupsafe import Markup

from mmer_tf.evaluation.analysis import Analysis
from mmer_tf.evaluation.modalities import GIVEN, spread_text
from mmer_tf.evaluation.pictures import Picture
from mmer_tf.evaluation.report import HEADINGS
from mmer_tf.protocols.promises import DRAWN
from mmer_tf.run_files import SPLIT, read_split

VERDICTS = {
    "clean": "Audit: no leak found",
    "leak": "Audit: leak found. These figures are too good to be believed",
    "unknown": "Audit: cannot tell whether anything leaked",
    "drawn": "Audit: no other leak than the protocol's own",
    None: "Not audited: nobody has looked for leaks",
}

COLOURS = {name: name if name in ("clean", "leak") else "unknown" for name in VERDICTS}
"""Of the box that comes first."""

SECTIONS = {
    "figures": "Figures",
    "classes": "Classes",
    "confusions": "Confusions",
    "worst": "Worst confusions",
    "calibration": "Calibration",
    "speakers": "Speakers and genders",
    "training": "Training",
    "runs": "Runs",
    "blocks": "Inside the classifier",
    "gate": "Gate",
    "modalities": "Missing modalities",
    "attention": "Attention",
    "robustness": "Robustness",
    "audit": "Audit",
    "recipe": "Recipe and environment",
}
"""Anchor -> title, in the order of the page."""

PACKAGES = ("mmer-tf", "tensorflow", "keras", "keras-hub", "numpy", "scikit-learn", "matplotlib")

_TEMPLATES = jinja2.Environment(
    loader=jinja2.FileSystemLoader(Path(__file__).parent),
    autoescape=True,
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


def render_page(
    report: Mapping[str, Any],
    pictures: Mapping[Picture, bytes],
    folder: Path,
    analysis: Analysis | None = None,
) -> str:
    """The page of a report: HTML with its styles and pictures inside, and no scripts.

    Recordings are linked, by their paths from `folder`, and not copied: most corpora may not be
    passed on.

    Args:
        report: of `make_report`.
        pictures: each with its PNG.
        folder: where the page will lie; its `recipe.yaml` and `split.json` are told where it has
            them.
        analysis: what the classifier did inside.
    """
    recipe = folder / "recipe.yaml"
    audit, verdict = report.get("audit"), _verdict(report)
    worst = [entry | {"link": link_to(entry["audio"], folder)} for entry in _worst(report)]
    contents: dict[str, Any] = {
        "report": report,
        "verdict": VERDICTS[verdict],
        "verdict_class": COLOURS[verdict],
        "audit": audit,
        "worst": worst,
        "pictures": _by_section(pictures),
        "examples": analysis.examples if analysis else (),
        "analysis_notes": analysis.notes if analysis else (),
        "recipe": recipe.read_text(encoding="utf-8") if recipe.is_file() else "",
        "commands": commands(report, folder),
        "versions": versions(),
        "headings": HEADINGS,
        "given": GIVEN,
        "spread": spread_text,
        "style": Markup((Path(__file__).parent / "page.css").read_text(encoding="utf-8")),
    }
    present = {name: title for name, title in SECTIONS.items() if _has(name, contents)}
    return _TEMPLATES.get_template("page.html").render(sections=present, **contents)


def link_to(audio: str | None, folder: Path) -> str | None:
    """The recording's address as seen from a page in a folder; None where it is not there."""
    if audio is None or not Path(audio).is_file():
        return None
    relative = os.path.relpath(Path(audio).resolve(), folder.resolve())
    return quote(Path(relative).as_posix())


def commands(report: Mapping[str, Any], folder: Path) -> list[str]:
    """What to type for the same training and the same evaluation; nothing of several runs."""
    if not (folder / SPLIT).is_file() or not (folder / "recipe.yaml").is_file():
        return []
    stored = read_split(folder)
    train = ["--config", str(folder / "recipe.yaml"), "--data", stored.get("data", report["data"])]
    for argument, name in (("--protocol", "protocol"), ("--folds", "fold"), ("--seed", "seed")):
        train += [argument, str(stored[name])]
    if stored.get("encoder_split"):
        train.append("--leaky")
    train.append("--overwrite")
    return [
        shlex.join(["python", "-m", "mmer_tf.train", *train]),
        shlex.join(["python", "-m", "mmer_tf.evaluate", "--run", str(folder)]),
    ]


def versions() -> dict[str, str]:
    """Python and the packages that decide what comes out."""
    found = {"Python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            found[package] = "not installed"  # a checkout without installation, or another build
    return found | {"system": f"{platform.system()} {platform.machine()}"}


def _verdict(report: Mapping[str, Any]) -> str | None:
    """A key of `VERDICTS`: figures of a split that promises nothing are never shown as clean."""
    audit = report.get("audit")
    if audit is None:
        return None
    is_drawn = report["protocol"] in DRAWN
    return "drawn" if is_drawn and audit["verdict"] == "clean" else audit["verdict"]


def _worst(report: Mapping[str, Any]) -> list[dict[str, Any]]:
    return list(report.get("worst_confusions", ()))


def _by_section(pictures: Mapping[Picture, bytes]) -> dict[str, list[dict[str, Any]]]:
    sections: dict[str, list[dict[str, Any]]] = {}
    for picture, png in pictures.items():
        source = f"data:image/png;base64,{base64.b64encode(png).decode()}"
        entry = {"picture": picture, "source": source, "width": _width(png)}
        sections.setdefault(picture.section, []).append(entry)
    return sections


def _width(png: bytes) -> int:
    """Pixels, from the header of the file."""
    return int.from_bytes(png[16:20], "big")


def _has(section: str, contents: Mapping[str, Any]) -> bool:
    report = contents["report"]
    always = ("figures", "classes", "confusions", "recipe")
    told = {
        "worst": contents["worst"],
        "calibration": report.get("calibration"),
        "speakers": report.get("per_speaker") or report.get("per_gender"),
        "runs": report.get("runs") or report.get("stages") or report.get("members"),
        "gate": report.get("gate"),
        "modalities": report.get("modalities"),
        "blocks": contents["analysis_notes"],
        "robustness": report.get("robustness"),
        "audit": contents["audit"],
    }
    return section in always or bool(told.get(section)) or section in contents["pictures"]
