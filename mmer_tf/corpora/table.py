"""The user's own data: a CSV or JSONL table.

Columns: `label`, and `file` or `text` or both; besides, as far as known, `speaker`, `session`,
`gender` (female, male, f, m; anything else counts as not told), `script`, `partition` and `id`.
Other columns are ignored, unless one looks like a misspelt name of these. Files are relative to the
table. Without ids, the file names are the ids, else the row numbers. A CSV may be parted by commas,
semicolons or tabs, and may begin with a byte order mark.

What the protocols make of them: `partition` (also called `split`) holds train, validation (or dev)
or test, and `--protocol predefined` follows it; `speaker` and `session` are needed by the protocols
of these names; `script`, a code for the script, scenario or dialogue that a row belongs to, by
`script`; `text`, else `script`, by `sentence`.
"""

import difflib
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, get_args

from mmer_tf.audio.decode import AudioError, probe
from mmer_tf.corpora.errors import CorpusError
from mmer_tf.corpora.format import CorpusFormat, Gender, Partition
from mmer_tf.corpora.plain_text import (
    BEYOND_HEADER,
    header_of,
    is_utf8,
    not_utf8,
    read_lines,
    read_table,
)
from mmer_tf.types import Rejected, Utterance

COLUMNS = (
    "file", "text", "label", "speaker", "session", "gender", "script", "partition", "split", "id",
)  # fmt: skip
EXPECTS = "a .csv, .tsv or .jsonl table with the columns label and file or text"
SUFFIXES = (".csv", ".tsv", ".jsonl")
GENDERS: dict[str, Gender] = {"f": "female", "female": "female", "m": "male", "male": "male"}
PARTITIONS: dict[str, Partition] = {part: part for part in get_args(Partition)}
PARTITIONS["dev"] = "validation"
NO_CELLS = {list: "a list", dict: "an object", bool: "true or false"}
"""What JSON has besides the strings and numbers that a cell holds."""


def read(root: Path) -> Iterator[Utterance | Rejected]:
    """Yield every row of the table, which is `root` or the only one in it.

    Raises:
        CorpusError: no table, several of them, or wrong columns.
    """
    table = _find_table(root)
    if table.suffix.lower() == ".jsonl":
        yield from _read_jsonl(table)
        return
    delimiter = _delimiter(table)
    _check_columns(table, header_of(table, delimiter))
    for number, row in read_table(table, delimiter):
        yield _utterance(table, f"row {number}", row)


def _find_table(root: Path) -> Path:
    if root.is_file():
        if root.suffix.lower() not in SUFFIXES:
            raise CorpusError(f"{root}: not a table; expected {EXPECTS}.")
        return root
    if not root.is_dir():
        raise CorpusError(f"{root}: no such file or folder; expected {EXPECTS}.")
    tables = sorted(
        file
        for file in root.iterdir()
        if file.suffix.lower() in SUFFIXES and not file.name.startswith(".")
    )
    if not tables:
        raise CorpusError(f"{root}: no table in this folder; expected {EXPECTS}.")
    if len(tables) > 1:
        names = ", ".join(file.name for file in tables)
        raise CorpusError(f"{root}: several tables ({names}); give the one to read as the root.")
    return tables[0]


def _delimiter(table: Path) -> str:
    """What parts the column names, which themselves contain no punctuation."""
    first = next(read_lines(table), (1, ""))[1]
    return max(",;\t", key=first.count)


def _check_columns(table: Path, columns: Iterable[str]) -> None:
    columns = [column for column in columns if column]
    if not is_utf8(*columns):
        raise CorpusError(f"{table}: the column names are not UTF-8; save the table as UTF-8.")
    absent = [column for column in COLUMNS if column not in columns]
    if "partition" not in absent and "split" not in absent:
        raise CorpusError(f"{table}: the columns 'partition' and 'split' mean the same; keep one.")
    for column in columns:
        close = difflib.get_close_matches(column.lower(), absent, n=1, cutoff=0.75)
        if column not in COLUMNS and close:
            raise CorpusError(f"{table}: column '{column}'; did you mean '{close[0]}'?")
    found = ", ".join(columns) or "none"
    if "label" in absent:
        raise CorpusError(f"{table}: no column 'label'. Found: {found}.")
    if "file" in absent and "text" in absent:
        raise CorpusError(f"{table}: neither a column 'file' nor 'text'. Found: {found}.")


