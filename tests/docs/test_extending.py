"""The page on extending is followed literally: files written, diffs applied, commands run."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from blocks import REPOSITORY, Block, read_blocks

PAGE = REPOSITORY / "docs" / "extending.md"

COPIED = ("mmer_tf", "tests", "configs", "pyproject.toml", "setup.cfg")


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the package and its tests, which the page changes."""
    folder = tmp_path_factory.mktemp("checkout")
    for name in COPIED:
        source = REPOSITORY / name
        copy = shutil.copytree if source.is_dir() else shutil.copy
        copy(source, folder / name)
    return folder


@pytest.mark.slow
def test_page_can_be_followed(checkout: Path):
    blocks = read_blocks(PAGE.read_text(encoding="utf-8"), "docs/extending.md")
    commands = [block for block in blocks if block.language == "bash"]
    assert len(commands) >= 4
    for block in blocks:
        if block.file is not None:
            (checkout / block.file).write_text(block.text, encoding="utf-8")
        elif block.language == "diff":
            run(checkout, ["patch", "--strip=1", "--fuzz=0"], block.text)
        elif block.language == "bash":
            assert "no tests ran" not in run(checkout, ["bash", "-euxo", "pipefail"], block.text)
    ours = [str(checkout / block.file) for block in blocks if block.language == "python"]
    run(checkout, [sys.executable, "-m", "ruff", "check", *ours])
    run(checkout, [sys.executable, "-m", "ruff", "format", "--check", *ours])
    run(checkout, ["lint-imports"])


def test_diffs_change_what_is_there():
    for block in diffs():
        tried = subprocess.run(
            ["patch", "--strip=1", "--fuzz=0", "--dry-run"],
            cwd=REPOSITORY,
            input=block.text,
            capture_output=True,
            text=True,
        )
        assert tried.returncode == 0, f"{block}: {tried.stdout}"


def diffs() -> list[Block]:
    blocks = read_blocks(PAGE.read_text(encoding="utf-8"), "docs/extending.md")
    found = [block for block in blocks if block.language == "diff"]
    assert len(found) >= 3
    return found


def run(folder: Path, command: list[str], text: str = "") -> str:
    """Run in the folder, whose package goes before the installed one.

    Returns:
        What it printed; a failure shows it.
    """
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = os.environ | {"PATH": path, "PYTHONPATH": str(folder)}
    done = subprocess.run(
        command,
        cwd=folder,
        env=environment,
        input=text,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout
