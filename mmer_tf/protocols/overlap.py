"""What the parts of a split share: utterances, speakers, sessions, sentences, scripts, words."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence

from mmer_tf.protocols.finding import Finding, Severity, Unknown, some
from mmer_tf.protocols.groups import KEYS, Row, spoken_words
from mmer_tf.protocols.promises import PROMISES, PROMISES_TO_TRAINING

Parts = Mapping[str, Sequence[Row]]
"""Rows by `train`, `validation` and `test`."""

PAIRS = (("test", "train"), ("test", "validation"), ("validation", "train"))
NAMES = {"train": "training", "validation": "validation", "test": "test"}
"""How a message calls a part."""


def shared_utterances(parts: Parts) -> Iterator[Finding]:
    """Utterances that play two parts, which no protocol allows."""
    ids = {part: {row.id for row in rows} for part, rows in parts.items()}
    for part, other in PAIRS:
        both = ids[part] & ids[other]
        if not both:
            continue
        kind, message = "utterance", f"{part} utterances are in {NAMES[other]} too"
        if (part, other) == ("test", "validation"):
            kind = "validation"
            message = "test utterances are in validation too: the epoch is chosen on the test"
        yield Finding(kind, "leak", message, len(both), some(both))


def shared_groups(parts: Parts, protocol: str) -> Iterator[Finding | Unknown]:
    """Speakers, sessions, sentences and scripts on both sides, and what the protocol says to it."""
    for key, read in KEYS.items():
        groups = {part: _present(read, rows) for part, rows in parts.items()}
        to_training = key in PROMISES_TO_TRAINING[protocol]
        to_validation = key in PROMISES[protocol]
        if to_training:
            yield from _without_key(parts, read, key)
        heard: set[str] = set()
        for part, other in PAIRS:
            both = groups[part] & groups[other]
            if other == "train":
                promised, worth_a_note = to_training and part == "test", part == "test"
                # Validation may share with training; worth a word only where test may not.
                worth_a_note |= to_training
            else:
                promised, worth_a_note = to_validation, bool(both - heard)
            heard |= both if part == "test" else set()
            if not both or not (promised or worth_a_note):
                continue
            yield Finding(
                key,
                "leak" if promised else "note",
                f"{key}s of {NAMES[part]} are in {NAMES[other]} too{_reason(promised, protocol)}",
                len(both),
                some(both),
            )


def shared_transcripts(parts: Parts, protocol: str) -> Iterator[Finding]:
    """Test utterances whose very words are in training or validation too."""
    counts = {
        part: Counter(filter(None, (spoken_words(row.transcript) for row in rows)))
        for part, rows in parts.items()
    }
    promised = "sentence" in PROMISES_TO_TRAINING[protocol]
    for other in ("train", "validation"):
        both = set(counts["test"]) & set(counts[other])
        if other == "validation" and not promised:
            both -= set(counts["train"])  # told already
        if both:
            yield transcripts_finding(
                counts["test"],
                counts[other],
                both,
                "leak" if promised else "note",
                f"test utterances have the words of one in {NAMES[other]}"
                + _reason(promised, protocol),
            )


def transcripts_finding(
    tested: Counter[str],
    others: Counter[str],
    both: set[str],
    severity: Severity,
    message: str,
) -> Finding:
    """Count utterances rather than texts, and show the most frequent texts."""
    frequent = sorted(both, key=lambda text: (-tested[text], text))
    examples = tuple(f'"{text}" ({tested[text]} and {others[text]} times)' for text in frequent[:3])
    count = sum(tested[text] for text in both)
    return Finding("identical transcripts", severity, message, count, examples)


def fitted_to(trained_on: Mapping[str, Sequence[str]], parts: Parts) -> Iterator[Finding | Unknown]:
    """What of a run was fitted to utterances of test or validation.

    Args:
        trained_on: what was fitted -> ids. Empty where the run does not say.
        parts: of the split.
    """
    if not trained_on:
        yield Unknown("the run does not tell what it was fitted to (trained_on.json)")
    for what, ids in trained_on.items():
        kind = what if what in ("model", "normalisation", "vocabulary") else "stage encoder"
        name = f"stage {what}" if kind == "stage encoder" else f"the {what}"
        for part in ("test", "validation"):
            seen = set(ids) & {row.id for row in parts[part]}
            if seen:
                severity: Severity = "leak" if part == "test" else "note"
                message = f"{NAMES[part]} utterances to which {name} was fitted"
                yield Finding(kind, severity, message, len(seen), some(seen))


def _present(read: Callable[[Row], str | None], rows: Sequence[Row]) -> set[str]:
    return {value for row in rows if (value := read(row))}


def _without_key(parts: Parts, read: Callable[[Row], str | None], key: str) -> Iterator[Unknown]:
    lacking = sum(not read(row) for rows in parts.values() for row in rows)
    if lacking:
        yield Unknown(f"the {key} of {lacking} utterances is not known")


def _reason(promised: bool, protocol: str) -> str:
    return f", which protocol '{protocol}' promises not to happen" if promised else ""
