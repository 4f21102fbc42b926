"""The notebook for Colab: its cells run from top to bottom, except the one that installs."""

import json
import re

import pytest
from helpers import ENVIRONMENT, ROOT

NOTEBOOK = ROOT / "examples/colab.ipynb"


def test_the_notebook_is_kept_without_its_results():
    cells = [cell for cell in json.loads(NOTEBOOK.read_text())["cells"] if cell["cell_type"] == "code"]
    assert not any(cell["outputs"] or cell["execution_count"] for cell in cells)
    installs = [
        cell for cell in cells if re.search(r"^[!%]\w+ (clone|install)", "".join(cell["source"]), re.M)
    ]
    assert [cell["metadata"] for cell in installs] == [{"tags": ["install"]}]


@pytest.mark.slow
def test_the_cells_run_in_their_order(tmp_path, monkeypatch):
    nbformat, nbclient = pytest.importorskip("nbformat"), pytest.importorskip("nbclient")
    pytest.importorskip("ipykernel")
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    notebook.cells = [cell for cell in notebook.cells if "install" not in cell.metadata.get("tags", [])]
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    monkeypatch.setenv("PYTHONPATH", ENVIRONMENT["PYTHONPATH"])
    nbclient.NotebookClient(notebook, resources={"metadata": {"path": tmp_path}}, timeout=None).execute()
    sheet, sample, hinted = [
        output.data["image/png" if "image/png" in output.data else "image/jpeg"]
        for cell in notebook.cells
        for output in cell.get("outputs", [])
        if output.output_type == "execute_result"
    ]
    assert sample != hinted
    assert sheet
    assert (tmp_path / "drawn/hinted_roof.jpg").stat().st_size > 1000
