"""A small exported model, loaded once, and a server for it."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from prediction_service import prediction_service
from serving import Served, serving
from small_bundle import SPEECH, TEXT, make_bundle

from mmer_tf.bundle import Bundle
from mmer_tf.deploy.saved_model import export_saved_model
from mmer_tf.deploy.server.loaded_model import LoadedModel
from mmer_tf.deploy.transports import retry as retry_module


@pytest.fixture(scope="session")
def small_bundle() -> Bundle:
    return make_bundle(speech=SPEECH, text=TEXT, fusion="gmu")


@pytest.fixture(scope="session")
def versions(small_bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of versions, of which the third is the only one."""
    folder = tmp_path_factory.mktemp("served") / "emotion"
    export_saved_model(small_bundle, folder, version=3)
    return folder


@pytest.fixture(scope="session")
def loaded(versions: Path) -> LoadedModel:
    return LoadedModel(versions)


@pytest.fixture(scope="session")
def server(loaded: LoadedModel) -> Iterator[Served]:
    with serving(loaded) as served:
        yield served


@pytest.fixture(scope="session")
def service(loaded: LoadedModel) -> Iterator:
    with prediction_service(loaded) as (address, one):
        yield address, one


@pytest.fixture(params=["REST", "gRPC"])
def address(request: pytest.FixtureRequest) -> str:
    if request.param == "REST":
        return request.getfixturevalue("server").address
    return request.getfixturevalue("service")[0]


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """How long the client waited between its attempts; it does not really wait."""
    waited: list[float] = []
    monkeypatch.setattr(retry_module.time, "sleep", waited.append)
    return waited
