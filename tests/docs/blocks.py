"""The fenced blocks of the documentation, their marks, and the commands that stand in them.

CONTRIBUTING.md tells the marks: ```bash run, ```bash skip=REASON, ```python run, ```yaml file=PATH.
"""

import os
import re
import subprocess
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from markdown_it import MarkdownIt

REPOSITORY = Path(__file__).resolve().parents[2]

REASONS = {
    "docker": "needs Docker",
    "cloud": "needs an account with a cloud",
    "machines": "needs several machines",
    "gpu": "needs a GPU",
    "corpus": "needs a corpus or recordings that are not shipped",
    "weights": "needs weights that are downloaded",
    "long": "takes more than some minutes",
    "endless": "runs until it is stopped",
    "browser": "needs a browser",
    "install": "installs",
    "checkout": "changes the package; test_extending.py follows it in a copy",
}
"""Why a block is not run."""

MARKED = ("bash", "python")
"""Languages whose blocks must carry a mark."""

WITHOUT_MARK = ("text", "json", "yaml", "csv", "cpp", "diff", "make", "toml", "mermaid")

DIRECTIVES = ("{toctree}", "{include}")
"""Of MyST, those that hold no commands; `{code-block} bash` would be a block without a mark."""

MARKDOWN = MarkdownIt("commonmark").enable("table")

IN_AN_ENVIRONMENT = re.compile(r"(?m)(?<![\w./-])[\w./-]+/bin/(?=(?:python|pip|pytest)\b)")
"""What `.venv/bin/python` has more than `python`."""

INLINE = re.compile(r"python -m mmer_tf\.\w+ [^|…]+")
"""A command in a sentence that has arguments, and not several to choose from."""

LISTING = """
command_not_found_handle() {
  printf '%s\\0' "${BASH_LINENO[0]}" "$#" "$@" >&3
  return $CODE
}
for builtin in cd kill exec source .; do eval "$builtin() { return $CODE; }"; done
"""
"""Runs before a block: each program that it names says its line and its arguments instead.

What stands behind `&&` is seen where they succeed (`CODE` is 0), what behind `||` where they fail.
"""


class BlockError(ValueError):
    """A block that is not written as the documentation's blocks are."""


@dataclass(frozen=True)
class Block:
    """One fenced block of a page.

    Args:
        page: the file, from the repository's folder.
        line: of its first line of content, counted from 1.
        language: the first word after the fence; "" where there is none.
        mark: the word after that; "" where there is none.
        text: what stands between the fences.
    """

    page: str
    line: int
    language: str
    mark: str
    text: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"

    @property
    def is_run(self) -> bool:
        """A test runs it."""
        return self.mark == "run"

    @property
    def reason(self) -> str | None:
        """Why it is not run, a key of `REASONS`; None where it is no such block."""
        return self.mark.removeprefix("skip=") if self.mark.startswith("skip=") else None

    @property
    def file(self) -> str | None:
        """The file that a reader writes with this content; None where it is no such block."""
        return self.mark.removeprefix("file=") if self.mark.startswith("file=") else None


@dataclass(frozen=True)
class Command:
    """One program with its arguments, as a shell reads it.

    Args:
        block: where it stands.
        line: of the page.
        arguments: the program first.
    """

    block: Block
    line: int
    arguments: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.block.page}:{self.line}: {' '.join(self.arguments)}"


def pages() -> list[Path]:
    """Every page whose blocks a reader may follow."""
    named = ("README.md", "CONTRIBUTING.md", "benchmarks/README.md", "saved_models/README.md")
    return [REPOSITORY / name for name in named] + sorted((REPOSITORY / "docs").rglob("*.md"))


def blocks_of(page: Path) -> list[Block]:
    """The fenced blocks of a page, in order."""
    name = page.relative_to(REPOSITORY).as_posix()
    return read_blocks(page.read_text(encoding="utf-8"), name)


