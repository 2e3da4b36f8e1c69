"""Text files that may hold a broken line: one bad byte costs its row, not the corpus."""

import csv
import re
from collections.abc import Iterator
from pathlib import Path

from mmer_tf.corpora.errors import CorpusError
from mmer_tf.types import Rejected

BEYOND_HEADER = "(beyond the header)"
"""The key under which `read_table` gives what has no column."""

_BROKEN = re.compile("[\ud800-\udfff]")  # JSON can escape lone surrogates, too

csv.field_size_limit(1 << 24)


def read_text(file: Path) -> str:
    """The file's text, without byte order mark; bytes that are not UTF-8 stay as surrogates."""
    return file.read_text(encoding="utf-8-sig", errors="surrogateescape")


def read_lines(file: Path) -> Iterator[tuple[int, str]]:
    """Numbered lines, from 1; the last, if empty, is left out.

    `str.splitlines` would also part lines at U+0085 and U+2028, which occur inside of sentences.
    """
    lines = read_text(file).split("\n")
    yield from enumerate(lines[:-1] if not lines[-1] else lines, start=1)


def read_table(file: Path, delimiter: str = ",") -> Iterator[tuple[int, dict[str, str]]]:
    """Rows of a table with a header, numbered as a spreadsheet does: the header is row 1.

    Cells beyond the header come joined under `BEYOND_HEADER`; missing cells are absent.

    Raises:
        CorpusError: quotation marks that do not pair up, behind which rows would be lost.
    """
    lines = read_text(file).split("\n")
    rows = csv.reader((line + "\n" for line in lines), delimiter=delimiter, strict=True)
    header: list[str] = []
    number = 0
    try:
        for number, cells in enumerate(rows, start=1):
            if number == 1:
                header = [name.strip() for name in cells]
            elif cells:  # a blank line is no row
                row = dict(zip(header, cells, strict=False))
                if len(cells) > len(header):
                    row[BEYOND_HEADER] = delimiter.join(cells[len(header) :])
                yield number, row
    except csv.Error as error:
        raise CorpusError(
            f"{file}, row {number + 1}: {error}; check the quotation marks of this row."
        ) from None


def header_of(file: Path, delimiter: str = ",") -> list[str]:
    """Column names of a table."""
    first = read_text(file).split("\n", 1)[0]
    return [name.strip() for name in next(csv.reader([first], delimiter=delimiter), [])]


def is_utf8(*texts: str) -> bool:
    """Whether texts from this module held nothing but UTF-8."""
    return not any(_BROKEN.search(text) for text in texts)


def not_utf8(file: Path, place: str) -> Rejected:
    """The row that stands for a broken one at `place`, such as "line 3"."""
    detail = f"save {file.name} as UTF-8"
    return Rejected(f"{file}, {place}", "transcript is not UTF-8", "rejected", detail)
