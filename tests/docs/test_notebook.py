"""The notebook runs without an error, and what is stored in it, and so on its page, is what comes out."""

import json

import nbclient
import nbformat
import pytest
from doc_pages import ROOT, name
from hook_module import hooks
from patience import HANG
from test_blocks import alike

pytest.importorskip("cirq")

PATHS = sorted((ROOT / "examples" / "notebooks").glob("*.ipynb"))


def text(cell):
    """Return what a cell printed."""
    outputs = cell.get("outputs", ())
    return "".join("".join(output.get("text", "")) for output in outputs)


def pictures(cell):
    return sum("image/png" in output.get("data", {}) for output in cell.get("outputs", ()))


@pytest.mark.parametrize("path", PATHS, ids=name)
def test_a_notebook_gives_what_is_stored_in_it(path, tmp_path, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path))
    stored = nbformat.read(path, as_version=4)
    again = nbformat.read(path, as_version=4)
    nbclient.NotebookClient(again, timeout=HANG, resources={"metadata": {"path": str(tmp_path)}}).execute()
    counts = [cell.execution_count for cell in stored.cells if cell.cell_type == "code"]
    assert counts == list(range(1, len(counts) + 1)), "run all cells in order before it is saved"
    for number, (before, after) in enumerate(zip(stored.cells, again.cells, strict=True)):
        assert alike(text(before), text(after)), f"cell {number} prints\n{text(after)}"
        assert pictures(before) == pictures(after)
        assert not [output for output in before.get("outputs", ()) if output.output_type == "error"]
        assert not [output for output in after.get("outputs", ()) if output.get("name") == "stderr"]


@pytest.mark.parametrize("path", PATHS, ids=name)
def test_a_notebook_has_a_page_with_all_that_it_shows(path):
    markdown = hooks().notebook(path.stem)
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    for cell in cells:
        source = "".join(cell["source"])
        assert source.removeprefix("# Bring your own circuit").strip() in markdown
        for line in text(cell).splitlines():
            assert line.rstrip() in markdown
    assert markdown.count(".png)") == sum(map(pictures, cells)) == len(hooks().pictures(path)) > 0
    assert f"<!-- notebook {path.stem} -->" in "".join(
        page.read_text(encoding="utf-8") for page in (ROOT / "docs" / "guides").glob("*.md")
    )
