"""The division that a corpus comes with: MELD's, GoEmotions', or a column of a table."""

from collections.abc import Sequence

from mmer_tf.protocols.folds import Fold, ids_of, stratified_share
from mmer_tf.protocols.groups import ProtocolError, Row, group_by

PARTS = ("train", "validation", "test")


def predefined(rows: Sequence[Row], seed: int) -> list[Fold]:
    """The corpus's own partition."""
    parts = group_by(rows, lambda row: row.partition, "partition", least=1)
    unknown = sorted(set(parts) - set(PARTS))
    if unknown:
        raise ProtocolError(
            f"a partition must be train, validation or test. Received: '{unknown[0]}'."
        )
    for part in ("train", "test"):
        if part not in parts:
            raise ProtocolError(f"protocol 'predefined' needs a '{part}' partition; there is none.")
    test = ids_of(parts["test"])
    if "validation" in parts:
        return [Fold(ids_of(parts["train"]), ids_of(parts["validation"]), test)]
    validation = stratified_share(parts["train"], 10, seed)
    note = "the corpus has no validation partition: a tenth of each class of training validates"
    return [Fold(ids_of(parts["train"]) - validation, validation, test, (note,))]
