"""MELD and GoEmotions."""

import pytest

from mmer_tf.corpora.errors import CorpusError
from mmer_tf.corpora.load import load_corpus
from mmer_tf.testing import FAKE_CORPORA


def by_id(corpus):
    return {utterance.id: utterance for utterance in corpus.utterances}


def test_meld_columns(tmp_path):
    FAKE_CORPORA["meld"](tmp_path)
    corpus = load_corpus("meld", tmp_path)
    assert len(corpus.utterances) == 3 * 7
    assert corpus.reasons() == {"empty transcript": 3}
    row = by_id(corpus)["validation_dia1_utt2"]
    assert (row.label, row.speaker, row.partition) == ("sadness", "Chandler", "validation")
    assert (row.session, row.script) == ("season 8 episode 21", "validation_dia1")
    assert row.transcript == "It’s sadness, said in validation."
    assert row.audio is None and row.duration is None


def test_meld_rows_that_are_broken_are_named(tmp_path):
    FAKE_CORPORA["meld"](tmp_path)
    file = tmp_path / "dev_sent_emo.csv"
    lines = file.read_bytes().split(b"\r\n")
    lines[2] = lines[2].replace(b"said", b"sa\xefd")
    lines[3] = b"3,Cut off"
    file.write_bytes(b"\r\n".join(lines))
    rejected = {row.source: row for row in load_corpus("meld", tmp_path).rejected}
    assert rejected[f"{file}, row 3"].reason == "transcript is not UTF-8"
    assert rejected[f"{file}, row 4"].reason == "incomplete row"
    assert "Speaker" in rejected[f"{file}, row 4"].detail


def test_meld_with_an_open_quotation_mark_loses_no_row_silently(tmp_path):
    FAKE_CORPORA["meld"](tmp_path)
    file = tmp_path / "test_sent_emo.csv"
    file.write_text(file.read_text() + '9,"never closed,Ross,joy\n')
    with pytest.raises(CorpusError, match=r"test_sent_emo\.csv, row 10.*quotation marks"):
        load_corpus("meld", tmp_path)


def test_meld_without_a_partition_is_not_meld(tmp_path):
    FAKE_CORPORA["meld"](tmp_path)
    (tmp_path / "dev_sent_emo.csv").unlink()
    with pytest.raises(CorpusError, match=r"dev_sent_emo\.csv"):
        load_corpus("meld", tmp_path)


def test_goemotions_as_released(goemotions_root):
    corpus = load_corpus("goemotions", goemotions_root)
    counts = {"train": 36308, "validation": 4548, "test": 4590}  # rows without a comma, counted
    for partition, count in counts.items():
        assert sum(u.partition == partition for u in corpus.utterances) == count
    assert len(corpus.labels) == 28
    assert corpus.reasons() == {"several labels": 43410 + 5426 + 5427 - sum(counts.values())}
    assert by_id(corpus)["edgurhb"].label == "neutral"
    assert by_id(corpus)["edcu99z"].transcript == "I've never been this sad in my life!"


def test_goemotions_soft_labels(goemotions_root):
    corpus = load_corpus("goemotions", goemotions_root, soft_labels=True)
    assert len(corpus.utterances) == 43410 + 5426 + 5427
    assert corpus.rejected == ()
    found = by_id(corpus)
    assert found["ee84bjg"].label == "approval"
    assert found["ee84bjg"].soft_label == {"approval": 0.5, "neutral": 0.5}
    assert found["edgurhb"].soft_label == {"neutral": 1.0}


def test_goemotions_rows_that_are_broken_are_named(tmp_path):
    FAKE_CORPORA["goemotions"](tmp_path)
    file = tmp_path / "test.tsv"
    lines = ["no tabs", "\t2\tx1", "text\t28\tx2", "text\tanger\tx3", "fine\u2028text\t2\tx4"]
    file.write_bytes("\n".join(lines).encode() + b"\nbroken \xff\t2\tx5\n")
    corpus = load_corpus("goemotions", tmp_path)
    reasons = {row.source: row.reason for row in corpus.rejected if row.kind == "rejected"}
    assert reasons == {
        f"{file}, line 1": "incomplete row",
        f"{file}, line 2": "empty transcript",
        f"{file}, line 3": "unknown label",
        f"{file}, line 4": "unknown label",
        f"{file}, line 6": "transcript is not UTF-8",
    }
    assert by_id(corpus)["x4"].transcript == "fine\u2028text"
