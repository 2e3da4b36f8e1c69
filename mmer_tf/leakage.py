"""The audit of a prepared data set: rows, recordings and what a run was fitted to, in one call.

Without TensorFlow.
"""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from mmer_tf.data.fingerprints import Progress, dataset_fingerprints, silent
from mmer_tf.data.manifest import Dataset, DatasetError, read_dataset
from mmer_tf.data.selection import chosen_rows
from mmer_tf.protocols.audit import Audit, audit_other, audit_split
from mmer_tf.protocols.splits import Split

PARTS = ("train", "validation", "test")


def audit_dataset(
    dataset: Dataset,
    division: Split | Mapping[str, Any],
    *,
    trained_on: Mapping[str, Sequence[str]] | None = None,
    protocol: str | None = None,
    progress: Progress = silent,
) -> Audit:
    """Audit one division of a data set, its recordings included.

    The first audit of a data set listens to every recording; the next ones read what it kept.

    Args:
        dataset: prepared.
        division: a `Split`, or what `split.json` keeps of one.
        trained_on: of the run that is audited: `Bundle.trained_on`; None where there is none.
        protocol: whose promises count; None is the division's own.
        progress: shows how far listening is.

    Raises:
        AuditError: the division names an utterance that the data set does not hold.
    """
    stored = division if isinstance(division, Mapping) else vars(division)
    return audit_split(
        dataset.rows,
        {part: stored[part] for part in PARTS},
        protocol or stored["protocol"],
        fingerprints=dataset_fingerprints(dataset, progress),
        trained_on=trained_on,
    )


def audit_other_dataset(
    own: Dataset | None,
    seen: Collection[str],
    tested: Dataset,
    ids: Sequence[str],
    *,
    progress: Progress = silent,
) -> Audit:
    """Audit the evaluation of a run on another data set than the one it was divided on.

    Args:
        own: the run's data set, with the run's classes; None where it is not to be had.
        seen: ids of what the run has learnt from or chosen its epoch by.
        tested: the other data set.
        ids: those of its utterances that are evaluated.
        progress: shows how far listening is.
    """
    if own is None:
        return audit_other(None, chosen_rows(tested, ids))
    return audit_other(
        [row for row in own.rows if row.id in seen],
        chosen_rows(tested, ids),
        seen_fingerprints=dataset_fingerprints(own, progress),
        tested_fingerprints=dataset_fingerprints(tested, progress),
    )


def seen_ids(
    division: Mapping[str, Any], trained_on: Mapping[str, Sequence[str]]
) -> frozenset[str]:
    """What a run has learnt from or chosen an epoch by.

    Args:
        division: the run's `split.json`.
        trained_on: `Bundle.trained_on` of the run.
    """
    divisions = (division, division.get("encoder_split", {}))
    parts = [one[part] for one in divisions if one for part in ("train", "validation")]
    return frozenset().union(*parts, *trained_on.values())


def own_dataset(division: Mapping[str, Any]) -> Dataset | None:
    """The data set that a run was divided on; None where it is gone or has become another.

    Args:
        division: the run's `split.json`.
    """
    try:
        dataset = read_dataset(Path(division["data"]))
    except DatasetError:
        return None
    return dataset if dataset.digest == division.get("data_digest") else None
