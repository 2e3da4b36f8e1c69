import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mmer_tf.corpora.errors import CorpusError
from mmer_tf.corpora.load import load_corpus
from mmer_tf.testing import write_csv, write_text, write_wav

BOTH = [{"text": "One, two.", "label": "up"}, {"text": "Three", "label": "down"}]


def test_every_column(tmp_path):
    write_wav(tmp_path / "clips" / "a.wav", seconds=0.5)
    row = {
        "file": "clips/a.wav", "text": "Hello", "label": "up", "speaker": "s", "session": "one",
        "gender": "F", "script": "x", "split": "test", "id": "first", "remark": "ignored",
    }  # fmt: skip
    write_csv(tmp_path / "t.csv", [row])
    (utterance,) = load_corpus("table", tmp_path).utterances
    assert utterance.id == "first" and utterance.label == "up"
    assert utterance.audio == tmp_path / "clips" / "a.wav"
    assert utterance.duration == 0.5
    assert (utterance.speaker, utterance.session, utterance.script) == ("s", "one", "x")
    assert (utterance.gender, utterance.partition) == ("female", "test")


@pytest.mark.parametrize("column", ["split", "partition"])
def test_a_column_is_the_partition(tmp_path, column):
    parts = ["train", "validation", "dev", "Test", ""]
    rows = [{"text": "Hello", "label": "up", column: part} for part in parts]
    corpus = load_corpus("table", write_csv(tmp_path / "t.csv", rows))
    assert corpus.rejected == ()
    told = [utterance.partition for utterance in corpus.utterances]
    assert told == ["train", "validation", "validation", "test", None]


def test_two_columns_for_the_partition_are_one_too_many(tmp_path):
    row = {"text": "Hello", "label": "up", "split": "train", "partition": "test"}
    with pytest.raises(CorpusError, match="'partition' and 'split' mean the same; keep one"):
        load_corpus("table", write_csv(tmp_path / "t.csv", [row]))


def test_ids_are_file_names_or_row_numbers(tmp_path):
    write_wav(tmp_path / "b.wav")
    rows = [{"file": "b.wav", "text": "", "label": "up"}, {"file": "", "text": "a", "label": "up"}]
    table = write_csv(tmp_path / "t.csv", rows)
    assert [u.id for u in load_corpus("table", table).utterances] == ["b.wav", "row0000003"]


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_separators_and_byte_order_mark(tmp_path, delimiter, mark):
    table = write_csv(tmp_path / "t.csv", BOTH, delimiter=delimiter)
    table.write_bytes(mark + table.read_bytes())
    assert [u.transcript for u in load_corpus("table", table).utterances] == ["One, two.", "Three"]


def test_an_unnamed_index_column_is_ignored(tmp_path):
    table = write_csv(tmp_path / "t.csv", [{"": str(k), **row} for k, row in enumerate(BOTH)])
    assert len(load_corpus("table", table).utterances) == 2


def test_json_lines(tmp_path):
    rows = [json.dumps({"text": "Grüße", "label": "up", "speaker": 3, "session": None})]
    table = write_text(tmp_path / "t.jsonl", [*rows, "", "{broken", "[1]"])
    corpus = load_corpus("table", table)
    (utterance,) = corpus.utterances
    assert (utterance.transcript, utterance.speaker, utterance.session) == ("Grüße", "3", None)
    assert [row.source for row in corpus.rejected] == [f"{table}, line 3", f"{table}, line 4"]
    assert {row.reason for row in corpus.rejected} == {"line is not JSON"}


@pytest.mark.parametrize(
    ("row", "reason", "detail"),
    [
        ({"text": "x", "label": ""}, "no label", "label"),
        ({"text": " ", "label": "up"}, "empty transcript", "neither"),
        ({"file": "gone.wav", "label": "up"}, "missing file", "gone.wav"),
        (
            {"text": "x", "label": "up", "split": "held"},
            "unknown partition",
            "validation, test, dev",
        ),
        ({"text": "x", "label": "up", "id": "good"}, "duplicate id", "'good'"),
    ],
)
def test_a_bad_row_is_named(tmp_path, row, reason, detail):
    columns = dict.fromkeys(("id", "file", "text", "label", "split"), "")
    good = {**columns, "id": "good", "text": "fine", "label": "up"}
    table = write_csv(tmp_path / "t.csv", [good, {**columns, **row}])
    corpus = load_corpus("table", table)
    (rejected,) = corpus.rejected
    assert (rejected.reason, rejected.kind) == (reason, "rejected")
    assert detail in rejected.detail
    assert reason == "duplicate id" or rejected.source == f"{table}, row 3"


