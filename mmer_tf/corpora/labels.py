"""Selecting and merging classes: `ang,hap+exc,sad,neu`."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from mmer_tf.corpora.errors import CorpusError


@dataclass(frozen=True, slots=True)
class LabelSelection:
    """The classes to keep, in order, each with the corpus's labels that it takes in.

    >>> selection = parse_labels("ang,hap+exc,joy=sur+hop")
    >>> selection.names
    ('ang', 'hap', 'joy')
    >>> selection.merged("exc"), selection.merged("fru")
    ('hap', None)
    """

    classes: tuple[tuple[str, tuple[str, ...]], ...]

    @property
    def names(self) -> tuple[str, ...]:
        """The classes in order."""
        return tuple(name for name, _ in self.classes)

    def merged(self, label: str) -> str | None:
        """The class that takes in `label`; None when it is not selected."""
        return next((name for name, members in self.classes if label in members), None)

    def merged_votes(self, votes: Mapping[str, float]) -> dict[str, float] | None:
        """Shares of the selected classes, summing to 1; None when no vote falls on them."""
        shares = {
            name: sum(votes.get(member, 0.0) for member in members)
            for name, members in self.classes
        }
        total = sum(shares.values())
        if total <= 0:
            return None
        return {name: share / total for name, share in shares.items() if share > 0}

    def check(self, known: Iterable[str]) -> None:
        """Raise CorpusError when the selection names a label that is not `known`."""
        known = set(known)
        unknown = [m for _, members in self.classes for m in members if m not in known]
        if unknown:
            raise CorpusError(
                f"unknown label '{unknown[0]}' in the label selection. "
                f"Known: {', '.join(sorted(known))}."
            )


def parse_labels(text: str) -> LabelSelection:
    """Read a selection: classes parted by commas, labels to merge joined by `+`.

    A merged class is called after its first label, or `name=first+second`.

    Raises:
        CorpusError: an empty or repeated label or class.
    """
    classes = []
    for item in text.split(","):
        name, equals, members_text = item.rpartition("=")
        members = tuple(member.strip() for member in members_text.split("+"))
        name = name.strip() if equals else members[0]
        if not name or not all(members):
            raise CorpusError(
                f"labels must read like 'ang,hap+exc,sad' or 'joy=hap+exc,sad'. Received: '{text}'."
            )
        classes.append((name, members))
    for kind, values in (
        ("class", [name for name, _ in classes]),
        ("label", [member for _, members in classes for member in members]),
    ):
        repeated = sorted({value for value in values if values.count(value) > 1})
        if repeated:
            raise CorpusError(f"{kind} '{repeated[0]}' is given twice in the labels '{text}'.")
    return LabelSelection(tuple(classes))


def every_label(labels: Iterable[str]) -> LabelSelection:
    """The selection that keeps each label as a class of its own, in sorted order."""
    return LabelSelection(tuple((label, (label,)) for label in sorted(set(labels))))
