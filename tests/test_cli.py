"""What every command shares."""

from pathlib import Path

import pytest

from mmer_tf import cli
from mmer_tf.recipe import RecipeError
from mmer_tf.registry import UnknownNameError


@pytest.fixture
def parser():
    return cli.make_parser("demo", "A command.")


def raiser(error):
    def main(args):
        raise error

    return main


@pytest.mark.parametrize(
    "error",
    [
        RecipeError("x.yaml: train.epoch: unknown"),
        UnknownNameError("unknown recipe 'x'. Known: gmu."),
        FileNotFoundError(2, "No such file or directory", "there.wav"),
    ],
)
def test_user_error_is_one_sentence_and_exit_code_2(parser, error, capsys):
    assert cli.run(raiser(error), parser, []) == 2
    printed = capsys.readouterr().err
    assert printed == f"error: {error}\n"
    with pytest.raises(type(error)):
        cli.run(raiser(error), parser, ["--verbose"])


def test_defect_keeps_its_trace(parser):
    with pytest.raises(ValueError, match="ours"):
        cli.run(raiser(ValueError("ours")), parser, [])


def test_interruption_has_its_own_exit_code(parser, capsys):
    assert cli.run(raiser(KeyboardInterrupt()), parser, []) == 130


def test_recipe_is_named_or_a_file(tmp_path):
    assert cli.recipe_file(None, None) == cli.recipe_file("gmu", None)
    file = tmp_path / "mine.yaml"
    with pytest.raises(RecipeError, match="no such recipe file"):
        cli.recipe_file(None, file)
    file.touch()
    assert cli.recipe_file(None, file) == file


def test_run_is_a_folder_or_a_name_below_the_runs(tmp_path):
    assert cli.run_folder(str(tmp_path)) == tmp_path
    assert cli.run_folder("some_run", tmp_path) == tmp_path / "some_run"
    assert Path("saved_models") == cli.RUNS
