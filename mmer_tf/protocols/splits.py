"""Train, validation and test: who may be where.

Every protocol divides the utterances into folds. It looks at nothing but ids, labels and metadata,
and depends neither on the order of the utterances nor on Python's random numbers: what is
shuffled is sorted by a hash of seed and id.
"""

import hashlib
import json
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

from mmer_tf.registry import Registry

MANY_GROUPS = 10
"""From as many speakers (or sentences) on, a fold tests several of them."""

FOLDS = 5


class ProtocolError(ValueError):
    """Utterances that a protocol cannot divide; the message says what they lack."""


class Row(Protocol):
    """What a protocol sees of an utterance."""

    @property
    def id(self) -> str: ...  # noqa: D102
    @property
    def label(self) -> str: ...  # noqa: D102
    @property
    def speaker(self) -> str | None: ...  # noqa: D102
    @property
    def session(self) -> str | None: ...  # noqa: D102
    @property
    def script(self) -> str | None: ...  # noqa: D102
    @property
    def transcript(self) -> str: ...  # noqa: D102
    @property
    def partition(self) -> str | None: ...  # noqa: D102


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


@dataclass(frozen=True, slots=True)
class _Fold:
    train: Iterable[str]
    validation: Iterable[str]
    test: Iterable[str]
    notes: tuple[str, ...] = ()


def _by_speaker(rows: Sequence[Row], seed: int) -> list[_Fold]:
    """Test speakers are heard neither in training nor in validation."""
    groups = _groups(rows, lambda row: row.speaker, "speaker")
    return _rotate(groups, FOLDS if len(groups) >= MANY_GROUPS else len(groups), "speaker", seed)


def _by_session(rows: Sequence[Row], seed: int) -> list[_Fold]:
    """Leave one session out; the next one validates."""
    groups = _groups(rows, lambda row: row.session, "session")
    return _rotate(groups, len(groups), "session", seed)


def _by_sentence(rows: Sequence[Row], seed: int) -> list[_Fold]:
    """Test sentences occur neither in training nor in validation."""
    groups = _groups(rows, _sentence, "sentence")
    return _rotate(groups, FOLDS if len(groups) >= MANY_GROUPS else len(groups), "sentence", seed)


def _at_random(rows: Sequence[Row], seed: int) -> list[_Fold]:
    """Three fifths train, whoever speaks."""
    if len(rows) < FOLDS:
        raise ProtocolError(
            f"protocol 'random' needs at least {FOLDS} utterances. Received: {len(rows)}."
        )
    order = _shuffled((row.id for row in rows), seed)
    note = "random split: the same speakers are in training and test"
    folds = []
    for k in range(FOLDS):
        test, validation = order[k::FOLDS], order[(k + 1) % FOLDS :: FOLDS]
        train = set(order) - set(test) - set(validation)
        folds.append(_Fold(train, validation, test, (note,)))
    return folds


def _predefined(rows: Sequence[Row], seed: int) -> list[_Fold]:
    """The corpus's own partition."""
    parts = _groups(rows, lambda row: row.partition, "partition", least=1)
    unknown = sorted(set(parts) - {"train", "validation", "test"})
    if unknown:
        raise ProtocolError(
            f"a partition must be train, validation or test. Received: '{unknown[0]}'."
        )
    for part in ("train", "test"):
        if part not in parts:
            raise ProtocolError(f"protocol 'predefined' needs a '{part}' partition; there is none.")
    test = _ids(parts["test"])
    if "validation" in parts:
        return [_Fold(_ids(parts["train"]), _ids(parts["validation"]), test)]
    validation = _stratified_share(parts["train"], 10, seed)
    note = "the corpus has no validation partition: a tenth of each class of training validates"
    return [_Fold(_ids(parts["train"]) - validation, validation, test, (note,))]


PROTOCOLS: Registry[Callable[[Sequence[Row], int], list[_Fold]]] = Registry(
    "protocol",
    {
        "speaker": _by_speaker,
        "session": _by_session,
        "sentence": _by_sentence,
        "random": _at_random,
        "predefined": _predefined,
    },
)


