"""What finished runs, and summaries of several, answered for their test utterances."""

import csv
import json
from collections.abc import Mapping
from pathlib import Path

from mmer_tf.data.manifest import DatasetError, read_dataset
from mmer_tf.evaluation.comparison import ComparisonError
from mmer_tf.evaluation.predictions import Predictions, load_predictions


def stored_answers(folder: Path) -> Predictions:
    """The answers in the `predictions.csv` of a run, a summary over folds, or an evaluation.

    Raises:
        ComparisonError: there are none, or they cannot be read.
    """
    file = folder / "predictions.csv"
    if not folder.is_dir():
        raise ComparisonError(f"{folder}: no such run; `ls {folder.parent}` shows what is there")
    if not file.is_file():
        raise ComparisonError(
            f"{folder} holds no predictions.csv: name a finished run, or the summary of its folds"
        )
    try:
        return load_predictions(file)
    except (ValueError, IndexError, csv.Error) as error:
        raise ComparisonError(f"{file}: damaged; evaluate the run again") from error


def stored_speakers(folder: Path) -> Mapping[str, str | None]:
    """Who speaks in the data that a run, or a summary over folds, was divided on.

    Returns:
        id -> speaker; empty where the folder does not name its data or the data is gone.
    """
    data = _data_of(folder)
    try:
        return speakers(data) if data is not None else {}
    except DatasetError:
        return {}  # the comparison then says that speakers are not known


def speakers(data: Path) -> Mapping[str, str | None]:
    """Who speaks in a data set: id -> speaker.

    Raises:
        DatasetError: it cannot be read.
    """
    return {row.id: row.speaker for row in read_dataset(data).rows}


def _data_of(folder: Path) -> Path | None:
    """The data set of a run, or of the first run that a summary names."""
    names = _read(folder / "report.json").get("runs")
    first = folder.parent / names[0] if isinstance(names, list) and names else folder
    data = _read(first / "split.json").get("data")
    return Path(data) if data else None


def _read(file: Path) -> dict:
    try:
        return json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    except ValueError as error:
        raise ComparisonError(f"{file}: damaged; evaluate the run again") from error
