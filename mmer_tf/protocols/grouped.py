"""Protocols that hold groups together: speakers, sessions, sentences, scripts.

Folds rotate through the sorted groups: with ten or more of them there are five folds, and fold k
tests groups k, k+5, … and validates on the next; with fewer, a fold tests one group. With two
groups, the one that trains also lends a fifth of its utterances to validation, and the notes say
so. Sessions are always left out one at a time.
"""

from collections.abc import Sequence

from mmer_tf.protocols.folds import FOLDS, Fold, ids_of, stratified_share
from mmer_tf.protocols.groups import KEYS, ProtocolError, Row, group_by

MANY_GROUPS = 10
"""From as many groups on, a fold tests several of them."""


def by_speaker(rows: Sequence[Row], seed: int) -> list[Fold]:
    """Test speakers are heard neither in training nor in validation."""
    return _rotate(rows, "speaker", seed)


def by_session(rows: Sequence[Row], seed: int) -> list[Fold]:
    """Leave one session out; the next one validates."""
    return _rotate(rows, "session", seed, one_at_a_time=True)


def by_sentence(rows: Sequence[Row], seed: int) -> list[Fold]:
    """Test sentences occur neither in training nor in validation."""
    return _rotate(rows, "sentence", seed)


def by_script(rows: Sequence[Row], seed: int) -> list[Fold]:
    """Scripts and scenarios of the test occur neither in training nor in validation."""
    return _rotate(rows, "script", seed)


def by_speaker_in_session(rows: Sequence[Row], seed: int) -> list[Fold]:
    """One speaker of a session tests, the others of it validate, other sessions train."""
    sessions = group_by(rows, KEYS["session"], "session")
    group_by(rows, KEYS["speaker"], "speaker")
    at_home: dict[str, str] = {}
    folds = []
    for name, present in sessions.items():
        speakers = group_by(present, KEYS["speaker"], "speaker", least=1)
        if len(speakers) == 1:
            raise ProtocolError(
                f"session '{name}' has a single speaker, so that nobody is left to validate; "
                f"choose another protocol."
            )
        for speaker, tested in speakers.items():
            if speaker in at_home:
                raise ProtocolError(
                    f"speaker '{speaker}' is in the sessions '{at_home[speaker]}' and '{name}', "
                    f"so that other sessions do not keep them out of training; choose the "
                    f"protocol 'speaker'."
                )
            at_home[speaker] = name
            test = ids_of(tested)
            validation = ids_of(present) - test
            folds.append(Fold(ids_of(rows) - ids_of(present), validation, test))
    return folds


def _rotate(
    rows: Sequence[Row], what: str, seed: int, *, one_at_a_time: bool = False
) -> list[Fold]:
    """Fold k tests groups k, k + folds, … and validates on the next ones."""
    groups = group_by(rows, KEYS[what], what)
    names = list(groups)
    if len(names) == 2:
        return [
            _one_against_other(groups[names[1 - k]], groups[names[k]], what, seed) for k in (0, 1)
        ]
    several = len(names) >= MANY_GROUPS and not one_at_a_time
    folds = FOLDS if several else len(names)
    made = []
    for k in range(folds):
        test, validation = names[k::folds], names[(k + 1) % folds :: folds]
        train = [name for name in names if name not in test and name not in validation]
        train_ids, validation_ids, test_ids = (
            ids_of(row for name in part for row in groups[name])
            for part in (train, validation, test)
        )
        made.append(Fold(train_ids, validation_ids, test_ids))
    return made


def _one_against_other(others: list[Row], tested: list[Row], what: str, seed: int) -> Fold:
    validation = stratified_share(others, 5, seed)
    note = (
        f"only two {what}s: validation is a fifth of each class of the training {what}, "
        f"not a {what} of its own"
    )
    return Fold(ids_of(others) - validation, validation, ids_of(tested), (note,))
