"""What a run says of itself on disk: who was tested, and how it did."""

import json
from pathlib import Path
from typing import Any

REPORT = "report.json"
SPLIT = "split.json"


class RunFileError(ValueError):
    """A file of a run that is missing or damaged, with what to do."""


def read_split(folder: Path) -> dict[str, Any]:
    """Who trained, chose the epoch and tested, and on which data.

    Args:
        folder: of a run.

    Raises:
        RunFileError: the file is missing or damaged.
    """
    return _read(folder, SPLIT, "who was tested")


def read_report(folder: Path) -> dict[str, Any]:
    """The figures of a finished run.

    Args:
        folder: of a run.

    Raises:
        RunFileError: the file is missing or damaged.
    """
    return _read(folder, REPORT, "how it did")


def _read(folder: Path, name: str, says: str) -> dict[str, Any]:
    file = folder / name
    if not file.is_file():
        raise RunFileError(f"{folder} lacks {name}, which says {says}; copy the run again")
    try:
        return dict(json.loads(file.read_text(encoding="utf-8")))
    except (ValueError, TypeError) as error:
        raise RunFileError(
            f"{file}: damaged; copy the run again, or train it anew with --overwrite"
        ) from error
