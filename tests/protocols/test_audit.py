"""Leaks are planted, each of its kind, and found; what is permitted is a note; clean is clean."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import pytest
from scipy.stats import chi2_contingency

from mmer_tf.audio.fingerprint import Fingerprint, fingerprint
from mmer_tf.protocols.audit import Audit, AuditError, audit_other, audit_split, joint_audit
from mmer_tf.protocols.label_distribution import compare_distributions
from mmer_tf.protocols.promises import PROMISES
from mmer_tf.protocols.splits import num_folds, split


@dataclass(frozen=True)
class Row:
    id: str
    label: str
    speaker: str | None
    session: str | None
    script: str | None
    transcript: str
    partition: str | None = None


WORDS = {"train": "one two three", "validation": "four five six", "test": "seven eight nine"}


def clean_rows() -> dict[str, Row]:
    """Eight utterances a part; nothing of one part is in another."""
    return {
        f"{part}{k}": Row(
            id=f"{part}{k}",
            label="ab"[k % 2],
            speaker=f"speaker of {part} {k % 2}",
            session=f"session of {part}",
            script=f"script of {part} {k % 4}",
            transcript=f"{WORDS[part]} {k % 4}",
        )
        for part in ("train", "validation", "test")
        for k in range(8)
    }


def parts_of(rows: Mapping[str, Row]) -> dict[str, list[str]]:
    return {part: [id for id in rows if id.startswith(part)] for part in WORDS}


def noise(number: int, seconds: float = 1.0) -> np.ndarray:
    """Noise whose loudness and colour change, of its own for each number."""
    random = np.random.default_rng(number)
    samples = random.normal(0, 0.1, round(seconds * 16_000))
    return np.convolve(samples, random.normal(0, 0.3, 64), mode="same").astype(np.float32)


@pytest.fixture(scope="module")
def sounds() -> dict[str, Fingerprint]:
    return {id: fingerprint(noise(k)) for k, id in enumerate(clean_rows())}


@pytest.fixture
def audit(sounds):
    """Audit the clean rows but for what is planted."""

    def run(
        rows: Mapping[str, Row] | None = None,
        parts: Mapping[str, list[str]] | None = None,
        protocol: str = "speaker",
        heard: Mapping[str, Fingerprint | None] | None = None,
        trained_on: Mapping[str, list[str]] | None = None,
    ) -> Audit:
        rows = clean_rows() if rows is None else rows
        return audit_split(
            rows.values(),
            parts_of(rows) if parts is None else parts,
            protocol,
            fingerprints=sounds if heard is None else {**sounds, **heard},
            trained_on=trained_on,
        )

    return run


def leaks(audit: Audit) -> dict[str, int]:
    return {one.kind: one.count for one in audit.findings if one.severity == "leak"}


def notes(audit: Audit) -> dict[str, int]:
    return {one.kind: one.count for one in audit.findings if one.severity == "note"}


def changed(id: str, **fields) -> dict[str, Row]:
    rows = clean_rows()
    return rows | {id: replace(rows[id], **fields)}


@pytest.mark.parametrize("protocol", PROMISES)
def test_clean_split_has_no_finding(audit, protocol):
    trained_on = {"model": parts_of(clean_rows())["train"]}
    found = audit(protocol=protocol, trained_on=trained_on)
    assert (found.findings, found.unknown, found.verdict) == ((), (), "clean")


@pytest.mark.parametrize(
    ("key", "protocol"),
    [
        ("speaker", "speaker"),
        ("speaker", "speaker-in-session"),
        ("session", "session"),
        ("session", "speaker-in-session"),
        ("script", "script"),
    ],
)
def test_group_that_the_protocol_keeps_apart_is_a_leak(audit, key, protocol):
    value = getattr(clean_rows()["train0"], key)
    rows = changed("test3", **{key: value})
    found = audit(rows, protocol=protocol)
    assert leaks(found) == {key: 1}
    assert found.findings[0].examples == (value,)
    assert protocol in found.findings[0].message
    assert notes(audit(rows, protocol="random")) == {key: 1}
    assert audit(rows, protocol="random").verdict == "clean"


def test_sentence_is_its_words(audit):
    rows = changed("test3", transcript="One, two: THREE 0!", label="b")
    found = audit(rows, protocol="sentence")
    assert leaks(found) == {"sentence": 1, "identical transcripts": 1}
    assert notes(audit(rows)) == {"sentence": 1, "identical transcripts": 1}
    # Four utterances of test say it, two of training did.
    rows |= {f"test{k}": replace(rows[f"test{k}"], transcript="one two three 0") for k in range(4)}
    assert leaks(audit(rows, protocol="sentence")) == {"sentence": 1, "identical transcripts": 4}


def test_session_of_validation_may_be_that_of_test_where_one_speaker_validates(audit):
    rows = changed("test3", session="session of validation")
    assert leaks(audit(rows, protocol="session")) == {"session": 1}
    assert notes(audit(rows, protocol="speaker-in-session")) == {"session": 1}


def test_promise_holds_for_validation_too(audit):
    rows = changed("test3", speaker="speaker of validation 0")
    found = audit(rows)
    assert leaks(found) == {"speaker": 1} and "validation" in found.findings[0].message


def test_training_and_validation_may_share_what_test_does_not(audit):
    rows = changed("validation3", speaker="speaker of train 0")
    found = audit(rows)
    assert found.verdict == "clean" and notes(found) == {"speaker": 1}
    assert audit(rows, protocol="random").findings == ()


def test_utterance_in_two_parts(audit):
    rows = clean_rows()
    parts = parts_of(rows)
    both = audit(rows, parts | {"train": [*parts["train"], "test0", "test1"]}, "random")
    assert leaks(both)["utterance"] == 2
    epoch = audit(rows, parts | {"validation": [*parts["validation"], "train0"]}, "random")
    assert leaks(epoch) == {"utterance": 1}


def test_validation_that_is_the_test(audit):
    rows = clean_rows()
    parts = parts_of(rows)
    found = audit(rows, parts | {"validation": parts["test"]}, "random")
    assert leaks(found) == {"validation": 8}
    assert "epoch is chosen on the test" in found.findings[0].message


def test_same_samples_under_another_name(audit, sounds):
    found = audit(heard={"test3": sounds["train1"]}, protocol="random")
    assert leaks(found) == {"identical audio": 1}
    assert found.findings[0].examples == ("test3 = train1",)
    assert leaks(audit(heard={"test3": sounds["validation1"]})) == {"identical audio": 1}


def test_same_sound_at_another_volume_and_cut(audit):
    rows = list(clean_rows())
    copy = fingerprint(0.2 * noise(rows.index("train1"))[1_000:])
    rows = changed("test3", transcript="One two three, 1!")  # the words of train1
    found = audit(rows, heard={"test3": copy})
    assert leaks(found) == {"near-identical audio": 1}
    assert found.findings[0].examples[0].startswith("test3 ~ train1")
    for rows in (changed("test3", transcript=""), changed("train1", transcript="…")):
        assert leaks(audit(rows, heard={"test3": copy})) == {"near-identical audio": 1}


def test_sounds_alike_that_say_other_words_are_two_recordings(audit, sounds):
    number = list(clean_rows()).index
    quiet = {
        "test3": fingerprint(0.2 * noise(number("train1"))[1_000:]),
        "test5": fingerprint(0.2 * noise(number("train2"))[1_000:]),
    }
    found = audit(heard=quiet)
    assert found.verdict == "clean" and notes(found) == {"near-identical audio": 2}
    assert "that says other words" in found.findings[0].message
    one = audit(changed("test5", transcript="one two three 2"), heard=quiet)
    assert leaks(one) == {"near-identical audio": 1}
    assert [f.count for f in one.findings if f.kind == "near-identical audio"] == [1, 1]
    # Equal samples are one recording whatever is written beside them.
    assert leaks(audit(heard={"test3": sounds["train1"]})) == {"identical audio": 1}


def test_same_sound_in_training_and_validation_leaves_the_test_unseen(audit, sounds):
    found = audit(heard={"validation3": sounds["train1"]})
    assert found.verdict == "clean" and notes(found) == {"identical audio": 1}


@pytest.mark.parametrize(
    ("what", "kind"),
    [
        ("normalisation", "normalisation"),
        ("vocabulary", "vocabulary"),
        ("model", "model"),
        ("1-speech", "stage encoder"),
        ("2-text", "stage encoder"),
    ],
)
def test_what_was_fitted_to_test_utterances(audit, what, kind):
    training = parts_of(clean_rows())["train"]
    clean = {"model": training, "normalisation": training}
    found = audit(trained_on=clean | {what: [*training, "test0", "test5"]})
    assert leaks(found) == {kind: 2}
    assert found.findings[0].examples == ("test0", "test5")
    found = audit(trained_on=clean | {what: [*training, "validation5"]})
    assert found.verdict == "clean" and notes(found) == {kind: 1}


def test_missing_class(audit):
    rows = {
        id: replace(row, label="a") if "test" in id else row for id, row in clean_rows().items()
    }
    found = audit(rows)
    assert found.verdict == "clean" and notes(found) == {"missing class": 1}
    assert found.findings[0].examples == ("b",)


def test_label_shift_is_told_where_it_is_large_and_no_chance():
    def rows(part: str, a: int, b: int) -> list[Row]:
        return [Row(f"{part}{k}", "ab"[k >= a], f"{part}", None, None, "") for k in range(a + b)]

    def audited(*parts: list[Row]) -> Audit:
        ids = dict(zip(WORDS, ([row.id for row in part] for part in parts), strict=True))
        return audit_split([r for part in parts for r in part], ids, "speaker", fingerprints={})

    train, validation = rows("t", 60, 40), rows("v", 30, 20)
    (shift,) = audited(train, validation, rows("x", 20, 60)).findings
    assert (shift.kind, shift.severity) == ("label shift", "note")
    assert shift.examples[0].startswith("total variation distance 0.35, p = ")
    assert audited(train, validation, rows("x", 2, 3)).findings == ()  # chance
    assert audited(train * 1, validation, rows("x", 65, 35)).findings == ()  # small


def test_comparison_of_distributions_is_scipys():
    one, other = ["a"] * 30 + ["b"] * 50 + ["c"] * 20, ["a"] * 11 + ["b"] * 40 + ["d"] * 9
    distance, p = compare_distributions(one, other)
    # By hand: |.30 - 11/60| + |.50 - 40/60| + .20 + 9/60, halved.
    assert distance == pytest.approx((0.3 - 11 / 60 + 40 / 60 - 0.5 + 0.2 + 9 / 60) / 2)
    expected = chi2_contingency([[30, 50, 20, 0], [11, 40, 0, 9]], correction=False).pvalue
    assert p == pytest.approx(expected, rel=1e-9)
    assert compare_distributions(["a"], ["a", "a"]) == (0.0, 1.0)


def test_what_cannot_be_compared_is_unknown(audit):
    gone = audit(heard={"test3": None})
    assert gone.verdict == "unknown" and "1 recordings cannot be read" in gone.unknown[0]
    rows = changed("test3", transcript="", script=None)
    assert "sentence of 1 utterances is not known" in audit(rows, protocol="sentence").unknown[0]
    assert audit(rows).verdict == "clean"  # not what this protocol goes by
    assert "trained_on.json" in audit(trained_on={}).unknown[0]
    unheard = audit_split(rows.values(), parts_of(rows), "speaker")
    assert unheard.unknown == ("recordings were not compared",)


def test_leak_outweighs_the_unknown(audit, sounds):
    found = audit(heard={"test2": None, "test3": sounds["train1"]})
    assert found.unknown and found.verdict == "leak"


def test_what_the_protocol_cannot_be_asked(audit):
    with pytest.raises(AuditError, match="holds no utterance 'nobody' of the part test"):
        audit(parts={"train": ["train0"], "test": ["nobody"]})
    with pytest.raises(AuditError, match=r"Known: random, .*speaker"):
        audit(protocol="fair")
    with pytest.raises(AuditError, match="Received: 'dev'"):
        audit(parts={"dev": []})


@pytest.mark.parametrize("protocol", sorted(set(PROMISES) - {"predefined"}))
def test_protocols_keep_their_promises(protocol):
    """Every fold of every protocol, on rows that share whatever they can."""
    rows = [
        Row(f"u{k:03d}", "ab"[k % 2], f"{k % 6}", f"{k % 3}", f"script{k // 4 % 5}", f"say {k % 7}")
        for k in range(120)
    ]
    if protocol == "script":
        rows = [replace(row, transcript="") for row in rows]
    for fold in range(num_folds(rows, protocol)):
        division = split(rows, protocol, fold)
        parts = {part: list(getattr(division, part)) for part in WORDS}
        found = audit_split(rows, parts, protocol, fingerprints={})
        assert found.verdict == "clean" and found.findings


def test_other_corpus_leaks_by_its_sound_alone(sounds):
    rows = list(clean_rows().values())
    seen, tested = rows[:16], rows[16:]
    # The same ids and speakers as in the run's own corpus, which mean nothing.
    others = [
        replace(row, id=one.id, speaker=one.speaker) for row, one in zip(tested, seen, strict=False)
    ]
    theirs = {other.id: sounds[row.id] for other, row in zip(others, tested, strict=True)}
    fingerprints = {"seen_fingerprints": sounds, "tested_fingerprints": theirs}
    assert audit_other(seen, others, **fingerprints) == Audit()
    theirs["train0"] = sounds["train0"]
    found = audit_other(seen, others, **fingerprints)
    assert leaks(found) == {"identical audio": 1} and notes(found) == {}
    # Nearly the same: the words of both sides are looked up under the same id.
    theirs["train0"] = fingerprint(0.2 * noise(0)[1_000:])
    assert leaks(audit_other(seen, others, **fingerprints)) == {}
    assert notes(audit_other(seen, others, **fingerprints)) == {"near-identical audio": 1}
    silent = [replace(others[0], transcript=""), *others[1:]]
    assert leaks(audit_other(seen, silent, **fingerprints)) == {"near-identical audio": 1}
    theirs["train0"] = sounds["train0"]
    others[0] = replace(others[0], transcript="one two three 0", label="b")
    assert notes(audit_other(seen, others, **fingerprints)) == {"identical transcripts": 1}
    assert audit_other(None, others).verdict == "unknown"
    assert audit_other(seen, others).verdict == "unknown"


def test_joint_audit_tells_where_each_finding_was_found(audit):
    clean = audit().to_mapping()
    speaker = audit(changed("test3", speaker="speaker of train 0")).to_mapping()
    two = changed("test3", speaker="speaker of train 1")
    two |= {"test4": replace(two["test4"], speaker="speaker of train 0")}
    joint = joint_audit([("a", clean), ("b", speaker), ("c", audit(two).to_mapping())])
    assert joint["verdict"] == "leak" and joint["unknown"] == []
    (finding,) = joint["findings"]
    assert (finding["kind"], finding["count"], finding["runs"]) == ("speaker", 3, ["b", "c"])
    assert finding["examples"] == ["speaker of train 0", "speaker of train 1"]
    assert joint_audit([("a", clean), ("b", clean)])["verdict"] == "clean"
    unknown = audit(trained_on={}).to_mapping()
    joint = joint_audit([("a", clean), ("b", unknown), ("c", None)])
    assert joint["verdict"] == "unknown"
    assert joint["unknown"][0].startswith("b: the run does not tell")
    assert joint["unknown"][1] == "c: was not audited"
