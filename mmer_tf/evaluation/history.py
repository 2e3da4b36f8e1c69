"""What a training wrote down epoch by epoch."""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

HISTORY_FILE = "history.csv"

STAGE = "stage"
"""Its column that is no number, in trainings of several stages."""


def read_history(folder: Path) -> dict[str, list[dict[str, float]]]:
    """The epochs of each stage of a run's training, in order.

    Returns:
        Stage -> a row an epoch, by the columns of the table; one stage without a name where the
        training had no stages; nothing where the folder holds no training.
    """
    file = folder / HISTORY_FILE
    if not file.is_file():
        return {}
    stages: dict[str, list[dict[str, float]]] = {}
    with file.open(encoding="utf-8", newline="") as stream:
        for row in csv.DictReader(stream):
            values = {name: float(value) for name, value in row.items() if name != STAGE and value}
            stages.setdefault(row.get(STAGE) or "", []).append(values)
    return stages


def told_stages(folder: Path) -> list[dict[str, Any]]:
    """What a report says of the stages of a run's training, in order.

    Returns:
        For each stage: what it `trains`, the number of its `epochs`, the `best_epoch`, whose
        weights it ended with, and the `validation_ua` of that; nothing where there were no stages.
    """
    told = []
    for name, rows in read_history(folder).items():
        if not name:
            continue
        best = best_epoch(rows)
        told.append(
            {
                "trains": name.split("-", 1)[-1],
                "epochs": len(rows),
                "best_epoch": int(best["epoch"]),
                "validation_ua": best["val_ua"],
            }
        )
    return told


def best_epoch(
    history: Sequence[Mapping[str, Any]], monitor: str = "val_ua", tie_break: str = "val_loss"
) -> Mapping[str, Any]:
    """The row whose weights a training ends with: of equal ones the first."""
    return max(history, key=lambda row: (row[monitor], -row[tie_break]))
