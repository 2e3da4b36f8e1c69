"""A folder as a user has one: a prepared data set, recipes, and runs that tests share."""

import subprocess
from pathlib import Path

import pytest
from workplace import (
    BOTH,
    FIGURES,
    OVERRIDES,
    command_of_a_stranger,
    train_shared,
    write_recipe,
    write_tones,
)


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder, with `data/tones`, and two halves of the tiny `gmu` as recipes of their own."""
    folder = tmp_path_factory.mktemp("workplace")
    write_tones(folder / "data" / "tones")
    write_recipe(folder / "voice.yaml", "voice", text=None, fusion=None)
    write_recipe(folder / "words.yaml", "words", speech=None, fusion=None)
    return folder


@pytest.fixture
def workplace(shared: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The shared folder, as the one that commands are started in."""
    monkeypatch.chdir(shared)
    return shared


@pytest.fixture
def own_runs(tmp_path: Path) -> Path:
    """A folder for runs that no other test sees."""
    return tmp_path / "runs"


@pytest.fixture(scope="session")
def stranger(shared: Path) -> subprocess.CompletedProcess[str]:
    """A training of voice and words in a process of its own, with what it printed."""
    arguments = (*BOTH, "--data", "data/tones", "--run", "both", *FIGURES, *OVERRIDES)
    return command_of_a_stranger("train", *arguments, cwd=shared)


@pytest.fixture(scope="session")
def both_run(shared: Path, stranger: subprocess.CompletedProcess[str]) -> Path:
    """Voice and words; tests speaker a, validates on b."""
    assert stranger.returncode == 0, stranger.stderr
    return shared / "saved_models" / "both"


@pytest.fixture(scope="session")
def voice_run(shared: Path) -> Path:
    """The voice alone; tests speaker b."""
    return train_shared(shared, "voice.yaml", "--folds", "1")


@pytest.fixture(scope="session")
def words_run(shared: Path) -> Path:
    """The words alone; tests speaker a."""
    return train_shared(shared, "words.yaml")


@pytest.fixture(scope="session")
def other_data(shared: Path) -> Path:
    """Other utterances of the same classes."""

    def change(row: dict) -> None:
        row.update(id=f"other-{row['id']}", number=row["number"] + 50)

    return write_tones(shared / "data" / "other", change=change)
