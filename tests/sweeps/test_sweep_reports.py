"""The table in all its forms shows the figures of the cells, and what they say together."""

import csv
import io
import json

import pytest
from rich.console import Console
from sweep_files import finish, tiny_sweep

from qdeq.reports.plots.sweeps import draw_sweep
from qdeq.reports.sweeps import headline, sweep_csv, sweep_markdown, sweep_table
from qdeq.sweeps import SweepFolder, SweepResult
from qdeq.sweeps.figures import FIGURES, figure, title
from qdeq.training import RunSummary

ACCURACY = {"implicit": [0.90, 0.94, 0.98], "direct-1": [0.91, 0.93, 0.95]}
# Mean 94, deviation 4 and mean 93, deviation 2; differences -1, 1, 3: mean 1, deviation 2. Student's t for 2 degrees
# of freedom at 97.5 % is 4.302653, so the half-widths are 9.937, 4.968 and 4.968.


@pytest.fixture
def result(tmp_path):
    sweep = tiny_sweep(
        seeds=[0, 1, 2],
        compare=[["implicit", "direct-1"]],
        metrics=["test.accuracy", "seconds", "test.converged", "memory.process_mib"],
    )
    folder = SweepFolder(tmp_path)
    for cell in sweep.cells:
        finish(folder, cell, accuracy=ACCURACY[cell.variant][cell.seed], converged=None if "d" in cell.variant else 1.0)
    return SweepResult.collect(sweep, folder)


def test_markdown(result):
    text = sweep_markdown(result)
    assert "| implicit | 3 | 94.00 | 4.00 | 84.06 to 103.94 |" in text
    assert "| direct-1 | 3 | 93.00 | 2.00 | 88.03 to 97.97 |" in text
    assert "| implicit − direct-1 | 3 | +1.00 | 2.00 | -3.97 to +5.97 |" in text
    assert "## test accuracy [%]" in text
    assert "## seconds [s]" in text


def test_csv_has_all_digits_and_nothing_where_there_is_nothing(result):
    rows = list(csv.DictReader(io.StringIO(sweep_csv(result))))
    assert [row["metric"] for row in rows] == [m for m in result.sweep.spec.metrics for _ in range(3)]
    first, _, difference = rows[:3]
    assert float(first["mean"]) == pytest.approx(0.94, rel=1e-15)
    assert float(first["high_95"]) - float(first["mean"]) == pytest.approx(4.302652729 * 0.04 / 3**0.5, rel=1e-9)
    assert (difference["variant"], difference["less"], difference["seeds"]) == ("implicit", "direct-1", "3")
    missing = [row for row in rows if row["metric"] == "test.converged"][1]
    assert (missing["variant"], missing["seeds"], missing["mean"], missing["high_95"]) == ("direct-1", "0", "", "")


def test_json(result):
    data = json.loads(result.to_json())
    assert data["variants"][0]["figures"]["test.accuracy"]["deviation"] == pytest.approx(0.04)
    assert data["variants"][1]["figures"]["test.converged"] is None
    assert data["differences"][0]["figures"]["test.accuracy"]["mean"] == pytest.approx(0.01)
    assert (data["differences"][0]["first"], data["differences"][0]["second"]) == ("implicit", "direct-1")
    assert [cell["figures"]["test.accuracy"] for cell in data["cells"][:2]] == [0.90, 0.91]
    assert [json.loads(line) for line in result.cell_lines().splitlines()] == data["cells"]


def test_terminal(result):
    console = Console(width=100, record=True, file=io.StringIO())
    console.print(sweep_table(result), highlight=False)
    text = console.export_text()
    assert "test accuracy [%]" in text
    assert "84.06 to 103.94" in text
    assert headline(result) == "tiny-sweep: 6 of 6 cells finished"


def test_picture_has_every_seed_every_mean_and_the_differences(result):
    figure_ = draw_sweep(result)
    panels = [axes for axes in figure_.axes if axes.get_visible()]
    assert [axes.get_title(loc="left") for axes in panels[:3]] == [
        "test accuracy [%]",
        "seconds [s]",
        "test converged [%]",
    ]
    lines = [line.get_xdata() for line in panels[0].lines]
    assert lines[0] == pytest.approx([90, 94, 98])
    assert lines[1] == pytest.approx([94])
    assert lines[2] == pytest.approx([84.063, 103.937], abs=1e-3)
    assert [label.get_text() for label in panels[0].get_yticklabels()] == ["implicit", "direct-1"]
    differences = next(axes for axes in panels if axes.get_title(loc="left") == "paired differences")
    assert differences.lines[1].get_xdata() == pytest.approx([-1, 1, 3])
    figure_.savefig(io.BytesIO(), format="png")


def test_a_cell_that_is_missing_leaves_its_seed_out_and_is_told(result):
    (result.folder.run(result.cells[0].cell) / "summary.json").unlink()
    fewer = SweepResult.collect(result.sweep, result.folder)
    assert fewer.of("implicit", "test.accuracy").n == 2
    assert fewer.difference(("implicit", "direct-1"), "test.accuracy").n == 2
    assert fewer.of("direct-1", "test.accuracy").n == 3
    assert "Cells that are not finished: 1." in sweep_markdown(fewer)
    assert not fewer.complete


def test_nothing_finished_at_all(result):
    for cell in result.cells:
        (result.folder.run(cell.cell) / "summary.json").unlink()
    nothing = SweepResult.collect(result.sweep, result.folder)
    assert "| implicit | 0 | - | - | - |" in sweep_markdown(nothing)
    draw_sweep(nothing).savefig(io.BytesIO(), format="png")


def test_every_figure_can_be_read_from_a_summary(result):
    summary = result.cells[0].summary
    assert isinstance(summary, RunSummary)
    values = {name: figure(summary, name) for name in FIGURES if name != "memory.device_mib"}
    assert {type(value) for value in values.values()} == {float, type(None)}
    assert values["memory.process_mib"] == 300.0
    assert values["test.failed"] == 0.0
    assert figure(summary, "memory.device_mib") is None
    assert title("memory.process_mib") == "memory of the process [MiB]"
