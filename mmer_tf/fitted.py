"""What a run was fitted to, found out by fitting it again.

A run keeps a record of the utterances behind its statistics and its vocabulary. Both are cheap to
compute anew, so that a record which is wrong, or missing, is found out too.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from mmer_tf.bundle import Bundle
from mmer_tf.data.manifest import Dataset
from mmer_tf.data.statistics import fit_statistics
from mmer_tf.models.branch import find_standardise
from mmer_tf.protocols.finding import Audit, Finding, Unknown, some
from mmer_tf.protocols.splits import Split
from mmer_tf.text.normalise import clean
from mmer_tf.text.vocabulary import learn_vocabulary

TOLERANCE = 1e-4
"""Of means and deviations, in deviations; float32 sums differ by less between machines."""


def with_what_is_fitted(
    audit: Audit, bundle: Bundle, dataset: Dataset, division: Mapping[str, Any]
) -> Audit:
    """The audit of a run with what fitting again finds out, and whether its split was changed.

    Args:
        audit: of the run's own division.
        bundle, dataset, division: as for `audit_fitted`.
    """
    told = list(audit_fitted(bundle, dataset, division))
    names = ("train", "validation", "test", "protocol", "fold", "seed")
    if Split(**{name: division[name] for name in names}).digest != division.get("digest"):
        told.append(Unknown("split.json is not the split that the run was started with"))
    return audit.joined(told)


def audit_fitted(
    bundle: Bundle, dataset: Dataset, division: Mapping[str, Any]
) -> Iterator[Finding | Unknown]:
    """Compute normalisation statistics and vocabulary again, and compare.

    Where they are not those of the training utterances, those of training and validation, of the
    encoders' own split, of training and test, and of all are tried.

    Args:
        bundle: the run.
        dataset: that it was trained on, with the classes of the run.
        division: the run's `split.json`.
    """
    present = {row.id for row in dataset.rows}
    for feature in bundle.recipe.speech.features if bundle.recipe.speech else ():
        layer = find_standardise(bundle.model, feature)
        if layer is None:
            continue
        what = f"the normalisation of {feature}"
        if feature not in dataset.families:
            yield Unknown(f"{what} was not computed again: the data set does not hold it")
            continue
        mean, deviation = np.asarray(layer.mean), np.asarray(layer.deviation)

        def are_the_statistics(ids: Sequence[str], feature=feature, m=mean, d=deviation) -> bool:
            found = fit_statistics(dataset, ids, feature)
            # An entry that hardly varies is compared as it is.
            return all(
                bool((np.abs(one - other) <= TOLERANCE * np.maximum(d, 1e-3)).all())
                for one, other in zip(found, (m, d), strict=True)
            )

        yield from _found_out("normalisation", what, are_the_statistics, division, present)
    text = bundle.recipe.text
    if text is not None and not text.tokenizer_source and bundle.tokenizer is not None:
        vocabulary, size = bundle.tokenizer.vocabulary, text.vocabulary_size

        def is_the_vocabulary(ids: Sequence[str]) -> bool:
            chosen = set(ids)
            texts = [
                clean(row.transcript, bundle.recipe.data.cleaning)
                for row in dataset.rows
                if row.id in chosen
            ]
            try:
                return learn_vocabulary(texts, size) == vocabulary
            except ValueError:  # no words, or more characters than the vocabulary has places
                return False

        yield from _found_out("vocabulary", "the vocabulary", is_the_vocabulary, division, present)


def _found_out(
    kind: str,
    what: str,
    is_fitted_to: Callable[[Sequence[str]], bool],
    division: Mapping[str, Any],
    present: set[str],
) -> Iterator[Finding | Unknown]:
    """Tell what something was fitted to, where it is not the training utterances alone."""
    training, validation, test = (division[part] for part in ("train", "validation", "test"))
    tried = {
        "training": training,
        "training and validation": [*training, *validation],
        "the encoders' own split": division.get("encoder_split", {}).get("train", ()),
        "training and test": [*training, *test],
        "all utterances": [*training, *validation, *test],
    }
    for name, ids in tried.items():
        if not ids or not set(ids) <= present or not is_fitted_to(ids):
            continue
        for part, members in (("test", test), ("validation", validation)):
            if seen := set(ids) & set(members):
                message = f"{part} utterances in {what}, which is that of {name}"
                severity = "leak" if part == "test" else "note"
                yield Finding(kind, severity, message, len(seen), some(seen))
        return
    yield Unknown(f"{what} is not what the run's training utterances give")
