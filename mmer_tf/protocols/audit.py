"""The audit: what the test utterances share with those that a model has seen.

A finding is a *leak* when it makes the figures of the test untrue: it breaks what the protocol
promises, or is wrong under every protocol. It is a *note* when the protocol permits it, or when it
concerns training and validation alone: the choice of the epoch then rests on less, but the test
stays unseen. What cannot be compared is *unknown*, and never passes as clean.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence

from mmer_tf.audio.fingerprint import find_copies
from mmer_tf.protocols.finding import Audit, Finding, Unknown, joint_audit
from mmer_tf.protocols.groups import Row, spoken_words
from mmer_tf.protocols.label_distribution import missing_classes, shifted_labels
from mmer_tf.protocols.overlap import (
    NAMES,
    Parts,
    fitted_to,
    shared_groups,
    shared_transcripts,
    shared_utterances,
    transcripts_finding,
)
from mmer_tf.protocols.promises import PROMISES
from mmer_tf.protocols.same_audio import (
    Fingerprints,
    copies_found,
    readable,
    shared_audio,
    unread,
)

__all__ = ["Audit", "AuditError", "Finding", "audit_other", "audit_split", "joint_audit"]


class AuditError(ValueError):
    """A split that cannot be audited, with what it lacks."""


def audit_split(
    rows: Iterable[Row],
    parts: Mapping[str, Sequence[str]],
    protocol: str,
    *,
    fingerprints: Fingerprints | None = None,
    trained_on: Mapping[str, Sequence[str]] | None = None,
) -> Audit:
    """Audit one division of a data set.

    Args:
        rows: the utterances, those of the three parts among them.
        parts: ids by `train`, `validation` and `test`; a part that is not named is empty.
        protocol: whose promises count, a name of `PROMISES`.
        fingerprints: id -> fingerprint of its recording; None for a recording that cannot be
            read, no entry for an utterance without one. Without any, audio is unknown.
        trained_on: what a run fitted -> ids of the utterances that it was fitted to; empty where
            the run does not say, which is unknown; None where no run is audited.

    Raises:
        AuditError: an id that no row has, a part of another name, or an unknown protocol.
    """
    chosen = _rows_of(rows, parts, protocol)
    labels = {NAMES[part]: [row.label for row in members] for part, members in chosen.items()}
    told = [
        *shared_utterances(chosen),
        *shared_groups(chosen, protocol),
        *shared_audio(fingerprints, chosen),
        *shared_transcripts(chosen, protocol),
        *(() if trained_on is None else fitted_to(trained_on, chosen)),
        *missing_classes(labels),
        *shifted_labels(labels, "training"),
    ]
    return Audit.of(told)


def audit_other(
    seen: Iterable[Row] | None,
    tested: Iterable[Row],
    *,
    seen_fingerprints: Fingerprints | None = None,
    tested_fingerprints: Fingerprints | None = None,
) -> Audit:
    """Audit the evaluation of a run on another corpus than the one that it was divided on.

    Ids, speakers and scripts of two corpora are different things even where they are called the
    same; what can leak is the sound. Equal words are a note: no protocol keeps them apart.

    Args:
        seen: what the run has learnt from or chosen its epoch by; None where it is not to be had.
        tested: the utterances that are evaluated.
        seen_fingerprints, tested_fingerprints: as for `audit_split`.
    """
    tested = list(tested)
    if seen is None:
        lost = "the utterances that the run was trained on are not there to be compared"
        return Audit.of([Unknown(lost)])
    seen = list(seen)
    labels = {
        NAMES["train"]: [row.label for row in seen],
        NAMES["test"]: [row.label for row in tested],
    }
    told = [
        *_same_sound(seen, tested, seen_fingerprints, tested_fingerprints),
        *_same_words(seen, tested),
        *missing_classes(labels),
        *shifted_labels(labels, "training"),
    ]
    return Audit.of(told)


def _same_sound(
    seen: Sequence[Row],
    tested: Sequence[Row],
    seen_fingerprints: Fingerprints | None,
    tested_fingerprints: Fingerprints | None,
) -> Iterator[Finding | Unknown]:
    if seen_fingerprints is None or tested_fingerprints is None:
        yield Unknown("recordings were not compared")
        return
    sides = []
    for rows, fingerprints in ((tested, tested_fingerprints), (seen, seen_fingerprints)):
        ids = [row.id for row in rows]
        yield from unread(fingerprints, ids)
        sides.append(readable(fingerprints, ids))
    names = ("evaluated", "the run's own corpus")
    here, there = ({row.id: row.transcript for row in rows} for rows in (tested, seen))
    yield from copies_found(find_copies(*sides), "leak", names, (here, there))


def _same_words(seen: Sequence[Row], tested: Sequence[Row]) -> Iterator[Finding]:
    here, there = (
        Counter(filter(None, (spoken_words(row.transcript) for row in rows)))
        for rows in (tested, seen)
    )
    if both := set(here) & set(there):
        message = "evaluated utterances have the words of one in the run's own corpus"
        yield transcripts_finding(here, there, both, "note", message)


def _rows_of(rows: Iterable[Row], parts: Mapping[str, Sequence[str]], protocol: str) -> Parts:
    """The rows of each of the three parts."""
    if protocol not in PROMISES:
        raise AuditError(
            f"no promises are known of protocol '{protocol}'. Known: {', '.join(PROMISES)}."
        )
    if strange := set(parts) - set(NAMES):
        raise AuditError(f"a part is one of {', '.join(NAMES)}. Received: '{min(strange)}'.")
    by_id = {row.id: row for row in rows}
    for part, ids in parts.items():
        if lost := set(ids) - set(by_id):
            raise AuditError(f"the data set holds no utterance '{min(lost)}' of the part {part}")
    return {part: [by_id[id] for id in parts.get(part, ())] for part in NAMES}