def read_blocks(text: str, page: str) -> list[Block]:
    """The fenced blocks of a Markdown text; `DIRECTIVES` are none.

    Raises:
        BlockError: more than one word stands behind the language, or a block that could hold
            commands is no fenced one: another directive, or indented text.
    """
    found = []
    for token in MARKDOWN.parse(text):
        if token.type == "code_block":
            raise BlockError(f"{page}:{token.map[0] + 1}: indented code; fence it and mark it")
        if token.type != "fence":
            continue
        if token.info.lstrip().startswith("{"):
            if token.info.split()[0] not in DIRECTIVES:
                raise BlockError(f"{page}:{token.map[0] + 1}: the directive `{token.info}`")
            continue
        first = token.map[0] + 2  # lines are counted from 0, and the fence is not content
        language, *marks = token.info.split()[:3] or [""]
        if len(marks) > 1:
            raise BlockError(f"{page}:{first}: `{token.info}`: one word behind the language")
        found.append(Block(page, first, language, "".join(marks), token.content))
    return found


def commands_of(block: Block) -> list[Command]:
    """What programs a block of shell commands starts, with which arguments.

    bash itself reads the block: quotes, continued lines, comments, variables, redirections, pipes
    and here-documents mean what they mean there. No program is started.

    Raises:
        BlockError: bash does not understand it.
    """
    succeeded, failed = (Counter(_started(block, code)) for code in (0, 1))
    return sorted((succeeded | failed).elements(), key=lambda one: one.line)


def _started(block: Block, code: int) -> list[Command]:
    """The commands that bash comes to when each of them ends with an exit code."""
    script = IN_AN_ENVIRONMENT.sub("", block.text)
    with tempfile.TemporaryDirectory() as folder:
        noted = Path(folder) / "noted"
        opening = LISTING.count("\n")
        with noted.open("wb") as notes:
            done = subprocess.run(
                ["/bin/bash", "-c", f"exec 3>&{notes.fileno()}; CODE={code}; {LISTING}{script}"],
                cwd=_made(Path(folder) / "cwd"),
                env={"PATH": "/nowhere", "HOME": folder},
                pass_fds=(notes.fileno(),),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=20,
            )
        if "syntax error" in done.stderr or "unexpected EOF" in done.stderr:
            raise BlockError(f"{block}: {done.stderr.strip()}")
        return list(_noted(noted.read_bytes(), block, opening))


def _noted(notes: bytes, block: Block, opening: int) -> Iterator[Command]:
    words = iter(os.fsdecode(notes).split("\0")[:-1])
    for line in words:
        arguments = tuple(next(words) for _ in range(int(next(words))))
        yield Command(block, block.line + int(line) - 1 - opening, arguments)


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


def mark_of(block: Block) -> str | None:
    """What is wrong with the words behind the fence; None where nothing is."""
    if block.file is not None:
        return None if block.file else "file= needs a path"
    if block.language in MARKED:
        known = block.is_run or block.reason in REASONS
        return None if known else f"marked '{block.mark}', not run, file=PATH or skip=REASON"
    if block.mark or block.language not in WITHOUT_MARK:
        return f"`{block.language} {block.mark}` is no language that pages have"
    return None


def inline_commands(page: Path) -> list[Command]:
    """The commands of this package, with arguments, that stand in the sentences of a page."""
    found = []
    for token in MARKDOWN.parse(page.read_text(encoding="utf-8")):
        for child in token.children or ():
            if child.type == "code_inline" and INLINE.fullmatch(child.content):
                name = page.relative_to(REPOSITORY).as_posix()
                block = Block(name, token.map[0] + 1, "bash", "", child.content)
                found += commands_of(block)
    return found


def commands_in(block: Block) -> Iterator[Block]:
    """The commands of this package that stand among other text, continued lines and all."""
    for match in re.finditer(r"(?<!`)python -m mmer_tf\..*(?:(?<=\\)\n.*)*", block.text):
        line = block.line + block.text[: match.start()].count("\n")
        yield Block(block.page, line, "bash", "", match.group())
