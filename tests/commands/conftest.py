"""A folder as a user has one: a prepared data set, recipes, and runs that tests share."""

from pathlib import Path

import pytest
from workplace import train_shared, write_recipe, write_tones


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder, with `data/tones`, and three recipes of one size."""
    folder = tmp_path_factory.mktemp("workplace")
    write_tones(folder / "data" / "tones")
    write_recipe(folder / "both.yaml", "both")
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
def both_run(shared: Path) -> Path:
    """Voice and words; tests speaker a, validates on b."""
    return train_shared(shared, "both.yaml")


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
