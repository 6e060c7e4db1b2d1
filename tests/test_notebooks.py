"""The notebooks of the docs run, in a real kernel and cell by cell."""

import json
from pathlib import Path

import pytest
from execute_notebooks import FOLDER, execute, list_notebooks


def test_there_are_the_notebooks_that_the_docs_name() -> None:
    page = (FOLDER.parent / "notebook.md").read_text(encoding="utf-8")
    assert len(list_notebooks()) >= 3
    assert [] == [path.name for path in list_notebooks() if f"notebooks/{path.name}" not in page]


@pytest.mark.usefixtures("inline_workers")
def test_the_cells_of_the_first_notebook_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    cells = json.loads((FOLDER / "first_search.ipynb").read_text(encoding="utf-8"))["cells"]
    scope: dict[str, object] = {"__name__": "__main__"}
    for cell in cells:
        if cell["cell_type"] == "code":
            exec(compile("".join(cell["source"]), "first_search.ipynb", "exec"), scope)
    assert {"Barolo"} == set(scope["result"].predict(scope["table"].head(1)))


@pytest.mark.long
@pytest.mark.parametrize("path", list_notebooks(), ids=lambda path: path.stem)
def test_a_notebook_runs_in_a_kernel(path: Path, tmp_path: Path) -> None:
    pytest.importorskip("nbclient", reason="nbclient is not installed")
    shown = execute(path, tmp_path)
    outputs = [output for cell in shown.cells for output in cell.get("outputs", [])]
    assert "text/html" in str(outputs) or "pipeline" == path.stem
