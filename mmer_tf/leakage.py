"""The audit of a prepared data set: rows, recordings and what a run was fitted to, in one call.

Without TensorFlow.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from mmer_tf.data.fingerprints import dataset_fingerprints
from mmer_tf.data.manifest import Dataset, DatasetError, read_dataset
from mmer_tf.data.progress import Progress, silent
from mmer_tf.data.selection import chosen_rows
from mmer_tf.protocols.audit import Audit, audit_other, audit_split
from mmer_tf.protocols.finding import Finding, some
from mmer_tf.protocols.predefined import PARTS
from mmer_tf.protocols.splits import Split
from mmer_tf.recipe import Recipe

NOTHING: Mapping[str, str] = MappingProxyType({})


def audit_dataset(
    dataset: Dataset,
    division: Split | Mapping[str, Any],
    *,
    trained_on: Mapping[str, Sequence[str]] | None = None,
    published: Mapping[str, str] = NOTHING,
    protocol: str | None = None,
    progress: Progress = silent,
) -> Audit:
    """Audit one division of a data set, its recordings included.

    The first audit of a data set listens to every recording; the next ones read what it kept.

    Args:
        dataset: prepared.
        division: a `Split`, or what `split.json` keeps of one; the latter may have an
            `encoder_split`, whose validation utterances chose the epoch of the encoders.
        trained_on: of the run that is audited: `Bundle.trained_on`; None where there is none.
        published: of the run that is audited: `published_weights` of its recipe.
        protocol: whose promises count; None is the division's own.
        progress: shows how far listening is.

    Raises:
        AuditError: the division names an utterance that the data set does not hold.
    """
    stored = division if isinstance(division, Mapping) else vars(division)
    audit = audit_split(
        dataset.rows,
        {part: stored[part] for part in PARTS},
        protocol or stored["protocol"],
        fingerprints=dataset_fingerprints(dataset, progress),
        trained_on=trained_on,
    )
    return audit.joined([*_chosen_by(stored), *_of_published(published)])


def audit_other_dataset(
    own: Dataset | None,
    seen: Collection[str],
    tested: Dataset,
    ids: Sequence[str],
    *,
    published: Mapping[str, str] = NOTHING,
    progress: Progress = silent,
) -> Audit:
    """Audit the evaluation of a run on another data set than the one it was divided on.

    Args:
        own: the run's data set, with the run's classes; None where it is not to be had.
        seen: ids of what the run has learnt from or chosen its epoch by.
        tested: the other data set.
        ids: those of its utterances that are evaluated.
        published: `published_weights` of the run's recipe.
        progress: shows how far listening is.
    """
    if own is None:
        audit = audit_other(None, chosen_rows(tested, ids))
        return audit.joined(_of_published(published))
    audit = audit_other(
        [row for row in own.rows if row.id in seen],
        chosen_rows(tested, ids),
        seen_fingerprints=dataset_fingerprints(own, progress),
        tested_fingerprints=dataset_fingerprints(tested, progress),
    )
    return audit.joined(_of_published(published))


def published_weights(recipe: Recipe) -> dict[str, str]:
    """Encoders that start from weights which were trained elsewhere -> where those come from."""
    found: dict[str, str] = {}
    for part in (recipe.speech, recipe.text):
        if part is None:
            continue
        if part.upstream and part.upstream.weights:
            found[part.upstream.encoder] = part.upstream.weights
        if isinstance(part.weights, str):
            found[part.encoder] = part.weights
        elif part.weights:  # an encoder of several streams
            found |= {f"{part.encoder} ({name})": place for name, place in part.weights.items()}
    return found


def _of_published(published: Mapping[str, str]) -> Iterator[Finding]:
    for encoder, source in published.items():
        message = f"encoder {encoder} comes from {source}; what it was trained on is not known"
        yield Finding("published encoder", "note", message, 0)


def _chosen_by(division: Mapping[str, Any]) -> Iterator[Finding]:
    """Test utterances that validated the encoders on a split of their own."""
    encoder_split = division.get("encoder_split") or {}
    if seen := set(encoder_split.get("validation", ())) & set(division["test"]):
        message = "test utterances by which the epoch of the encoders was chosen"
        yield Finding("stage encoder", "leak", message, len(seen), some(seen))


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
        dataset = read_dataset(division["data"])
    except DatasetError:
        return None
    return dataset if dataset.digest == division.get("data_digest") else None
