"""Splits against folds worked out by hand, and what must hold for every one of them."""

from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmer_tf.corpora.load import load_corpus
from mmer_tf.protocols import PROMISES, PROTOCOLS
from mmer_tf.protocols.drawn import TOO_GOOD
from mmer_tf.protocols.groups import KEYS, script
from mmer_tf.protocols.promises import PROMISES_TO_TRAINING
from mmer_tf.protocols.splits import ProtocolError, Split, num_folds, split
from mmer_tf.registry import UnknownNameError
from mmer_tf.testing import FAKE_CORPORA


@dataclass(frozen=True)
class Row:
    id: str
    label: str = "a"
    speaker: str | None = None
    session: str | None = None
    script: str | None = None
    transcript: str = ""
    partition: str | None = None


def speakers(count: int, each: int = 4) -> list[Row]:
    """`each` utterances of every speaker: s0_0, s0_1, …, half of them "a", half "b"."""
    return [
        Row(f"s{speaker}_{number}", label="ab"[number % 2], speaker=f"s{speaker}")
        for speaker in range(count)
        for number in range(each)
    ]


def in_sessions(*pairs: str) -> list[Row]:
    """An utterance for each session and speaker, a letter each."""
    return [
        Row(f"{session}{speaker}", session=session, speaker=speaker) for session, speaker in pairs
    ]


def who(ids) -> set[str]:
    return {id.split("_")[0] for id in ids}


def test_ten_speakers_make_five_folds_of_two():
    rows = speakers(10)
    assert num_folds(rows, "speaker") == 5
    for k in range(5):
        fold = split(rows, "speaker", k)
        assert who(fold.test) == {f"s{k}", f"s{k + 5}"}
        following = (k + 1) % 5
        assert who(fold.validation) == {f"s{following}", f"s{following + 5}"}
        assert len(who(fold.train)) == 6
        assert fold.notes == ()


def test_few_speakers_make_a_fold_each():
    rows = speakers(3)
    assert num_folds(rows, "speaker") == 3
    assert [who(split(rows, "speaker", k).test) for k in range(3)] == [{"s0"}, {"s1"}, {"s2"}]
    assert [who(split(rows, "speaker", k).validation) for k in range(3)] == [{"s1"}, {"s2"}, {"s0"}]


def test_two_speakers_share_the_training_speaker_with_validation():
    rows = speakers(2, each=20)
    fold = split(rows, "speaker", 1)
    assert who(fold.test) == {"s1"} and len(fold.test) == 20
    assert who(fold.train) == who(fold.validation) == {"s0"}
    labels = {row.id: row.label for row in rows}
    assert Counter(labels[id] for id in fold.validation) == {"a": 2, "b": 2}
    assert "only two speakers" in fold.notes[0]
    assert split(rows, "speaker", 1, seed=1).validation != fold.validation
    assert split(rows, "speaker", 1, seed=1).test == fold.test


def test_sessions_are_left_out_one_at_a_time_even_when_there_are_many():
    rows = [Row(f"{k:02d}_{n}", session=f"{k:02d}") for k in range(12) for n in range(2)]
    assert num_folds(rows, "session") == 12
    last = split(rows, "session", 11)
    assert who(last.test) == {"11"} and who(last.validation) == {"00"}


def test_sentences_go_by_their_words_then_by_their_script():
    texts = ["Go away!", "go  away", "GO AWAY…", "Stay.", "Come; in"]
    rows = [Row(f"r{k}", transcript=text) for k, text in enumerate(texts)]
    rows += [Row("r5", script="x"), Row("r6", script="x")]
    assert num_folds(rows, "sentence") == 4  # "come in", "go away", "stay", script x
    assert split(rows, "sentence", 0).test == ("r4",)
    assert split(rows, "sentence", 1).test == ("r0", "r1", "r2")
    assert split(rows, "sentence", 3).test == ("r5", "r6")


def test_random_divides_utterances_and_says_what_that_means():
    rows = speakers(2, each=50)
    folds = [split(rows, "random", k) for k in range(5)]
    assert {(len(f.train), len(f.validation), len(f.test)) for f in folds} == {(60, 20, 20)}
    assert sorted(id for fold in folds for id in fold.test) == sorted(row.id for row in rows)
    assert all(fold.validation == folds[(k + 1) % 5].test for k, fold in enumerate(folds))
    assert folds[0].notes == (f"random split: {TOO_GOOD}",)
    assert split(rows, "random", 0, seed=1).test != folds[0].test


