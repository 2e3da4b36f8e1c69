"""The utterances that are read, and what is known of them beside their records.

A record is recognised by its number, so no id is looked up while reading: what a training needs
to know about an utterance (class, cleaned transcript, length bucket) comes from `utterances.jsonl`
as one array each, indexed by that number.
"""

import zlib
from collections.abc import Mapping, Sequence

import numpy as np

from mmer_tf.data.manifest import Dataset, DatasetError
from mmer_tf.text.normalise import clean
from mmer_tf.types import Utterance


def chosen_rows(dataset: Dataset, ids: Sequence[str]) -> list[Utterance]:
    """The utterances with these ids, in the order of their records.

    Raises:
        DatasetError: an id that the data set does not hold, or no id at all.
    """
    wanted = set(ids)
    rows = [row for row in dataset.rows if row.id in wanted]
    if len(rows) < len(wanted):
        unknown = min(wanted - {row.id for row in rows})
        raise DatasetError(f"{dataset.folder} holds no utterance '{unknown}'")
    if not rows:
        raise DatasetError(f"{dataset.folder}: no utterance was chosen")
    return rows


def columns_of(
    dataset: Dataset,
    rows: Sequence[Utterance],
    labels: Sequence[str],
    *,
    cleaning: str,
    soft_labels: bool,
    class_weights: Mapping[str, float] | None,
) -> dict[str, np.ndarray]:
    """What is known about each utterance beside its record.

    Args:
        dataset: the data set.
        rows: utterances of it.
        labels: the classes in the order of their indices.
        cleaning: style of `text.normalise.clean`.
        soft_labels: the shares of votes too.
        class_weights: class -> `sample_weight` of its utterances; None has none.

    Returns:
        `label`, `transcript` (cleaned), `has_text`; `draw`, a number of its own for the random
        numbers of each utterance; `soft_label` and `sample_weight` as asked for; indexed by
        record.

    Raises:
        DatasetError: an utterance has a label that is not one of `labels`.
    """
    index = {label: i for i, label in enumerate(labels)}
    unknown = sorted({row.label for row in rows} - set(index))
    if unknown:
        raise DatasetError(
            f"{dataset.folder}: label '{unknown[0]}' is not one of {', '.join(labels)}"
        )
    transcripts = [clean(row.transcript, cleaning) for row in rows]
    columns = {
        "label": np.int32([index[row.label] for row in rows]),
        "transcript": np.array([text.encode() for text in transcripts], object),
        "has_text": np.array([bool(text) for text in transcripts]),
        "draw": np.int64([zlib.crc32(row.id.encode()) for row in rows]),
    }
    if soft_labels:
        votes = [row.soft_label or {row.label: 1.0} for row in rows]
        columns["soft_label"] = np.float32([[v.get(name, 0.0) for name in labels] for v in votes])
    if class_weights is not None:
        columns["sample_weight"] = np.float32([class_weights[row.label] for row in rows])
    return {name: spread(dataset, rows, values) for name, values in columns.items()}


def membership(dataset: Dataset, rows: Sequence[Utterance]) -> np.ndarray:
    """Whether each record is that of one of some utterances, bool (records,)."""
    return spread(dataset, rows, np.ones(len(rows), bool))


def spread(dataset: Dataset, rows: Sequence[Utterance], values: np.ndarray) -> np.ndarray:
    """Values of some utterances as an array over all records, empty elsewhere."""
    blank = b"" if values.dtype == object else 0
    array = np.full((len(dataset.records), *values.shape[1:]), blank, values.dtype)
    array[[dataset.records[row.id] for row in rows]] = values
    return array