def test_a_table_in_utf16_is_answered_with_the_fix(tmp_path):
    table = write_csv(tmp_path / "t.csv", BOTH)
    table.write_text(table.read_text(), encoding="utf-16")
    with pytest.raises(CorpusError, match=r"t\.csv.*save the table as UTF-8"):
        load_corpus("table", table)


def test_an_empty_text_is_fine_beside_a_file(tmp_path):
    write_wav(tmp_path / "a.wav")
    write_csv(tmp_path / "t.csv", [{"file": "a.wav", "text": "", "label": "up"}])
    assert load_corpus("table", tmp_path).utterances[0].transcript == ""


def test_an_unquoted_separator_in_a_text_is_named(tmp_path):
    table = write_text(tmp_path / "t.csv", ["label,text", "up,Well, no", "up,Yes"])
    (row,) = load_corpus("table", table).rejected
    assert row.reason == "more cells than columns" and "' no'" in row.detail


def test_a_row_that_is_not_utf8_is_named(tmp_path):
    table = tmp_path / "t.csv"
    table.write_bytes("label,text\nup,Gr\xfc\xdfe\nup,Hi\n".encode("latin-1"))
    corpus = load_corpus("table", table)
    (row,) = corpus.rejected
    assert row.reason == "transcript is not UTF-8" and row.source == f"{table}, row 2"
    assert len(corpus.utterances) == 1


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ("text,lable", "column 'lable'; did you mean 'label'"),
        ("Text,label", "column 'Text'; did you mean 'text'"),
        ("text,label,speeker", "column 'speeker'; did you mean 'speaker'"),
        ("text,mood", "no column 'label'. Found: text, mood"),
        ("label,mood", "neither a column 'file' nor 'text'"),
    ],
)
def test_wrong_columns_are_named(tmp_path, header, message):
    table = write_text(tmp_path / "t.csv", [header, "a,b,c"])
    with pytest.raises(CorpusError, match=message):
        load_corpus("table", table)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ('{"label": "up", "text": "\\ud800"}', "transcript is not UTF-8"),
        ('{"label": "up", "text": ' + "9" * 5000 + "}", "line is not JSON"),
        ("[" * 100_000, "line is not JSON"),
        ('{"label": "up", "file": "a\\u0000.wav"}', "not a file name"),
    ],
)
def test_a_hostile_line_costs_only_itself(tmp_path, line, reason):
    table = write_text(tmp_path / "t.jsonl", [line, '{"label": "up", "text": "fine"}'])
    corpus = load_corpus("table", table)
    assert len(corpus.utterances) == 1
    assert corpus.reasons() == {reason: 1}


@pytest.mark.parametrize(
    ("cell", "kind"), [("[1]", "a list"), ("true", "true or false"), ("{}", "an object")]
)
@pytest.mark.parametrize("column", ["label", "text", "speaker"])
def test_a_cell_that_is_no_text_is_named(tmp_path, column, cell, kind):
    good = '{"label": "up", "text": "fine", "speaker": 3, "remark": [true, {}]}'
    bad = json.dumps({"label": "up", "text": "x", column: json.loads(cell)})
    table = write_text(tmp_path / "t.jsonl", [good, bad])
    corpus = load_corpus("table", table)
    assert [utterance.transcript for utterance in corpus.utterances] == ["fine"]
    (row,) = corpus.rejected
    assert (row.source, row.kind) == (f"{table}, line 2", "rejected")
    assert row.detail == f"column '{column}' holds {kind}"


def test_a_folder_of_several_tables_asks_for_one(tmp_path):
    write_csv(tmp_path / "a.csv", BOTH)
    write_csv(tmp_path / "b.csv", BOTH)
    with pytest.raises(CorpusError, match=r"several tables \(a\.csv, b\.csv\)"):
        load_corpus("table", tmp_path)


def test_another_file_is_no_table(tmp_path):
    with pytest.raises(CorpusError, match=r"notes\.txt: not a table"):
        load_corpus("table", write_text(tmp_path / "notes.txt", ["x"]))


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    header=st.sampled_from([b"", b"label,text\n", b"label;file\n", b'{"label": "a"}\n']),
    body=st.binary(max_size=80),
    suffix=st.sampled_from(["csv", "tsv", "jsonl"]),
)
def test_whatever_the_bytes_only_a_corpus_error_comes_out(tmp_path, header, body, suffix):
    table = tmp_path / f"garbage.{suffix}"
    table.write_bytes(header + body)
    try:
        corpus = load_corpus("table", table)
    except CorpusError as error:
        assert str(table) in str(error)
    else:
        assert corpus.utterances
