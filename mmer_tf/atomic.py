"""Files that appear whole or not at all: a reader, or a kill, never meets half of one."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replacing(file: Path) -> Iterator[Path]:
    """Give a path to write to, with the same suffix; it takes the file's place at the end.

    An error inside leaves the file as it was.
    """
    temporary = file.with_name(f"partial-{file.name}")
    yield temporary
    temporary.replace(file)


def write_text(file: Path, text: str) -> None:
    """Replace a file by UTF-8 text in one step."""
    with replacing(file) as temporary:
        temporary.write_text(text, encoding="utf-8")
