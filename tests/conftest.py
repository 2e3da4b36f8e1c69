"""Fixtures shared by all tests: real recordings, where they lie beside the project."""

import os
import resource
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]
CORPORA = Path(os.environ.get("MMER_TF_CORPORA", REPOSITORY.parent / "shared" / "corpora"))


def _corpus(name: str) -> Path:
    folder = CORPORA / name
    if not folder.is_dir():
        pytest.skip(f"no {name} recordings in {CORPORA} (set MMER_TF_CORPORA)")
    return folder


@pytest.fixture(scope="session")
def emodb_root() -> Path:
    return _corpus("EmoDB")


@pytest.fixture(scope="session")
def ravdess_root() -> Path:
    return _corpus("RAVDESS")


@pytest.fixture(scope="session")
def goemotions_root() -> Path:
    return _corpus("GoEmotions")


@pytest.fixture(scope="session")
def real_clips(emodb_root: Path) -> list[Path]:
    """Eight EmoDB clips (16 kHz, mono, 16 bit) spread over speakers and emotions."""
    return sorted((emodb_root / "wav").glob("*.wav"))[::45]


@pytest.fixture
def room_for() -> Callable[[int], AbstractContextManager[None]]:
    """The system refuses to let a file grow beyond so many bytes, as a full disk would."""

    @contextmanager
    def limited(size: int) -> Iterator[None]:
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    return limited
