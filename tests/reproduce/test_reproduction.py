"""A table's figures in all their forms, from cells whose figures are known; and the classical row."""

import csv
import io
import json
from dataclasses import replace

import pytest
from reproduce_files import ON_DIGITS, documented_keys, finish
from rich.console import Console
from sklearn.linear_model import LogisticRegression

from qdeq.builders import build_data
from qdeq.reports.plots.reproduction import draw_reproduction
from qdeq.reports.reproduction import reproduction_csv, reproduction_markdown, reproduction_table
from qdeq.reproduce import load_table, reproduce
from qdeq.reproduce.classical import fit_classical
from qdeq.sweeps import SweepFolder

ACCURACY = {"IMPLICIT": [0.90, 0.94, 0.98], "DIRECT 5": [0.91, 0.93, 0.95]}
# Mean 94, deviation 4; differences to DIRECT 5 -1, 1, 3: mean 1, deviation 2. Student's t of 2 degrees of freedom is
# 4.302653, so the half-widths are 9.937 and 4.968.
TABLE = load_table("mnist4-amplitude")


@pytest.fixture
def found(tmp_path):
    sweep = TABLE.sweep(seeds=3, epochs=1, changes=ON_DIGITS, train_images=60)
    folder = SweepFolder(tmp_path)
    folder.create(sweep)
    for cell in sweep.cells:
        finish(folder, cell, accuracy=ACCURACY.get(cell.variant, [0.9] * 3)[cell.seed])
    return reproduce(TABLE, tmp_path, seeds=3, epochs=1, changes=ON_DIGITS)


def test_rows_and_differences(found):
    names = [line.name for line in found.lines]
    assert names == ["IMPLICIT", "IMPLICIT+WARMUP", *(f"DIRECT {k}" for k in (1, 2, 5, 10)), "logistic regression"]
    assert found.lines[0]["accuracy"].mean == pytest.approx(0.94)
    assert found.lines[0]["accuracy"].deviation == pytest.approx(0.04)
    to_direct_5 = next(each for each in found.differences if each.second == "DIRECT 5").accuracy
    assert (to_direct_5.mean, to_direct_5.high - to_direct_5.mean) == pytest.approx((0.01, 0.04968274), rel=1e-6)
    classical = found.differences[-1]
    assert classical.second == "logistic regression"
    assert classical.accuracy.mean == pytest.approx(0.94 - found.classical.test_accuracy)
    asked = {line.name: line.costs.step_circuits for line in found.lines[:-1]}
    assert asked["DIRECT 1"] < asked["IMPLICIT"] < asked["DIRECT 2"] < asked["DIRECT 5"] < asked["DIRECT 10"]


def test_a_run_that_is_missing_is_named(found):
    lost = found.result.cells[1]
    cells = tuple(replace(cell, state="failed", summary=None) if cell is lost else cell for cell in found.result.cells)
    short = replace(found, result=replace(found.result, cells=cells))
    assert any("1 of 18 runs are missing: IMPLICIT+WARMUP, seed 0." in note for note in short.notes)
    assert short.lines[1]["accuracy"].n == 2


def test_markdown_has_the_figures_the_claims_and_what_was_changed(found):
    text = reproduction_markdown(found)
    assert "| IMPLICIT | 3 | 94.00 ± 4.00 | 84.06 to 103.94 | 90.00 ± 0.00 |" in text
    assert "| IMPLICIT − DIRECT 5 | 3 | +1.00 | -3.97 to +5.97 |" in text
    assert "competitive with, or better than, the same circuit applied 5 times" in text
    assert "IMPLICIT 92.0 %" in text
    assert "seed 1111 alone" in text
    assert "NOT the whole data set, which has 19,136 training images" in text
    assert "Changed: data.limit is 60 in every row." in text
    assert "Changed: 3 seeds in place of 5." in text
    assert "has not" not in text  # only the reference mode has to say that


def test_csv_and_json_have_all_digits(found):
    rows = {
        (row["figure"], row["row"], row["less"]): row for row in csv.DictReader(io.StringIO(reproduction_csv(found)))
    }
    assert float(rows["accuracy", "IMPLICIT", ""]["high_95"]) - 0.94 == pytest.approx(0.09936548, rel=1e-6)
    assert float(rows["accuracy", "IMPLICIT", "DIRECT 5"]["mean"]) == pytest.approx(0.01)
    assert float(rows["depth", "DIRECT 5", ""]["mean"]) == found.lines[4].costs.depth
    data = json.loads(found.to_json())
    assert data["rows"][0]["figures"]["accuracy"]["mean"] == pytest.approx(0.94)
    assert data["rows"][-1]["costs"] is None
    assert data["data"]["train_images"] == 60
    assert data["mode"] == "corrected"
    assert data["not_reproduced"] == []
    assert documented_keys("qdeq reproduce") == list(data)


def test_terminal_and_picture(found):
    console = Console(width=100, record=True, file=io.StringIO())
    console.print(reproduction_table(found), highlight=False)
    text = console.export_text()
    assert "84.06 to 103.94" in text
    assert "…" not in text  # no heading is cut
    panels = draw_reproduction(found).axes
    assert len(panels) == 2
    assert [label.get_text() for label in panels[0].get_yticklabels()] == [line.name for line in found.lines]
    means = [line for line in panels[1].lines if line.get_marker() == "D"]
    assert [float(mark.get_xdata()[0]) for mark in means] == pytest.approx(
        [100 * each.accuracy.mean for each in found.differences]
    )


def test_the_classical_row_is_scikit_learns_on_the_same_splits(found):
    splits = build_data(TABLE.data_spec("corrected", ON_DIGITS))
    assert len(splits.train.labels) == 60
    model = LogisticRegression(max_iter=1000).fit(splits.train.features.numpy(), splits.train.labels.numpy())
    fit = fit_classical(splits)
    assert fit.test_accuracy == (model.predict(splits.test.features.numpy()) == splits.test.labels.numpy()).mean()
    assert fit.test_accuracy == found.classical.test_accuracy
    assert fit.parameters == 4 * 17
    assert fit.converged
