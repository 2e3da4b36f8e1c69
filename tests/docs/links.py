"""Where the links and pictures of a page lead."""

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from blocks import MARKDOWN


def links_of(page: Path) -> Iterator[str]:
    """Where links and pictures of a page point to."""
    for token in MARKDOWN.parse(page.read_text(encoding="utf-8")):
        for child in token.children or ():
            if child.type in ("link_open", "image"):
                yield str(child.attrs.get("href") or child.attrs.get("src"))


def leads(page: Path, link: str) -> bool:
    """Whether a link inside the repository points to something; others are not followed."""
    if re.match(r"\w+:", link):
        return True
    path, _, anchor = link.partition("#")
    target = (page.parent / path) if path else page
    if not target.exists():
        return False
    return not anchor or target.suffix != ".md" or anchor in anchors_of(target)


def anchors_of(page: Path) -> set[str]:
    """What GitHub calls the headings of a page."""
    tokens = MARKDOWN.parse(page.read_text(encoding="utf-8"))
    titles = [tokens[at + 1] for at, one in enumerate(tokens) if one.type == "heading_open"]
    found: Counter[str] = Counter()
    anchors = set()
    for title in titles:
        text = "".join(child.content for child in title.children or ())
        name = re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-")
        anchors.add(f"{name}-{found[name]}" if found[name] else name)
        found[name] += 1
    return anchors
