"""Train, validation and test: who may be where.

Every protocol divides the utterances into folds. It looks at nothing but ids, labels and metadata,
and depends neither on the order of the utterances nor on Python's random numbers: what is
shuffled is sorted by a hash of seed and id.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

from mmer_tf.protocols.drawn import at_random, stratified
from mmer_tf.protocols.folds import Fold
from mmer_tf.protocols.grouped import (
    by_script,
    by_sentence,
    by_session,
    by_speaker,
    by_speaker_in_session,
)
from mmer_tf.protocols.groups import ProtocolError, Row
from mmer_tf.protocols.predefined import predefined
from mmer_tf.registry import Registry

__all__ = ["PROTOCOLS", "ProtocolError", "Row", "Split", "num_folds", "split"]

PROTOCOLS: Registry[Callable[[Sequence[Row], int], list[Fold]]] = Registry(
    "protocol",
    {
        "speaker": by_speaker,
        "session": by_session,
        "speaker-in-session": by_speaker_in_session,
        "sentence": by_sentence,
        "script": by_script,
        "random": at_random,
        "stratified-70-15-15": stratified,
        "predefined": predefined,
    },
)


@dataclass(frozen=True)
class Split:
    """Which utterances train, choose the epoch, and test, as sorted ids.

    Args:
        train, validation, test: ids; together every utterance, each once.
        protocol: name in `PROTOCOLS`.
        fold: which of the protocol's folds.
        seed: of what is drawn; protocols that draw nothing ignore it.
        notes: what a reader of the figures must know about this split.
    """

    train: tuple[str, ...]
    validation: tuple[str, ...]
    test: tuple[str, ...]
    protocol: str
    fold: int
    seed: int
    notes: tuple[str, ...] = ()

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the three lists: equal where the same utterances play the same part."""
        content = json.dumps([self.train, self.validation, self.test])
        return hashlib.sha256(content.encode()).hexdigest()


def num_folds(utterances: Iterable[Row], protocol: str) -> int:
    """How many folds `protocol` makes of these utterances.

    Raises:
        groups.ProtocolError: it cannot divide them.
    """
    return len(PROTOCOLS[protocol](_checked(utterances), 0))


def split(utterances: Iterable[Row], protocol: str, fold: int = 0, seed: int = 0) -> Split:
    """One fold of a protocol.

    Args:
        utterances: `Utterance`s or anything with the attributes of `Row`.
        protocol: name in `PROTOCOLS`.
        fold: 0 … `num_folds` - 1.
        seed: of what is drawn.

    Raises:
        groups.ProtocolError: no such fold, or the utterances lack what the protocol goes by.
    """
    rows = _checked(utterances)
    folds = PROTOCOLS[protocol](rows, seed)
    if not 0 <= fold < len(folds):
        raise ProtocolError(
            f"`fold` must be 0 to {len(folds) - 1} for protocol '{protocol}' on this corpus. "
            f"Received: {fold}."
        )
    chosen = folds[fold]
    result = Split(
        train=tuple(sorted(chosen.train)),
        validation=tuple(sorted(chosen.validation)),
        test=tuple(sorted(chosen.test)),
        protocol=protocol,
        fold=fold,
        seed=seed,
        notes=chosen.notes,
    )
    for part in ("train", "validation", "test"):
        if not getattr(result, part):
            raise ProtocolError(
                f"fold {fold} of protocol '{protocol}' leaves no utterance for {part}: "
                f"{len(rows)} utterances are too few."
            )
    return result


def _checked(utterances: Iterable[Row]) -> list[Row]:
    rows = sorted(utterances, key=lambda row: row.id)
    repeated = [id for id, count in Counter(row.id for row in rows).items() if count > 1]
    if repeated:
        raise ProtocolError(f"id '{repeated[0]}' occurs more than once; ids must be unique.")
    return rows