def test_stratified_takes_its_shares_of_every_class_and_says_what_that_means():
    rows = speakers(4, each=100) + [Row(f"s0_r{n}", label="rare", speaker="s0") for n in range(3)]
    assert num_folds(rows, "stratified-70-15-15") == 1
    fold = split(rows, "stratified-70-15-15")
    labels = {row.id: row.label for row in rows}
    # 200 of "a" and "b" each, 3 of "rare": 70 %, 15 %, 15 %, but nowhere none.
    assert Counter(labels[id] for id in fold.train) == {"a": 140, "b": 140, "rare": 1}
    assert Counter(labels[id] for id in fold.validation) == {"a": 30, "b": 30, "rare": 1}
    assert Counter(labels[id] for id in fold.test) == {"a": 30, "b": 30, "rare": 1}
    assert fold.notes == (f"stratified random split: {TOO_GOOD}",)
    assert who(fold.test) == who(fold.train) == {"s0", "s1", "s2", "s3"}
    assert split(rows, "stratified-70-15-15", seed=1).test != fold.test


def test_one_speaker_of_a_session_tests_and_the_others_validate():
    rows = [
        Row(f"{session}{speaker}_{n}", speaker=f"{session}{speaker}", session=f"d{session}")
        for session, present in ((1, "FM"), (2, "FM"), (3, "XYZ"))
        for speaker in present
        for n in range(2)
    ]
    folds = [
        split(rows, "speaker-in-session", k) for k in range(num_folds(rows, "speaker-in-session"))
    ]
    assert [who(fold.test) for fold in folds] == [
        {"1F"}, {"1M"}, {"2F"}, {"2M"}, {"3X"}, {"3Y"}, {"3Z"},
    ]  # fmt: skip
    assert who(folds[0].validation) == {"1M"}
    assert who(folds[0].train) == {"2F", "2M", "3X", "3Y", "3Z"}
    assert who(folds[5].validation) == {"3X", "3Z"}
    assert who(folds[5].train) == {"1F", "1M", "2F", "2M"}


def test_scripts_go_by_scenario_over_sessions_takes_and_scenes():
    codes = [
        "impro05", "impro05b", "Ses03M_impro05a", "script01_1", "script01_3b",
        "Ses02F_script01_2", "impro06", "dialogue 6",
    ]  # fmt: skip
    rows = [Row(f"r{n}", script=code) for n, code in enumerate(codes)]
    assert [script(row) for row in rows] == [
        "impro05", "impro05", "impro05", "script01", "script01",
        "script01", "impro06", "dialogue 6",
    ]  # fmt: skip
    # In sorted order: "dialogue 6", "impro05", "impro06", "script01".
    assert num_folds(rows, "script") == 4
    assert split(rows, "script", 1).test == ("r0", "r1", "r2")
    assert split(rows, "script", 1).validation == ("r6",)
    assert split(rows, "script", 3).test == ("r3", "r4", "r5")


def test_predefined_is_the_partition_of_the_corpus():
    rows = [Row(f"{part}{k}", partition=part) for part in ("train", "validation", "test")
            for k in range(2)]  # fmt: skip
    fold = split(rows, "predefined")
    assert fold.train == ("train0", "train1")
    assert fold.validation == ("validation0", "validation1")
    assert fold.test == ("test0", "test1")
    assert num_folds(rows, "predefined") == 1 and fold.notes == ()


def test_predefined_without_validation_takes_a_tenth_of_each_class():
    rows = [Row(f"r{k:02d}", label="ab"[k % 2], partition="train") for k in range(40)]
    rows.append(Row("t", partition="test"))
    fold = split(rows, "predefined")
    labels = {row.id: row.label for row in rows}
    assert Counter(labels[id] for id in fold.validation) == {"a": 2, "b": 2}
    assert len(fold.train) == 36 and "no validation partition" in fold.notes[0]


