"""The commands of the pages are run as a reader would run them."""

import time
from pathlib import Path

import pytest
from blocks import REPOSITORY, Block, blocks_of, pages
from reader import follow, process_groups

from mmer_tf.testing import FAKE_CORPORA

CORPORA = {"EmoDB": "emodb", "RAVDESS": "ravdess", "GoEmotions": "goemotions"}
"""Folder below `corpora/` -> the corpus's name."""

FOLLOWED = {
    page.relative_to(REPOSITORY).as_posix(): page
    for page in pages()
    if any(block.is_run for block in blocks_of(page))
}


@pytest.mark.slow
@pytest.mark.parametrize("name", FOLLOWED)
def test_page_can_be_followed(name: str, workplace: Path, request: pytest.FixtureRequest):
    blocks = [block for block in blocks_of(FOLLOWED[name]) if block.is_run or block.file]
    for folder, corpus in CORPORA.items():
        if any(f"corpora/{folder}" in block.text for block in blocks if block.is_run):
            provide(corpus, workplace / "corpora" / folder, request)
    with process_groups() as groups:
        for block in blocks:
            follow(block, workplace, groups)


def provide(corpus: str, place: Path, request: pytest.FixtureRequest) -> None:
    """The recordings of this machine, or a fake tree where it has none."""
    try:
        real = request.getfixturevalue(f"{corpus}_root")
    except pytest.skip.Exception:
        FAKE_CORPORA[corpus](place)
        return
    place.parent.mkdir(exist_ok=True)
    place.symlink_to(real)


def test_a_block_that_fails_is_told(tmp_path: Path):
    file = Block("page.md", 3, "csv", "file=data/mine.csv", "a,b\n")
    code = Block("page.md", 9, "python", "run", "open('x', 'w').close()")
    failing = "sleep 60 &\necho $! > pid; cat data/mine.csv\ncat nothing | cat\ntouch y"
    with process_groups() as groups:
        follow(file, tmp_path, groups)
        follow(code, tmp_path, groups)
        with pytest.raises(pytest.fail.Exception, match=r"(?s)page\.md:7.*a,b.*nothing"):
            follow(Block("page.md", 7, "bash", "run", failing), tmp_path, groups)
    assert (tmp_path / "x").exists() and not (tmp_path / "y").exists()
    assert is_over((tmp_path / "pid").read_text().strip())


def is_over(process: str) -> bool:
    """Whether a process has ended, or ends within seconds; nobody may have taken note of it."""
    for _ in range(50):
        status = Path("/proc") / process / "stat"
        if not status.exists() or status.read_text().rpartition(")")[2].split()[0] == "Z":
            return True
        time.sleep(0.1)
    return False
