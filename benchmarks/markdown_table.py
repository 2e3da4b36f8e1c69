"""What the benchmarks write: Markdown that says how its figures came about."""

import platform
import shlex
import sys
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

PACKAGES = ("mmer-tf", "tensorflow", "keras", "scikit-learn")


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table whose first column is text and whose others are figures, or text too."""
    for row in rows:
        if len(row) != len(header):
            raise ValueError(f"a row has {len(row)} cells, the header {len(header)}: {row}")
    cells = [[cell.replace("|", "\\|") for cell in row] for row in (header, *rows)]
    lines = [f"| {' | '.join(row)} |" for row in cells]
    return "\n".join([lines[0], "|" + "---|" * len(header), *lines[1:]]) + "\n"


def command_line() -> str:
    """The command that was typed, in a block of its own."""
    script = Path(sys.argv[0])
    typed = ["python", f"benchmarks/{script.name}", *sys.argv[1:]]
    return f"```\n{shlex.join(typed)}\n```\n"


def versions(packages: Sequence[str] = PACKAGES) -> str:
    """One sentence; no date, so that an unchanged result is an unchanged file."""
    named = [f"{package} {version(package)}" for package in packages]
    return f"Versions: Python {platform.python_version()}, {', '.join(named)}.\n"
