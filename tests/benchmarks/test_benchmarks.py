"""The benchmark runs, checks its contenders against each other, and writes its files; nothing here asserts a time."""

import json
import math

import pytest
import torch

from benchmarks import step
from benchmarks.contenders import CONTENDERS, Unfit
from benchmarks.floor import StepCount
from benchmarks.loop import plain_equilibrium
from benchmarks.measure import Result
from benchmarks.problem import Cell, grid
from benchmarks.tables import HEADINGS, row_lines

SOLVED = 1e-9
"""The loop was asked for 1e-12; its adjoint too, on a system of condition 2."""

CELL = "4:amplitude:8:1"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    out = tmp_path_factory.mktemp("benchmark")
    names = ["qdeq", "qdeq-circuits"]
    arguments = ["--cells", CELL, "--contenders", *names, "--repetitions", "1", "--device", "cpu", "--out", str(out)]
    assert step.main(arguments) == 0
    return out


def test_writes_table_plot_and_raw_figures(folder):
    assert sorted(path.name for path in folder.iterdir()) == ["step.json", "step.md", "step.png"]
    assert CELL in (folder / "step.md").read_text()


def test_raw_figures_are_whole(folder):
    written = json.loads((folder / "step.json").read_text())
    (cell,) = written["cells"]
    compiled, circuits = cell["contenders"]
    assert written["machine"]["versions"]["torch"] == torch.__version__
    assert compiled["reason"] is None
    assert len(compiled["seconds"]) >= 1
    assert compiled["evaluations"] > 1
    assert cell["floor"]["floor_seconds"] > 0
    assert circuits["agrees"]


def test_a_contender_that_cannot_do_a_cell_says_why():
    with pytest.raises(Unfit, match="zero-padded"):
        CONTENDERS["lightning"](Cell(5, "amplitude"))


def test_what_has_no_figure_has_a_reason_in_the_table():
    (line,) = row_lines(Cell(5, "amplitude"), [Result("lightning", reason="too slow")])
    assert line.endswith("| no figure: too slow |")
    assert line.count("|") == len(HEADINGS) + 1


def test_a_target_is_reported_as_met_or_not():
    results = [Result("reference", seconds=[1.0]), Result("qdeq", seconds=[0.1])]
    _, ours = row_lines(Cell(10, "amplitude"), results)
    assert "target 0.12: met; stretch 0.08: not met" in ours


@pytest.mark.parametrize("text", ["4", "4:phase", "3:amplitude", "4:amplitude:0", "a:amplitude", "4:angle:1:1:1"])
def test_a_bad_cell_is_refused_before_any_work(text, capsys):
    with pytest.raises(SystemExit):
        step.main(["--cells", text])
    assert "error" in capsys.readouterr().err


def test_grids():
    assert [cell.name for cell in grid("quick")] == [
        "4:amplitude:256:1",
        "4:angle:256:1",
        "10:amplitude:256:1",
        "10:angle:256:1",
    ]
    assert len(grid("full")) == 11 * 2 * 3 * 3
    assert {Cell.parse(cell.name) for cell in grid("default")} < set(grid("full"))


def test_plain_loop_has_the_implicit_gradient():
    # y = w y / 2 + x has y* = x / (1 - w/2) and dy*/dw = x / 2 / (1 - w/2)^2
    w = torch.tensor(0.8, dtype=torch.float64, requires_grad=True)
    x = torch.tensor([[1.0, 2.0], [3.0, -1.0]], dtype=torch.float64)
    found = plain_equilibrium(lambda y, x: w * y / 2 + x, torch.zeros_like(x), x, rtol=1e-12)
    found.value.sum().backward()
    assert torch.allclose(found.value, x / 0.6, rtol=SOLVED)
    assert math.isclose(w.grad.item(), x.sum().item() / 2 / 0.36, rel_tol=SOLVED)
    assert found.failed == 0


def test_counts_products_and_leaves_out_views():
    a, b = torch.ones(3, 4), torch.ones(4, 5, dtype=torch.float32)
    with StepCount() as count:
        (a @ b).T.reshape(-1, 3)
        a.to(torch.complex64) @ b.to(torch.complex64)
    assert count.flops == 2 * 3 * 4 * 5 + 8 * 3 * 4 * 5
    assert sum(count.products.values()) == 2
