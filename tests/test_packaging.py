"""What the packaging files promise."""

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
COMMANDS = ("train", "evaluate", "predict", "prepare", "audit", "export", "serve", "demo")


def test_every_package_on_disk_is_packaged():
    on_disk = {
        ".".join(file.parent.relative_to(ROOT).parts)
        for file in (ROOT / "mmer_tf").rglob("__init__.py")
    }
    assert set(PROJECT["tool"]["setuptools"]["packages"]) == on_disk | {"mmer_tf.configs"}


def test_every_dependency_is_pinned():
    pinned = {
        line.split("==")[0].lower().replace("_", "-")
        for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
        if "==" in line
    }
    extras = PROJECT["project"]["optional-dependencies"].values()
    wanted = [*PROJECT["project"]["dependencies"], *(name for extra in extras for name in extra)]
    names = {name.split(">")[0].split("[")[0].lower() for name in wanted} - {"mmer-tf"}
    assert names <= pinned


@pytest.mark.parametrize("command", COMMANDS)
def test_help_needs_no_tensorflow(command):
    code = (
        "import sys, runpy\n"
        f"sys.argv = ['{command}', '--help']\n"
        "try: runpy.run_module('mmer_tf.%s', run_name='__main__')\n"
        "except SystemExit as stop: assert stop.code == 0\n"
        "heavy = {'tensorflow', 'keras', 'sklearn', 'librosa', 'transformers', 'gradio'}\n"
        "heavy &= set(sys.modules)\n"
        "assert not heavy, heavy\n"
    ) % command
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    assert "usage: python -m mmer_tf." in done.stdout
