"""The configuration format: errors with paths, overrides, round trip, shipped recipes."""

from pathlib import Path

import pytest

from mmer_tf.recipe import (
    RecipeError,
    fingerprint,
    load_recipe,
    recipe_from_mapping,
    save_recipe,
    shipped_recipes,
)
from mmer_tf.registry import UnknownNameError

GMU = shipped_recipes()["gmu"]


@pytest.mark.parametrize("name", shipped_recipes())
def test_every_shipped_recipe_loads_and_comes_back(name, tmp_path):
    for tiny in (False, True):
        recipe = load_recipe(shipped_recipes()[name], tiny=tiny)
        assert recipe.name == name
        save_recipe(recipe, tmp_path / "recipe.yaml")
        assert load_recipe(tmp_path / "recipe.yaml") == recipe


@pytest.mark.parametrize("name", shipped_recipes())
def test_every_shipped_recipe_opens_with_its_command(name):
    header = shipped_recipes()[name].read_text(encoding="utf-8").split("\nname:")[0]
    assert f"python -m mmer_tf.train --model {name}" in header


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("train.epoch=3", "train.epoch"),
        ("train.epochs=many", "train.epochs"),
        ("train.epochs=0", "train.epochs"),
        ("speech.feature=loudness", "speech.feature"),
        ("fusion=null", "need a `fusion`"),
        ("text=null", "needs both `speech` and `text`"),
        ("train.epochs", "field=value"),
        ("train.epochs=[", "not a YAML value"),
        ("name.first=3", "holds a value"),
    ],
)
def test_wrong_override_is_named_with_its_path(override, message):
    with pytest.raises(RecipeError, match=message):
        load_recipe(GMU, [override])


def test_overrides_apply_in_order_and_numbers_may_be_written_as_yaml_strings():
    recipe = load_recipe(GMU, ["train.epochs=3", "train.epochs=5", "train.learning_rate=1e-4"])
    assert recipe.train.epochs == 5
    assert recipe.train.learning_rate == pytest.approx(1e-4)
    assert load_recipe(GMU, ["speech.options.units=7"]).speech.options["units"] == 7


def test_tiny_shrinks_and_overrides_are_stronger():
    assert load_recipe(GMU, tiny=True).speech.options["units"] == 4
    assert load_recipe(GMU, ["speech.options.units=9"], tiny=True).speech.options["units"] == 9


def test_fingerprint_tells_recipes_apart():
    assert fingerprint(load_recipe(GMU)) == fingerprint(load_recipe(GMU, ["train.batch_size=16"]))
    assert fingerprint(load_recipe(GMU)) != fingerprint(load_recipe(GMU, ["train.batch_size=15"]))


@pytest.mark.parametrize("content", ["[1, 2]", "a: [", "\xff"])
def test_broken_file_is_named(content, tmp_path):
    file = tmp_path / "broken.yaml"
    file.write_bytes(content.encode("latin-1"))
    with pytest.raises(RecipeError, match=r"broken\.yaml"):
        load_recipe(file)


def test_recipe_without_any_modality_is_refused():
    with pytest.raises(RecipeError, match="`speech`, `text` or both"):
        recipe_from_mapping({"name": "x", "summary": ""})


def test_unknown_recipe_is_answered_with_the_known_ones():
    with pytest.raises(UnknownNameError, match=r"did you mean 'gmu'\? Known: .*gmu"):
        shipped_recipes()["gmuu"]


def test_configs_hold_nothing_but_recipes():
    assert isinstance(GMU, Path)
    assert {file.suffix for file in GMU.parent.iterdir() if file.is_file()} <= {".yaml", ".py"}
