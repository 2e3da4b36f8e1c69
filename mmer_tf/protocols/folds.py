"""A fold, and how one is drawn: by a hash of seed and id, never by Python's random numbers."""

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from mmer_tf.protocols.groups import Row

FOLDS = 5
"""Folds of what is drawn, and of many groups."""


@dataclass(frozen=True, slots=True)
class Fold:
    """Ids in any order; together every utterance, each once.

    Args:
        train, validation, test: ids.
        notes: what a reader of the figures must know about this fold.
    """

    train: Iterable[str]
    validation: Iterable[str]
    test: Iterable[str]
    notes: tuple[str, ...] = ()


def ids_of(rows: Iterable[Row]) -> set[str]:
    """The ids of utterances."""
    return {row.id for row in rows}


def ids_by_label(rows: Iterable[Row]) -> Mapping[str, list[str]]:
    """The ids of each class."""
    by_label: defaultdict[str, list[str]] = defaultdict(list)
    for row in rows:
        by_label[row.label].append(row.id)
    return by_label


def shuffled(ids: Iterable[str], seed: int) -> list[str]:
    """The same order for the same ids and seed, in whatever order they come."""
    return sorted(ids, key=lambda id: hashlib.sha256(f"{seed} {id}".encode()).digest())


def stratified_share(rows: Iterable[Row], divisor: int, seed: int) -> set[str]:
    """Ids of one in `divisor` of each class, at least one where the class has two or more."""
    share: set[str] = set()
    for ids in ids_by_label(rows).values():
        count = max(round(len(ids) / divisor), 1) if len(ids) > 1 else 0
        share.update(shuffled(ids, seed)[:count])
    return share
