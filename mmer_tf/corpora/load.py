"""From a corpus's folder to its utterances, with a reason for every row left behind."""

import dataclasses
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmer_tf.corpora import CORPORA
from mmer_tf.corpora.errors import CorpusError
from mmer_tf.corpora.format import CorpusFormat
from mmer_tf.corpora.labels import LabelSelection, every_label, parse_labels
from mmer_tf.remote import as_path
from mmer_tf.types import Rejected, Utterance


@dataclass(frozen=True, slots=True)
class Corpus:
    """A corpus as it will be used.

    Args:
        name: as in `CORPORA`.
        utterances: sorted by id.
        rejected: every row that is not among them, sorted by source.
        labels: the classes in their order.
    """

    name: str
    utterances: tuple[Utterance, ...]
    rejected: tuple[Rejected, ...]
    labels: tuple[str, ...]

    def reasons(self) -> Counter[str]:
        """How many rows were left behind, for each reason."""
        return Counter(row.reason for row in self.rejected)


def load_corpus(name: str, root: Path | str, labels: str | None = None, **options: Any) -> Corpus:
    """Read a corpus, select and merge its classes, and account for every row.

    Args:
        name: one of `CORPORA`.
        root: its root folder, as downloaded; for `table` the file or its folder.
        labels: classes to keep and to merge, as "ang,hap+exc,sad,neu"; None keeps all, sorted.
        options: what this corpus's reader takes besides.

    Raises:
        CorpusError: the folder is missing or holds another corpus, the selection names an
            unknown label, or nothing is left.
        UnknownNameError: no such corpus.
    """
    form = CORPORA[name]
    selection = parse_labels(labels) if labels else None
    if selection and form.labels:
        selection.check(form.labels)
    unknown_options = sorted(set(options) - set(form.options))
    if unknown_options:
        known = ", ".join(form.options) or "none"
        raise CorpusError(f"corpus '{name}' has no option '{unknown_options[0]}'. Known: {known}.")
    found, rejected = _sort_out(_read(form, as_path(root), options), form.labels, root)
    if selection is None:
        selection = every_label(utterance.label for utterance in found)
    elif form.labels is None and found:
        selection.check(utterance.label for utterance in found)
    kept, unselected = _select(found, selection, root)
    rejected += unselected
    if not kept:
        counts = Counter(row.reason for row in rejected).most_common()
        reasons = "; ".join(f"{reason}: {count}" for reason, count in counts)
        raise CorpusError(f"{root}: no utterance of '{name}' is left ({reasons or 'no rows'}).")
    empty = set(selection.names) - {utterance.label for utterance in kept}
    if empty:
        present = ", ".join(sorted({utterance.label for utterance in found}))
        raise CorpusError(
            f"{root}: no utterance for the selected class '{min(empty)}'. Present: {present}."
        )
    return Corpus(
        name,
        tuple(sorted(kept, key=lambda utterance: utterance.id)),
        tuple(sorted(rejected, key=lambda row: (row.source, row.reason, row.detail))),
        selection.names,
    )


def _read(form: CorpusFormat, root: Path, options: dict[str, Any]) -> list[Utterance | Rejected]:
    try:
        return list(form.read(root, **options))
    except CorpusError as error:
        other = _look_alike(root, form.name) if root.is_dir() else None
        if other is None:
            raise
        raise CorpusError(f"{error} It looks like '{other}': try --corpus {other}.") from None


def _look_alike(root: Path, name: str) -> str | None:
    """Another corpus whose reader recognises the folder."""
    for other in CORPORA.values():
        if other.name in (name, "table"):  # nearly any folder with a CSV could be a table
            continue
        try:
            first = next(other.read(root), None)
        except CorpusError:
            continue
        if isinstance(first, Utterance):
            return other.name
    return None


def _sort_out(
    rows: Iterable[Utterance | Rejected], labels: tuple[str, ...] | None, root: Path | str
) -> tuple[list[Utterance], list[Rejected]]:
    """Part usable utterances from rejected rows, repeated ids and unknown labels."""
    found: dict[str, Utterance] = {}
    rejected: list[Rejected] = []
    for row in rows:
        if isinstance(row, Rejected):
            rejected.append(row)
        elif labels is not None and row.label not in labels:
            detail = f"'{row.label}' is not one of {', '.join(labels)}"
            rejected.append(Rejected(_source(row, root), "unknown label", "rejected", detail))
        elif row.id in found:
            rejected.append(_duplicate(found[row.id], row, root))
        else:
            found[row.id] = row
    return list(found.values()), rejected


def _duplicate(first: Utterance, second: Utterance, root: Path | str) -> Rejected:
    source = _source(second, root)
    one, other = first.audio, second.audio
    if one and other and one != other and _same_content(one, other):
        # Repacked releases (TESS and RAVDESS on Kaggle) hold the whole tree twice.
        return Rejected(source, "copy of another file", "dropped", str(one))
    detail = f"id '{second.id}' is already taken by {one or 'an earlier row'}"
    return Rejected(source, "duplicate id", "rejected", detail)


def _same_content(one: Path, other: Path) -> bool:
    return one.stat().st_size == other.stat().st_size and one.read_bytes() == other.read_bytes()


def _select(
    utterances: Iterable[Utterance], selection: LabelSelection, root: Path | str
) -> tuple[list[Utterance], list[Rejected]]:
    kept: list[Utterance] = []
    rejected: list[Rejected] = []
    for utterance in utterances:
        label = selection.merged(utterance.label)
        if label is None:
            source = _source(utterance, root)
            rejected.append(Rejected(source, "label not selected", "dropped", utterance.label))
            continue
        votes = utterance.soft_label
        kept.append(
            dataclasses.replace(
                utterance,
                label=label,
                soft_label=selection.merged_votes(votes) if votes is not None else None,
            )
        )
    return kept, rejected


def _source(utterance: Utterance, root: Path | str) -> str:
    return str(utterance.audio or f"{root}: {utterance.id}")
