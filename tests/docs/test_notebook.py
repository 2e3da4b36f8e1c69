"""The notebook runs from top to bottom, and holds what it printed when it did."""

import os
from pathlib import Path

import nbformat
import pytest
from blocks import REPOSITORY

NOTEBOOK = REPOSITORY / "docs" / "quickstart.ipynb"

LARGEST = 300_000
"""Bytes; pictures are small, and no progress bar is kept."""


def code_cells(notebook) -> list:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def said(cells: list) -> str:
    return "".join(o.get("text", "") for cell in cells for o in cell.outputs)


def test_it_is_kept_with_its_outputs():
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbformat.validate(notebook)
    cells = code_cells(notebook)
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    outputs = [output for cell in cells for output in cell.outputs]
    assert not [output for output in outputs if output.output_type == "error"]
    assert sum("image/png" in output.get("data", {}) for output in outputs) >= 3
    assert "\x1b" not in said(cells), "a progress bar of a terminal"
    assert str(Path.home()) not in said(cells) and "/tmp/" not in said(cells)
    assert NOTEBOOK.stat().st_size < LARGEST


@pytest.mark.slow
def test_it_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    from nbclient import NotebookClient

    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(REPOSITORY), str(tmp_path)]))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    kept = code_cells(nbformat.read(NOTEBOOK, as_version=4))
    NotebookClient(notebook, timeout=1200, kernel_name="python3").execute(cwd=str(tmp_path))
    cells = code_cells(notebook)
    assert [o.output_type for cell in cells for o in cell.outputs].count("display_data") >= 2
    for line in ("1000 utterances, 4 classes, 10 speakers", "audit: clean", "same label 100.0%"):
        assert line in said(kept) and line in said(cells)
