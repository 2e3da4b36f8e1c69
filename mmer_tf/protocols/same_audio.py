"""Recordings that are in two parts of a split, under whatever name."""

from collections.abc import Collection, Iterator, Mapping, Sequence

from mmer_tf.audio.fingerprint import Copy, Fingerprint, find_copies
from mmer_tf.protocols.finding import EXAMPLES, Finding, Severity, Unknown
from mmer_tf.protocols.groups import Row, spoken_words

Fingerprints = Mapping[str, Fingerprint | None]
"""By id: None where there is a recording that cannot be read, no entry where there is none."""


def shared_audio(
    fingerprints: Fingerprints | None, parts: Mapping[str, Sequence[Row]]
) -> Iterator[Finding | Unknown]:
    """Identical and near-identical audio across the parts of a split.

    Args:
        fingerprints: of the recordings; None where they were not taken.
        parts: rows by `train`, `validation` and `test`.
    """
    if fingerprints is None:
        yield Unknown("recordings were not compared")
        return
    transcripts = {row.id: row.transcript for rows in parts.values() for row in rows}
    yield from unread(fingerprints, transcripts)
    groups = {
        part: readable(fingerprints, [row.id for row in rows]) for part, rows in parts.items()
    }
    for part, other, names in (
        ("test", "train", ("test", "training")),
        ("test", "validation", ("test", "validation")),
        ("validation", "train", ("validation", "training")),
    ):
        # An utterance on both sides is a finding of its own.
        copies = [c for c in find_copies(groups[part], groups[other]) if c.left != c.right]
        severity: Severity = "leak" if part == "test" else "note"
        yield from copies_found(copies, severity, names, (transcripts, transcripts))


def copies_found(
    copies: Collection[Copy],
    severity: Severity,
    names: tuple[str, str],
    transcripts: tuple[Mapping[str, str], Mapping[str, str]],
) -> Iterator[Finding]:
    """One finding for equal samples, one for sounds that are alike, one for such of other words.

    A synthesiser, or a speaker with a fixed carrier sentence, says two sentences that differ in a
    word nearly alike. Recordings whose words are known to differ are two, hence a note.

    Args:
        copies: what `find_copies` found.
        severity: of the first two findings.
        names: what left and right side are called.
        transcripts: of both sides, by id; empty where the words are not known.
    """
    name, other = names
    exact = [copy for copy in copies if copy.identical]
    near = [copy for copy in copies if not copy.identical]
    differ = [copy for copy in near if _words_differ(copy, transcripts)]
    if exact:
        yield Finding(
            "identical audio",
            severity,
            f"{name} recordings are in {other} too, sample for sample",
            len({copy.left for copy in exact}),
            tuple(f"{copy.left} = {copy.right}" for copy in exact[:EXAMPLES]),
        )
    copied = f"{name} recordings are in {other} too, at another volume, cut or in another format"
    alike = f"{name} recordings sound like one in {other} that says other words"
    same = [copy for copy in near if copy not in differ]
    told: tuple[tuple[list[Copy], Severity, str], ...] = (
        (same, severity, copied),
        (differ, "note", alike),
    )
    for pairs, severity, message in told:
        if not pairs:
            continue
        pairs.sort(key=lambda copy: copy.error_rate)
        yield Finding(
            "near-identical audio",
            severity,
            message,
            len({copy.left for copy in pairs}),
            tuple(
                f"{copy.left} ~ {copy.right} ({copy.error_rate:.0%} of the bits differ "
                f"over {copy.seconds:.1f} s)"
                for copy in pairs[:EXAMPLES]
            ),
        )


def _words_differ(copy: Copy, transcripts: tuple[Mapping[str, str], Mapping[str, str]]) -> bool:
    left, right = (
        spoken_words(texts.get(id, ""))
        for texts, id in zip(transcripts, (copy.left, copy.right), strict=True)
    )
    return bool(left and right) and left != right


def readable(fingerprints: Fingerprints, ids: Collection[str]) -> dict[str, Fingerprint]:
    """Fingerprints of those of the utterances that have one, in the order of their ids."""
    return {id: one for id in sorted(ids) if (one := fingerprints.get(id)) is not None}


def unread(fingerprints: Fingerprints, ids: Collection[str]) -> Iterator[Unknown]:
    """Say how many recordings cannot be read."""
    gone = [id for id in ids if id in fingerprints and fingerprints[id] is None]
    if gone:
        yield Unknown(
            f"{len(gone)} recordings cannot be read, so that their sound was not compared "
            f"(first: '{min(gone)}')"
        )
