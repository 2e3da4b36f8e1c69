"""Recordings that are in two parts of a split, under whatever name."""

from collections.abc import Collection, Iterator, Mapping

from mmer_tf.audio.fingerprint import Copy, Fingerprint, find_copies
from mmer_tf.protocols.finding import EXAMPLES, Finding, Severity, Unknown

Fingerprints = Mapping[str, Fingerprint | None]
"""By id: None where there is a recording that cannot be read, no entry where there is none."""


def shared_audio(
    fingerprints: Fingerprints | None, ids: Mapping[str, Collection[str]]
) -> Iterator[Finding | Unknown]:
    """Identical and near-identical audio across the parts of a split.

    Args:
        fingerprints: of the recordings; None where they were not taken.
        ids: by `train`, `validation` and `test`.
    """
    if fingerprints is None:
        yield Unknown("recordings were not compared")
        return
    yield from unread(fingerprints, {id for members in ids.values() for id in members})
    groups = {part: readable(fingerprints, members) for part, members in ids.items()}
    for part, other, names in (
        ("test", "train", ("test", "training")),
        ("test", "validation", ("test", "validation")),
        ("validation", "train", ("validation", "training")),
    ):
        # An utterance on both sides is a finding of its own.
        copies = [c for c in find_copies(groups[part], groups[other]) if c.left != c.right]
        severity: Severity = "leak" if part == "test" else "note"
        yield from copies_found(copies, severity, *names)


def copies_found(
    copies: Collection[Copy], severity: Severity, name: str, other: str
) -> Iterator[Finding]:
    """One finding for equal samples and one for sounds that are alike.

    Args:
        copies: what `find_copies` found.
        severity: of both findings.
        name, other: what the sides are called.
    """
    exact = [copy for copy in copies if copy.identical]
    near = [copy for copy in copies if not copy.identical]
    if exact:
        yield Finding(
            "identical audio",
            severity,
            f"{name} recordings are in {other} too, sample for sample",
            len({copy.left for copy in exact}),
            tuple(f"{copy.left} = {copy.right}" for copy in exact[:EXAMPLES]),
        )
    if near:
        near = sorted(near, key=lambda copy: copy.error_rate)
        yield Finding(
            "near-identical audio",
            severity,
            f"{name} recordings are in {other} too, at another volume, cut or in another format",
            len({copy.left for copy in near}),
            tuple(
                f"{copy.left} ~ {copy.right} ({copy.error_rate:.0%} of the bits differ "
                f"over {copy.seconds:.1f} s)"
                for copy in near[:EXAMPLES]
            ),
        )


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
