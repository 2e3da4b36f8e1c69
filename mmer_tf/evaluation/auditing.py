"""The audit of an evaluation: whether the judged utterances were unseen."""

from collections.abc import Mapping
from typing import Any

from rich.text import Text

from mmer_tf.bundle import Bundle
from mmer_tf.data.manifest import Dataset
from mmer_tf.data.progress import Progress, silent
from mmer_tf.evaluation.cross_corpus import EvaluationError, known_classes
from mmer_tf.evaluation.judgement import Judged
from mmer_tf.fitted import with_what_is_fitted
from mmer_tf.leakage import (
    audit_dataset,
    audit_other_dataset,
    own_dataset,
    published_weights,
    seen_ids,
)
from mmer_tf.protocols.finding import Finding, some


def audit_judged(judged: Judged, bundle: Bundle, progress: Progress = silent) -> dict[str, Any]:
    """Audit what a run was asked to judge, against what it has seen.

    Args:
        judged: its answers.
        bundle: the run.
        progress: shows how far listening is; what is heard is kept with the data.

    Returns:
        What `Audit.to_mapping` gives.
    """
    published = published_weights(bundle.recipe)
    if judged.is_own:
        audit = audit_dataset(
            judged.dataset,
            judged.stored,
            trained_on=bundle.trained_on,
            published=published,
            progress=progress,
        )
        audit = with_what_is_fitted(audit, bundle, judged.dataset, judged.stored)
        return audit.joined(_of_other_parts(judged)).to_mapping()
    seen = seen_ids(judged.stored, bundle.trained_on)
    own = _own_in_classes(judged, bundle)
    return audit_other_dataset(
        own, seen, judged.dataset, judged.ids, published=published, progress=progress
    ).to_mapping()


def audit_text(audit: Mapping[str, Any]) -> Text:
    """The verdict of an audit in a line, and a line for each leak and for all that is unknown.

    Args:
        audit: what `Audit.to_mapping` gives.
    """
    leaks = [one for one in audit["findings"] if one["severity"] == "leak"]
    lines = [
        f"audit: {audit['verdict']}",
        *(f"leak: {leak['message']} ({leak['count']})" for leak in leaks),
        *(f"unknown: {message}" for message in audit["unknown"]),
    ]
    return Text("\n".join(lines))


def _of_other_parts(judged: Judged) -> list[Finding]:
    """What is to be said of judging another part than the test split."""
    found = []
    for part, severity, message in (
        ("train", "leak", "evaluated utterances that the model was trained on"),
        ("validation", "note", "evaluated utterances that chose epoch and temperature"),
    ):
        if seen := set(judged.ids) & set(judged.stored[part]):
            found.append(Finding("evaluated split", severity, message, len(seen), some(seen)))
    return found


def _own_in_classes(judged: Judged, bundle: Bundle) -> Dataset | None:
    """The data set that the run was divided on, in its classes; None where it is not to be had."""
    own = own_dataset(judged.stored)
    if own is None:
        return None
    try:
        return known_classes(own, bundle.labels, bundle.recipe.data.labels, judged.run)
    except EvaluationError:
        return None  # prepared anew with other classes: the audit says that it cannot tell
