"""Corpora whose file names carry everything: codes against the published tables."""

import csv

import pytest

from mmer_tf.corpora.load import load_corpus
from mmer_tf.testing import FAKE_CORPORA, write_text, write_wav


def by_id(corpus):
    return {utterance.id: utterance for utterance in corpus.utterances}


def test_emodb_as_released(emodb_root):
    corpus = load_corpus("emodb", emodb_root)
    assert len(corpus.utterances) == 339
    assert corpus.rejected == ()
    assert corpus.labels == ("anger", "happiness", "neutral", "sadness")
    assert len({utterance.speaker for utterance in corpus.utterances}) == 10
    assert by_id(corpus)["03a01Fa"].duration == pytest.approx(1.898, abs=1e-3)


def test_emodb_agrees_with_its_own_tables(emodb_root):
    found = by_id(load_corpus("emodb", emodb_root))
    with (emodb_root / "LABELS.csv").open(encoding="utf-8") as file:
        for row in csv.DictReader(file):
            utterance = found[row["file"][4:-4]]
            assert utterance.label == row["emotion"]
            assert utterance.speaker == row["speaker"]
            assert utterance.gender == row["gender"]
            assert utterance.script == row["sentence"]
    with (emodb_root / "TRANSCRIPTS.csv").open(encoding="utf-8") as file:
        for row in csv.DictReader(file):
            assert found[row["file"][4:-4]].transcript == row["text"]


def test_ravdess_as_released(ravdess_root):
    corpus = load_corpus("ravdess", ravdess_root)
    assert len(corpus.utterances) == 27
    assert corpus.rejected == ()
    assert len(corpus.labels) == 8
    with (ravdess_root / "TRANSCRIPTS.csv").open(encoding="utf-8") as file:
        texts = {row["file"].split("/")[1][:-4]: row["text"] for row in csv.DictReader(file)}
    assert {u.id: u.transcript for u in corpus.utterances} == texts


def test_ravdess_code(tmp_path):
    FAKE_CORPORA["ravdess"](tmp_path)
    corpus = load_corpus("ravdess", tmp_path)
    assert len(corpus.utterances) == 24
    assert corpus.reasons() == {"song, not speech": 1}
    clip = by_id(corpus)["03-01-05-01-02-01-02"]
    assert (clip.label, clip.speaker, clip.gender, clip.script) == ("angry", "02", "female", "02")
    assert clip.transcript == "Dogs are sitting by the door"


def test_tess_code_and_nested_copy(tmp_path):
    FAKE_CORPORA["tess"](tmp_path)
    corpus = load_corpus("tess", tmp_path)
    assert len(corpus.utterances) == 2 * 2 * 7 + 1
    assert corpus.reasons() == {"copy of another file": 14}
    assert not [row for row in corpus.rejected if row.kind == "rejected"]
    clip = by_id(corpus)["YAF_youth_ps"]
    assert (clip.label, clip.speaker, clip.gender) == ("ps", "YAF", "female")
    assert (clip.transcript, clip.script) == ("Say the word youth", "youth")
    assert by_id(corpus)["OA_bite_neutral"].speaker == "OAF"


def test_crema_d_code_votes_and_demographics(tmp_path):
    FAKE_CORPORA["crema_d"](tmp_path)
    corpus = load_corpus("crema_d", tmp_path)
    assert len(corpus.utterances) == 3 * 6 * 2 + 1
    clip = by_id(corpus)["1001_DFA_HAP_XX"]
    assert (clip.label, clip.speaker, clip.gender) == ("happy", "1001", "male")
    assert (clip.transcript, clip.script) == ("Don't forget a jacket.", "DFA")
    assert clip.soft_label == {"happy": 0.5, "neutral": 0.5}  # the audio-visual vote is left out
    assert by_id(corpus)["1040_ITH_SAD_X"].soft_label is None
    assert load_corpus("crema_d", tmp_path / "AudioWAV").utterances == corpus.utterances


def test_crema_d_without_its_tables(tmp_path):
    write_wav(tmp_path / "root" / "1001_DFA_ANG_XX.wav")
    (clip,) = load_corpus("crema_d", tmp_path / "root").utterances
    assert clip.gender is None and clip.soft_label is None


def test_crema_d_cloned_without_lfs_is_not_audio(tmp_path):
    write_wav(tmp_path / "1001_DFA_ANG_XX.wav")
    pointer = ["version https://git-lfs.github.com/spec/v1", "oid sha256:0", "size 73000"]
    write_text(tmp_path / "1001_DFA_SAD_XX.wav", pointer)
    assert load_corpus("crema_d", tmp_path).reasons() == {"not audio": 1}


def test_savee_reads_both_layouts(tmp_path):
    FAKE_CORPORA["savee"](tmp_path)
    corpus = load_corpus("savee", tmp_path)
    assert {utterance.speaker for utterance in corpus.utterances} == {"DC", "JE", "JK", "KL"}
    assert len(corpus.utterances) == 4 * 7 * 2
    found = by_id(corpus)
    assert found["DC_sa01"].label == "sadness" and found["KL_su02"].label == "surprise"
    assert found["DC_a01"].audio == tmp_path / "AudioData" / "DC" / "a01.wav"
    assert {utterance.gender for utterance in corpus.utterances} == {"male"}
    actor = load_corpus("savee", tmp_path / "AudioData" / "DC")
    assert len(actor.utterances) == 14


def test_emovo_code(tmp_path):
    FAKE_CORPORA["emovo"](tmp_path)
    clip = by_id(load_corpus("emovo", tmp_path))["rab-m1-n5"]
    assert (clip.label, clip.speaker, clip.gender, clip.script) == ("anger", "m1", "male", "n5")
    assert clip.transcript == "Uno quarantatré dieci mille cinquantasette venti."


def test_a_stray_recording_is_rejected_by_name(tmp_path):
    FAKE_CORPORA["emovo"](tmp_path)
    (row,) = load_corpus("emovo", tmp_path).rejected
    assert row.source.endswith("test.wav") and "dis-f1-b1.wav" in row.detail
