"""The page of recipes says of each what `configs/` says of it."""

import re

from blocks import REPOSITORY, read_blocks

from mmer_tf.recipe import list_models

PAGE = REPOSITORY / "docs" / "recipes.md"

ROW = re.compile(r"(?m)^\| `(\w+)` \| ([^|]+) \| ([^|]+) \| [^|]+ \|$")


def test_every_recipe_stands_there_as_it_is():
    rows = ROW.findall(PAGE.read_text(encoding="utf-8"))
    assert {name: (summary, published) for name, summary, published in rows} == list_models()
    assert len(rows) == len(list_models())


def test_every_recipe_has_its_command():
    blocks = read_blocks(PAGE.read_text(encoding="utf-8"), "docs/recipes.md")
    commands = "\n".join(block.text for block in blocks if block.language == "bash")
    trained = set(re.findall(r"mmer_tf\.train --model (\w+)", commands))
    assert trained == set(list_models())
