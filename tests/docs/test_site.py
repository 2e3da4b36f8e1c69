"""The documentation builds as a site, without a network and without a warning."""

import os
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest
from blocks import REPOSITORY, pages

import mmer_tf

COMMANDS = ("audit", "demo", "evaluate", "export", "ladder", "predict", "prepare", "serve", "train")

NOT_IN_THE_REFERENCE = {f"mmer_tf.{name}" for name in COMMANDS} | {"mmer_tf.configs"}
"""Modules that are told otherwise: the commands by their help, the recipes by a page."""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built site."""
    folder = tmp_path_factory.mktemp("site")
    command = ["sphinx", "--fail-on-warning", "--keep-going", "--quiet", "--builder", "html"]
    nowhere = "http://127.0.0.1:9"
    done = subprocess.run(
        [sys.executable, "-m", *command, "docs", str(folder)],
        cwd=REPOSITORY,
        env=os.environ | {"http_proxy": nowhere, "https_proxy": nowhere},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return folder


@pytest.mark.slow
def test_every_page_and_every_module_is_there(site: Path):
    from sphinx.util.inventory import InventoryFile

    with (site / "objects.inv").open("rb") as file:
        inventory = InventoryFile.load(file, "", os.path.join)
    modules = {module.name for module in pkgutil.walk_packages(mmer_tf.__path__, "mmer_tf.")}
    assert set(inventory["py:module"]) >= modules - NOT_IN_THE_REFERENCE
    built = {page.relative_to(site).with_suffix("").as_posix() for page in site.rglob("*.html")}
    docs = REPOSITORY / "docs"
    wanted = {p.relative_to(docs).with_suffix("").as_posix() for p in pages() if docs in p.parents}
    assert built >= wanted | {"quickstart"}


@pytest.mark.slow
def test_generated_parts_are_filled_in(site: Path):
    help_page = (site / "api" / "commands.html").read_text(encoding="utf-8")
    for command in COMMANDS:
        assert f"usage: python -m mmer_tf.{command}" in help_page
    models = (site / "api" / "models.html").read_text(encoding="utf-8")
    assert "mmer_tf.models.api.create_model" in models
    assert "frame_stack" in models  # of a constructor that Keras hides
    assert ">Call<" in models  # the section that layers have beside Args and Raises
    everything = "".join(page.read_text(encoding="utf-8") for page in site.rglob("*.html"))
    assert "<!-- modules" not in everything and "<!-- commands" not in everything
