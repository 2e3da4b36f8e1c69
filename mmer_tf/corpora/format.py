"""What the toolkit knows of a corpus before reading it."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

from mmer_tf.types import Rejected, Utterance

Gender = Literal["female", "male"]
Partition = Literal["train", "validation", "test"]


@dataclass(frozen=True, slots=True)
class CorpusFormat:
    """One readable corpus.

    Args:
        name: as in `--corpus NAME`.
        summary: one line on what it is.
        expects: what its root folder holds, as in "wav/03a01Fa.wav".
        labels: every class it can hold, in its own spelling; None where the data decides.
        read: `read(root, **options)` yields an `Utterance` or a `Rejected` per row.
        options: names of the keyword options of `read`.
    """

    name: str
    summary: str
    expects: str
    labels: tuple[str, ...] | None
    read: Callable[..., Iterator[Utterance | Rejected]]
    options: tuple[str, ...] = ()