def _read_jsonl(table: Path) -> Iterator[Utterance | Rejected]:
    rows: list[tuple[str, dict[str, Any] | Rejected]] = []
    for number, line in read_lines(table):
        if line.strip():
            rows.append((f"line {number}", _json_row(table, number, line)))
    columns = dict.fromkeys(name for _, row in rows if isinstance(row, dict) for name in row)
    _check_columns(table, columns)
    for place, row in rows:
        if isinstance(row, Rejected):
            yield row
            continue
        cells = {name: row[name] for name in COLUMNS if row.get(name) is not None}
        wrong = [name for name, value in cells.items() if type(value) in NO_CELLS]
        if wrong:
            detail = f"column '{wrong[0]}' holds {NO_CELLS[type(cells[wrong[0]])]}"
            yield Rejected(f"{table}, {place}", "not a string or a number", "rejected", detail)
            continue
        yield _utterance(table, place, {name: str(value) for name, value in cells.items()})


def _json_row(table: Path, number: int, line: str) -> dict[str, Any] | Rejected:
    if not is_utf8(line):
        return not_utf8(table, f"line {number}")
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:
        return Rejected(f"{table}, line {number}", "line is not JSON", "rejected", str(error))
    if not isinstance(row, dict):
        detail = 'expected an object, as {"text": "…", "label": "…"}'
        return Rejected(f"{table}, line {number}", "line is not JSON", "rejected", detail)
    return row


def _utterance(table: Path, place: str, row: dict[str, str]) -> Utterance | Rejected:
    source = f"{table}, {place}"
    if not is_utf8(*row.values()):
        return not_utf8(table, place)
    if BEYOND_HEADER in row:
        detail = (
            f"'{row[BEYOND_HEADER]}' is left over; put cells that contain the separator in quotes"
        )
        return Rejected(source, "more cells than columns", "rejected", detail)
    cells = {column: row.get(column, "").strip() for column in COLUMNS}
    if not cells["label"]:
        return Rejected(source, "no label", "rejected", "fill in the column 'label'")
    if "\0" in cells["file"]:
        return Rejected(source, "not a file name", "rejected", repr(cells["file"]))
    if not cells["file"] and not cells["text"]:
        return Rejected(source, "empty transcript", "rejected", "neither a text nor a file")
    part = (cells["partition"] or cells["split"]).lower()
    if part and part not in PARTITIONS:
        detail = f"'{part}' is not one of {', '.join(PARTITIONS)}"
        return Rejected(source, "unknown partition", "rejected", detail)
    audio = table.parent / cells["file"] if cells["file"] else None
    try:
        duration = probe(audio).duration if audio else None
    except AudioError as error:
        return Rejected(source, error.reason, "rejected", str(error))
    return Utterance(
        id=cells["id"] or Path(cells["file"] or _padded(place)).as_posix(),
        label=cells["label"],
        audio=audio,
        transcript=cells["text"],
        speaker=cells["speaker"] or None,
        gender=GENDERS.get(cells["gender"].lower()),
        session=cells["session"] or None,
        script=cells["script"] or None,
        partition=PARTITIONS[part] if part else None,
        duration=duration,
    )


def _padded(place: str) -> str:
    """Row numbers that sort as text in the order of the table."""
    kind, number = place.split()
    return f"{kind}{int(number):07d}"


CORPUS = CorpusFormat(
    name="table",
    summary="your own CSV or JSONL: file, text, label, speaker, session",
    expects=EXPECTS,
    labels=None,
    read=read,
)
