"""The notebook runs from top to bottom, on the tiny models."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.docs.examples import ROOT

NOTEBOOK = ROOT / "examples" / "first_search.ipynb"
PARAMETERS = """\
base, parents = "base", ["arithmetic", "words"]
objectives = {"words": "words.jsonl", "numbers": "numbers.jsonl"}
evaluations, run_dir = 12, "runs/notebook"
"""


@pytest.mark.filterwarnings("default")  # what jupyter itself warns of
def test_the_notebook_runs_from_top_to_bottom(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import nbformat
    from nbclient import NotebookClient

    notebook = nbformat.read(NOTEBOOK, as_version=4)
    (parameters,) = [cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", ())]
    parameters.source = PARAMETERS
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]))
    monkeypatch.setenv("IPYTHONDIR", str(folder / ".ipython"))
    NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(folder)}}).execute()
    shown = {kind for cell in notebook.cells for output in cell.get("outputs", ()) for kind in output.get("data", ())}
    assert "text/html" in shown
    assert (folder / "my-merge" / "config.json").is_file()


def test_the_notebook_is_kept_without_outputs_in_ten_cells() -> None:
    import nbformat

    notebook = nbformat.read(NOTEBOOK, as_version=4)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert len(code) == 10
    assert not [cell for cell in code if cell.outputs or cell.execution_count]
