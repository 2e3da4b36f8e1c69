from pathlib import Path

import pytest

from mmer_tf.corpora.load import load_corpus
from mmer_tf.testing import FAKE_CORPORA, write_text
from mmer_tf.types import Word

DIALOGUE = "Ses01F_impro01"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    FAKE_CORPORA["iemocap"](tmp_path)
    return tmp_path


def by_id(corpus):
    return {utterance.id: utterance for utterance in corpus.utterances}


def append(file: Path, *lines: str) -> None:
    file.write_text(file.read_text() + "".join(line + "\n" for line in lines))


def transcriptions(root: Path) -> Path:
    return root / "Session1/dialog/transcriptions" / f"{DIALOGUE}.txt"


def evaluations(root: Path) -> Path:
    return root / "Session1/dialog/EmoEvaluation" / f"{DIALOGUE}.txt"


def test_what_is_dropped_is_counted(root):
    corpus = load_corpus("iemocap", root)
    assert len(corpus.utterances) == 2 * 2 * 5
    assert corpus.reasons() == {
        "no agreement (xxx)": 4,
        "only breath or noise": 4,
        "side remark": 4,
        "unlabelled overlap (XX)": 4,
    }
    assert {row.kind for row in corpus.rejected} == {"dropped"}


def test_the_speaker_is_the_letter_of_the_turn_not_of_the_dialogue(root):
    found = by_id(load_corpus("iemocap", root))
    turn = found[f"{DIALOGUE}_M001"]
    assert (turn.speaker, turn.gender, turn.session) == ("Session1M", "male", "Session1")
    other = found["Ses02M_script01_1b_F000"]
    assert (other.speaker, other.gender, other.session) == ("Session2F", "female", "Session2")
    assert len({turn.speaker for turn in found.values()}) == 4


def test_the_script_has_neither_session_nor_take(root):
    scripts = {turn.script for turn in load_corpus("iemocap", root).utterances}
    assert scripts == {"impro01", "script01_1"}


def test_votes_of_the_outside_annotators_are_shared_between_their_emotions(root):
    append(
        evaluations(root),
        f"[7.0000 - 7.9000]\t{DIALOGUE}_F010\tang\t[2.0, 2.0, 2.0]",
        "C-E2:\tAnger;\t()",
        "C-E3:\tAnger; Sadness;\t()",
        "C-E4:\tNeutral;\t()",
        "C-F1:\tHappiness;\t()",
    )
    append(transcriptions(root), f"{DIALOGUE}_F010 [007.0000-007.9000]: Go.")
    source = root / "Session1/sentences/wav" / DIALOGUE
    (source / f"{DIALOGUE}_F010.wav").write_bytes((source / f"{DIALOGUE}_F000.wav").read_bytes())
    turn = by_id(load_corpus("iemocap", root))[f"{DIALOGUE}_F010"]
    assert turn.soft_label == pytest.approx({"ang": 1.5 / 3, "sad": 0.5 / 3, "neu": 1 / 3})
    assert turn.words == ()  # without an alignment


def test_words_carry_seconds_and_no_silence(root):
    turn = by_id(load_corpus("iemocap", root))[f"{DIALOGUE}_F000"]
    assert turn.words == (Word("EXCUSE", 0.1, 0.4), Word("ME", 0.5, 0.8))


@pytest.mark.parametrize(
    ("words", "kept"),
    [
        ("++GARBAGE++", False),
        ("[BREATHING]", False),
        ("++BREATHING++ [GARBAGE]", False),
        ("++LAUGHTER++", True),
        ("++GARBAGE++ Well.", True),
    ],
)
def test_only_breath_and_noise_are_dropped(root, words, kept):
    id = f"{DIALOGUE}_F000"
    file = transcriptions(root)
    file.write_text(file.read_text().replace("Excuse me.", words, 1))
    assert (id in by_id(load_corpus("iemocap", root))) == kept


def test_a_line_that_is_not_utf8_is_rejected_and_named(root):
    file = transcriptions(root)
    file.write_bytes(file.read_bytes().replace(b"Excuse me.", b"Excus\xe9 me.", 1))
    corpus = load_corpus("iemocap", root)
    (row,) = [row for row in corpus.rejected if row.kind == "rejected"]
    assert row.reason == "transcript is not UTF-8"
    assert row.source == f"{file}, line 1"


def test_a_side_remark_that_is_not_utf8_can_still_be_listed(root):
    file = transcriptions(root)
    file.write_bytes(file.read_bytes().replace(b"M: sorry", b"M: d\xe9sol\xe9"))
    corpus = load_corpus("iemocap", root)
    assert corpus.reasons()["transcript is not UTF-8"] == 1
    assert "".join(row.source + row.detail for row in corpus.rejected).encode()


def test_what_only_one_side_knows_is_counted(root):
    append(evaluations(root), f"[8.0 - 9.0]\t{DIALOGUE}_F020\tang\t[2.0, 2.0, 2.0]")
    append(transcriptions(root), f"{DIALOGUE}_F021 [008.0-009.0]: Yes.", "Ses01F nonsense")
    reasons = load_corpus("iemocap", root).reasons()
    assert reasons["not in the transcriptions"] == 1
    assert reasons["not evaluated"] == 1
    assert reasons["malformed transcription line"] == 1


def test_a_turn_transcribed_twice_is_rejected(root):
    append(transcriptions(root), f"{DIALOGUE}_F000 [000.0-000.9]: Again.")
    corpus = load_corpus("iemocap", root)
    assert corpus.reasons()["duplicate id"] == 1
    assert by_id(corpus)[f"{DIALOGUE}_F000"].transcript == "Excuse me."


def test_a_missing_recording_is_rejected_and_named(root):
    file = root / "Session1/sentences/wav" / DIALOGUE / f"{DIALOGUE}_F000.wav"
    file.unlink()
    (row,) = [row for row in load_corpus("iemocap", root).rejected if row.kind == "rejected"]
    assert (row.source, row.reason) == (str(file), "missing file")


def test_a_session_without_recordings_is_counted_turn_by_turn(root):
    write_text(root / "Session3/dialog/EmoEvaluation/Ses03F_impro01.txt",
               ["[0.0 - 1.0]\tSes03F_impro01_F000\tang\t[2.0, 2.0, 2.0]"])  # fmt: skip
    reasons = load_corpus("iemocap", root).reasons()
    assert reasons["not in the transcriptions"] == 1
