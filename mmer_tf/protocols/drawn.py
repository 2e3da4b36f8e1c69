"""Protocols that draw utterances one by one, whoever speaks and whatever is said."""

from collections.abc import Sequence

from mmer_tf.protocols.folds import FOLDS, Fold, ids_by_label, ids_of, shuffled
from mmer_tf.protocols.groups import ProtocolError, Row

TESTED = VALIDATED = 0.15

TOO_GOOD = (
    "the same speakers are in training and test, so that the figures are too good to be believed"
)


def at_random(rows: Sequence[Row], seed: int) -> list[Fold]:
    """Three fifths train, whoever speaks."""
    if len(rows) < FOLDS:
        raise ProtocolError(
            f"protocol 'random' needs at least {FOLDS} utterances. Received: {len(rows)}."
        )
    order = shuffled(ids_of(rows), seed)
    note = f"random split: {TOO_GOOD}"
    folds = []
    for k in range(FOLDS):
        test, validation = order[k::FOLDS], order[(k + 1) % FOLDS :: FOLDS]
        train = set(order) - set(test) - set(validation)
        folds.append(Fold(train, validation, test, (note,)))
    return folds


def stratified(rows: Sequence[Row], seed: int) -> list[Fold]:
    """70 % of each class train, 15 % validate and 15 % test, whoever speaks.

    One fold, drawn by the seed, as published systems that name these shares have one: 15 % do not
    go into 100 % a whole number of times, so that folds in rotation would either leave utterances
    untested or have other shares. Several seeds show how much the draw decides.
    """
    test: set[str] = set()
    validation: set[str] = set()
    for label, ids in sorted(ids_by_label(rows).items()):
        if len(ids) < 3:
            raise ProtocolError(
                f"class '{label}' has {len(ids)} of the 3 utterances that protocol "
                f"'stratified-70-15-15' needs to have it in every part; choose another protocol."
            )
        order = shuffled(ids, seed)
        tested = max(round(len(ids) * TESTED), 1)
        validated = max(round(len(ids) * VALIDATED), 1)
        test.update(order[:tested])
        validation.update(order[tested : tested + validated])
    note = f"stratified random split: {TOO_GOOD}"
    return [Fold(ids_of(rows) - test - validation, validation, test, (note,))]
