"""Every link from a page to another, or to a file of the project, leads somewhere."""

from pathlib import Path

import pytest
from blocks import REPOSITORY, pages
from links import leads, links_of

PAGES = {page.relative_to(REPOSITORY).as_posix(): page for page in pages()}


@pytest.mark.parametrize("name", [*PAGES, "CHANGELOG.md"])
def test_links_lead_somewhere(name: str):
    dead = [link for link in links_of(REPOSITORY / name) if not leads(REPOSITORY / name, link)]
    assert not dead, "\n".join(dead)


def test_links_are_found():
    assert sum(len(list(links_of(page))) for page in PAGES.values()) > 40


def test_links_and_anchors(tmp_path: Path):
    (tmp_path / "other.md").write_text("## It's *here*: a `b` c\n## Twice\n## Twice\n", "utf-8")
    page = tmp_path / "page.md"
    page.write_text("# Top\n[a](other.md#its-here-a-b-c) ![b](no.png)\n\n`[c](code.md)`\n", "utf-8")
    assert list(links_of(page)) == ["other.md#its-here-a-b-c", "no.png"]
    for link in ("other.md", "#top", "other.md#twice-1", "https://example.org/x"):
        assert leads(page, link), link
    for link in ("no.png", "#bottom", "other.md#twice-2", "../nowhere.md"):
        assert not leads(page, link), link