def num_folds(utterances: Iterable[Row], protocol: str) -> int:
    """How many folds `protocol` makes of these utterances.

    Raises:
        ProtocolError: it cannot divide them.
    """
    return len(PROTOCOLS[protocol](_checked(utterances), 0))


def split(utterances: Iterable[Row], protocol: str, fold: int = 0, seed: int = 0) -> Split:
    """One fold of a protocol.

    Folds over groups (speakers, sentences) rotate through the sorted groups: with ten or more of
    them there are five folds, and fold k tests groups k, k+5, … and validates on the next; with
    fewer, a fold tests one group. With two groups, the one that trains also lends a fifth of its
    utterances to validation, and `notes` says so. Sessions are always left out one at a time.

    Args:
        utterances: `Utterance`s or anything with the attributes of `Row`.
        protocol: name in `PROTOCOLS`.
        fold: 0 … `num_folds` - 1.
        seed: of what is drawn.

    Raises:
        ProtocolError: no such fold, or the utterances lack what the protocol goes by.
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


def _groups(
    rows: Sequence[Row], key: Callable[[Row], str | None], what: str, least: int = 2
) -> dict[str, list[Row]]:
    """Rows by sorted key.

    Raises:
        ProtocolError: a row without key, or fewer than `least` groups.
    """
    groups: defaultdict[str, list[Row]] = defaultdict(list)
    for row in rows:
        groups[key(row) or ""].append(row)
    without = groups.pop("", [])
    if without:
        raise ProtocolError(
            f"{len(without)} of {len(rows)} utterances have no {what} (first: '{without[0].id}'); "
            f"choose another protocol."
        )
    if len(groups) < least:
        raise ProtocolError(
            f"splitting by {what} needs at least {least} of them. Received: {len(groups)}; "
            f"choose another protocol."
        )
    return dict(sorted(groups.items()))


def _rotate(groups: dict[str, list[Row]], folds: int, what: str, seed: int) -> list[_Fold]:
    """Fold k tests groups k, k + folds, … and validates on the next ones."""
    names = list(groups)
    if len(names) == 2:
        return [
            _one_against_other(groups[names[1 - k]], groups[names[k]], what, seed) for k in (0, 1)
        ]
    made = []
    for k in range(folds):
        test, validation = names[k::folds], names[(k + 1) % folds :: folds]
        train = [name for name in names if name not in test and name not in validation]
        train_ids, validation_ids, test_ids = (
            _ids(row for name in part for row in groups[name]) for part in (train, validation, test)
        )
        made.append(_Fold(train_ids, validation_ids, test_ids))
    return made


def _one_against_other(others: list[Row], tested: list[Row], what: str, seed: int) -> _Fold:
    validation = _stratified_share(others, 5, seed)
    note = (
        f"only two {what}s: validation is a fifth of each class of the training {what}, "
        f"not a {what} of its own"
    )
    return _Fold(_ids(others) - validation, validation, _ids(tested), (note,))


def _stratified_share(rows: Iterable[Row], divisor: int, seed: int) -> set[str]:
    """One in `divisor` of each class, at least one where the class has two or more."""
    by_label: defaultdict[str, list[str]] = defaultdict(list)
    for row in rows:
        by_label[row.label].append(row.id)
    share: set[str] = set()
    for ids in by_label.values():
        count = max(round(len(ids) / divisor), 1) if len(ids) > 1 else 0
        share.update(_shuffled(ids, seed)[:count])
    return share


def _shuffled(ids: Iterable[str], seed: int) -> list[str]:
    return sorted(ids, key=lambda id: hashlib.sha256(f"{seed} {id}".encode()).digest())


def _ids(rows: Iterable[Row]) -> set[str]:
    return {row.id for row in rows}


def _sentence(row: Row) -> str | None:
    """The words alone, so that "Go!" and "go" are one sentence; else the script's code."""
    letters = "".join(
        " " if unicodedata.category(char)[0] in "PSZC" else char for char in row.transcript
    )
    return " ".join(letters.casefold().split()) or row.script
