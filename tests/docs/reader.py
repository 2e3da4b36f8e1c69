"""A reader who follows a page: writes its files, types its commands, leaves servers running."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from blocks import REPOSITORY, Block

LONGEST = 600
"""Seconds of one block."""

CURL = "silent\nshow-error\nfail-with-body\nretry = 60\nretry-delay = 1\nretry-connrefused\n"
"""Waits until a server is up, as a reader does; an answer that is an error fails."""


def environment(folder: Path) -> dict[str, str]:
    """That of the tests, with the interpreter of the tests as `python`.

    Args:
        folder: in which `follow` works.
    """
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    return os.environ | {"PATH": path, "PYTHONPATH": str(REPOSITORY), "CURL_HOME": str(folder)}


def follow(block: Block, folder: Path, groups: list[int]) -> None:
    """Write the file of a block, or run it; fail with its place and the end of its output.

    Args:
        block: with a mark that says which.
        folder: to be in.
        groups: gets the process group, in which something may be left running.
    """
    if block.file is not None:
        file = folder / block.file
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(block.text, encoding="utf-8")
        return
    (folder / ".curlrc").write_text(CURL, encoding="utf-8")
    shell = ["bash", "-euxo", "pipefail", "-c"]
    interpreter = [sys.executable, "-c"] if block.language == "python" else shell
    output = folder.parent / "output.txt"
    with output.open("w", encoding="utf-8") as stream:
        process = subprocess.Popen(
            [*interpreter, block.text],
            cwd=folder,
            env=environment(folder),
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        groups.append(process.pid)
        with suppress(subprocess.TimeoutExpired):
            process.wait(LONGEST)
    if process.returncode != 0:
        failed = process.returncode is not None
        how = f"exit code {process.returncode}" if failed else f"not done after {LONGEST} s"
        said = output.read_text(encoding="utf-8", errors="replace").splitlines()[-40:]
        pytest.fail("\n".join([f"{block}: {how}", *(line[:300] for line in said)]), pytrace=False)


@contextmanager
def process_groups() -> Iterator[list[int]]:
    """Process groups that are killed at the end, with what a page leaves in the background."""
    groups: list[int] = []
    try:
        yield groups
    finally:
        for group in groups:
            with suppress(ProcessLookupError):
                os.killpg(group, signal.SIGKILL)