@pytest.mark.parametrize(
    ("rows", "protocol", "message"),
    [
        (speakers(1), "speaker", "speaker needs at least 2 of them. Received: 1"),
        ([*speakers(2), Row("z")], "speaker", r"1 of 9 utterances have no speaker \(first: 'z'\)"),
        (speakers(4), "session", "16 of 16 utterances have no session"),
        (speakers(4), "sentence", "16 of 16 utterances have no sentence"),
        (speakers(1), "random", "at least 5 utterances. Received: 4"),
        (speakers(2), "predefined", "8 of 8 utterances have no partition"),
        ([Row("x", partition="train")], "predefined", "needs a 'test' partition"),
        ([Row("x", partition="dev")], "predefined", "Received: 'dev'"),
        ([Row("x"), Row("x")], "random", "id 'x' occurs more than once"),
        (speakers(2, each=1), "speaker", "leaves no utterance for validation"),
        (speakers(1, each=5), "stratified-70-15-15", r"class 'b' has 2 of the 3 utterances"),
        (speakers(4), "script", "16 of 16 utterances have no script"),
        (speakers(4), "speaker-in-session", "16 of 16 utterances have no session"),
        (
            in_sessions("aA", "aB", "bA", "bC"),
            "speaker-in-session",
            "'A' is in the sessions 'a' and 'b'",
        ),
        (in_sessions("aA", "bB"), "speaker-in-session", "session 'a' has a single speaker"),
        (in_sessions("aA", "aB"), "speaker-in-session", "session needs at least 2 of them"),
    ],
)
def test_what_cannot_be_divided_is_answered_with_what_it_lacks(rows, protocol, message):
    with pytest.raises(ProtocolError, match=message):
        split(rows, protocol)


@pytest.mark.parametrize("fold", [-1, 3])
def test_a_fold_beyond_the_last_is_answered_with_the_range(fold):
    message = f"`fold` must be 0 to 2 for protocol 'speaker' on this corpus. Received: {fold}"
    with pytest.raises(ProtocolError, match=message):
        split(speakers(3), "speaker", fold)


def test_an_unknown_protocol_is_answered_with_the_nearest():
    with pytest.raises(UnknownNameError, match="did you mean 'speaker'"):
        split(speakers(3), "speakers")


def test_the_digest_follows_the_content_alone():
    rows = speakers(3)
    fold = split(rows, "speaker")
    assert split(list(reversed(rows)), "speaker").digest == fold.digest
    assert split(rows, "speaker", 1).digest != fold.digest
    assert replace(fold, notes=("new",), fold=7).digest == fold.digest
    moved = replace(fold, train=fold.train + fold.test[:1], test=fold.test[1:])
    assert moved.digest != fold.digest


@st.composite
def rows_strategy(draw: st.DrawFn) -> list[Row]:
    """Few or many speakers, who stay in their session or come to others too."""
    settled = draw(st.booleans())
    drawn = draw(
        st.lists(
            st.tuples(*(st.integers(0, most) for most in (14, 4, 20, 12)), st.sampled_from("abc")),
            min_size=6,
            max_size=80,
        )
    )
    return [
        Row(
            id=f"u{number}", label=label, speaker=f"s{speaker}", partition="train",
            session=f"d{speaker % 5 if settled else session}", transcript=f"sentence {sentence}",
            script=f"impro{scenario:02d}{'ab'[number % 2]}",
        )
        for number, (speaker, session, sentence, scenario, label) in enumerate(drawn)
    ]  # fmt: skip


SHARED = {
    "speaker": lambda row: row.speaker,
    "session": lambda row: row.session,
    "sentence": lambda row: row.transcript,
    "script": lambda row: row.script[:7],
}
"""What utterances of `rows_strategy` share, read off another way than the protocols do."""


def may_be_refused(rows: list[Row], protocol: str) -> bool:
    """For want of groups, or where a group of two has nobody to lend."""
    if protocol == "stratified-70-15-15":
        return min(Counter(row.label for row in rows).values()) < 3
    if protocol == "speaker-in-session":
        present = {(row.session, row.speaker) for row in rows}
        in_session = Counter(session for session, _ in present)
        sessions_of = Counter(speaker for _, speaker in present)
        return len(in_session) < 2 or min(in_session.values()) < 2 or max(sessions_of.values()) > 1
    return len(set(map(SHARED[protocol], rows))) <= 2


DIVIDING = sorted(set(PROTOCOLS) - {"predefined"})


@settings(max_examples=120, deadline=None)
@given(rows=rows_strategy(), protocol=st.sampled_from(DIVIDING), seed=st.integers(0, 3))
def test_every_fold_is_disjoint_complete_and_blind_to_order(rows, protocol, seed):
    try:
        folds = [split(rows, protocol, k, seed) for k in range(num_folds(rows, protocol))]
    except ProtocolError:
        assert may_be_refused(rows, protocol)
        return
    by_id = {row.id: row for row in rows}
    for fold in folds:
        parts = (fold.train, fold.validation, fold.test)
        assert sorted(id for part in parts for id in part) == sorted(by_id)
        assert all(part == tuple(sorted(part)) and part for part in parts)
        train, validation, test = ([by_id[id] for id in part] for part in parts)
        for what in PROMISES[protocol]:
            others = set(map(SHARED[what], train + validation))
            assert others.isdisjoint(map(SHARED[what], test))
        for what in PROMISES_TO_TRAINING[protocol]:
            assert set(map(SHARED[what], train)).isdisjoint(map(SHARED[what], test))
        assert split(rows[::-1], protocol, fold.fold, seed) == fold
    if protocol != "stratified-70-15-15":
        assert sorted(id for fold in folds for id in fold.test) == sorted(by_id)


