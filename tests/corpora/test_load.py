"""Sorting out: duplicates, unknown labels, selections, wrong folders."""

import shutil

import pytest

from mmer_tf.corpora.errors import CorpusError
from mmer_tf.corpora.load import load_corpus
from mmer_tf.registry import UnknownNameError
from mmer_tf.testing import FAKE_CORPORA, write_csv, write_wav


def test_a_second_copy_is_dropped_and_another_recording_of_that_name_is_rejected(tmp_path):
    write_wav(tmp_path / "wav" / "03a01Fa.wav")
    write_wav(tmp_path / "wav" / "03a01Wa.wav")
    (tmp_path / "backup").mkdir()
    write_wav(tmp_path / "backup" / "03a01Wa.wav", frequency=500)
    shutil.copy(tmp_path / "wav" / "03a01Fa.wav", tmp_path / "backup")
    corpus = load_corpus("emodb", tmp_path)
    assert [utterance.id for utterance in corpus.utterances] == ["03a01Fa", "03a01Wa"]
    copy, clash = corpus.rejected
    assert (copy.reason, copy.kind) == ("copy of another file", "dropped")
    assert (clash.reason, clash.kind) == ("duplicate id", "rejected")
    for row in corpus.rejected:
        assert "wav" in row.source and "backup" in row.source + row.detail


def test_an_unknown_label_rejects_the_row(tmp_path):
    write_wav(tmp_path / "03a01Fa.wav")
    write_wav(tmp_path / "03a01Xa.wav")
    corpus = load_corpus("emodb", tmp_path)
    (row,) = corpus.rejected
    assert row.reason == "unknown label" and row.kind == "rejected"
    assert "03a01Xa.wav" in row.source and "'X'" in row.detail and "anger" in row.detail


def test_selected_classes_are_merged_in_the_order_of_the_selection(tmp_path):
    FAKE_CORPORA["iemocap"](tmp_path)
    corpus = load_corpus("iemocap", tmp_path, labels="ang,hap+exc,sad,neu")
    assert corpus.labels == ("ang", "hap", "sad", "neu")
    labels = [utterance.label for utterance in corpus.utterances]
    assert labels.count("hap") == 2 * labels.count("ang") == 8
    assert all(set(utterance.soft_label) <= set(corpus.labels) for utterance in corpus.utterances)


def test_a_label_that_the_corpus_does_not_have_is_answered_with_those_it_has(tmp_path):
    FAKE_CORPORA["emodb"](tmp_path)
    with pytest.raises(CorpusError, match=r"unknown label 'angry'.*Known: anger, boredom"):
        load_corpus("emodb", tmp_path, labels="angry,sadness")
    with pytest.raises(CorpusError, match=r"class 'boredom'.*Present: anger, happiness"):
        load_corpus("emodb", tmp_path, labels="anger,boredom")


def test_a_label_that_a_table_does_not_have_is_answered_with_those_it_has(tmp_path):
    table = write_csv(tmp_path / "t.csv", [{"text": "a", "label": "up"}])
    with pytest.raises(CorpusError, match=r"unknown label 'down'.*Known: up"):
        load_corpus("table", table, labels="up,down")


def test_a_row_without_recording_is_found_in_its_table(tmp_path):
    texts = [("a", "up"), ("b", "down"), ("a", "up"), ("c", "up")]
    rows = [{"id": name, "text": "x", "label": label} for name, label in texts]
    table = write_csv(tmp_path / "my.csv", rows)
    unselected = load_corpus("table", table, labels="up").rejected[1]
    assert (unselected.source, unselected.reason) == (f"{table}: b", "label not selected")
    (duplicate,) = load_corpus("table", table).rejected
    assert (duplicate.source, duplicate.reason) == (f"{table}: a", "duplicate id")
    assert duplicate.detail == "id 'a' is already taken by an earlier row"


def test_a_corpus_of_which_nothing_is_left_is_answered_with_the_reasons(tmp_path):
    for name in ("03a01Fa", "03a01Wa"):
        (tmp_path / f"{name}.wav").write_bytes(b"")
    with pytest.raises(CorpusError, match=r"no utterance of 'emodb' is left \(empty file: 2\)"):
        load_corpus("emodb", tmp_path)


def test_a_folder_of_another_corpus_is_recognised(tmp_path):
    FAKE_CORPORA["ravdess"](tmp_path)
    with pytest.raises(CorpusError, match=r"03a01Fa\.wav.*looks like 'ravdess'.*--corpus ravdess"):
        load_corpus("emodb", tmp_path)


def test_a_file_as_root_is_named(tmp_path):
    file = write_wav(tmp_path / "03a01Fa.wav")
    with pytest.raises(CorpusError, match=r"03a01Fa\.wav: a file where the root folder"):
        load_corpus("emodb", file)


def test_an_unknown_corpus_is_answered_with_the_nearest(tmp_path):
    with pytest.raises(UnknownNameError, match="did you mean 'emodb'"):
        load_corpus("emobd", tmp_path)