def test_every_protocol_says_what_it_promises():
    assert set(PROMISES) == set(PROMISES_TO_TRAINING) == set(PROTOCOLS)
    promised = {what for names in PROMISES_TO_TRAINING.values() for what in names}
    assert promised <= set(KEYS)
    for protocol, names in PROMISES.items():
        assert set(names) <= set(PROMISES_TO_TRAINING[protocol])


def test_speaker_in_session_makes_ten_folds_of_iemocap():
    rows = [
        Row(f"Ses{n:02d}{who}_{scenario}_{k}", label="ab"[k % 2], speaker=f"Session{n}{who}",
            session=f"Session{n}", script=scenario)
        for n in range(1, 6) for who in "FM" for k in range(2)
        for scenario in (*(f"impro{i:02d}" for i in range(1, 9)), "script01_1", "script01_2",
                         "script02_1", "script03_2")
    ]  # fmt: skip
    assert num_folds(rows, "speaker-in-session") == 10
    last = split(rows, "speaker-in-session", 9)
    by_id = {row.id: row for row in rows}
    assert {by_id[id].speaker for id in last.test} == {"Session5M"}
    assert {by_id[id].speaker for id in last.validation} == {"Session5F"}
    assert {by_id[id].session for id in last.train} == {f"Session{n}" for n in range(1, 5)}
    # Eight scenarios and three plays are eleven groups: five folds, whatever the session.
    assert num_folds(rows, "script") == 5
    first = split(rows, "script", 0)
    assert {by_id[id].script for id in first.test} == {
        "impro01", "impro06", "script03_2",
    }  # fmt: skip
    assert {by_id[id].session for id in first.test} == {f"Session{n}" for n in range(1, 6)}


CODES = {
    "tess": lambda id: id.split("_")[1],
    "ravdess": lambda id: id.split("-")[4],
    "crema_d": lambda id: id.split("_")[1],
    "emodb": lambda id: id[2:5],
}
"""The sentence's code in the name of a recording."""


@pytest.mark.parametrize("corpus", sorted(CODES))
def test_no_sentence_is_shared_in_corpora_of_acted_sentences(corpus, tmp_path):
    FAKE_CORPORA[corpus](tmp_path)
    rows = load_corpus(corpus, tmp_path).utterances
    folds = num_folds(rows, "sentence")
    assert folds == len({CODES[corpus](Path(row.id).stem) for row in rows})
    for k in range(folds):
        fold = split(rows, "sentence", k)
        tested = {CODES[corpus](Path(id).stem) for id in fold.test}
        others = {CODES[corpus](Path(id).stem) for id in fold.train + fold.validation}
        assert len(tested) == 1 and not tested & others


def test_iemocaps_scenarios_are_held_together_over_sessions(tmp_path):
    FAKE_CORPORA["iemocap"](tmp_path)
    rows = load_corpus("iemocap", tmp_path).utterances
    assert num_folds(rows, "script") == 2  # impro01 and script01, in both sessions
    fold = split(rows, "script", 0)
    assert {id.split("_")[1] for id in fold.test} == {"impro01"}
    assert {id[:5] for id in fold.test} == {"Ses01", "Ses02"}
    assert {id.split("_")[1] for id in fold.train} == {"script01"}


def test_emodb_folds(emodb_root):
    rows = load_corpus("emodb", emodb_root).utterances
    pairs = [{"03", "12"}, {"08", "13"}, {"09", "14"}, {"10", "15"}, {"11", "16"}]
    folds: list[Split] = [split(rows, "speaker", k) for k in range(num_folds(rows, "speaker"))]
    assert [{id[:2] for id in fold.test} for fold in folds] == pairs
    assert [{id[:2] for id in fold.validation} for fold in folds] == pairs[1:] + pairs[:1]
    # Clips of speakers 03 … 16: 39 42 30 21 35 22 36 41 34 39.
    assert [len(fold.test) for fold in folds] == [61, 78, 71, 55, 74]
    assert num_folds(rows, "sentence") == 5
    assert {id[2:5] for id in split(rows, "sentence").test} & {
        id[2:5] for id in split(rows, "sentence").train
    } == set()


def test_every_protocol_is_described():
    assert all(protocol.__doc__ for protocol in PROTOCOLS.values())
