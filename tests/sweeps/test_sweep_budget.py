"""Cells that cost money: refused without a budget each, or with one that cannot suffice, before anything is run."""

import numpy as np
import pytest
from sweep_files import MODES, tiny_sweep

from qdeq.errors import BudgetError, CircuitError, DataError, QdeqError
from qdeq.sweeps import SweepProgress, SweepSpec, expand, run_sweep
from qdeq.sweeps.preflight import check_cells


@pytest.fixture
def paid(tmp_path):
    """Return a sweep on SV1, 8 images and one epoch a cell; keywords are the experiment's."""
    draw = np.random.default_rng(7)
    np.savez(tmp_path / "few.npz", images=draw.random((8, 6, 6)).astype("float32"), labels=np.arange(8) % 2)

    def make(**experiment):
        base = {
            "data": {"dataset": {"name": "npz", "path": str(tmp_path / "few.npz")}},
            "model": {"qubits": 2, "encoding": "angle", "ansatz": "hardware-efficient"},
            "training": {"epochs": 1, "batch_size": 3, "precision": "float64"},
            "backend": "braket-sv1",
            **experiment,
        }
        data = {"name": "paid", "base": "base.yaml", "seeds": [0, 1], "list": {"direct": MODES["direct-1"]}}
        return expand(SweepSpec.model_validate(data), base, "sweep.yaml")

    return make


def costs(sweep):
    return check_cells(sweep.cells, "sweep.yaml")


def test_without_a_budget_the_cells_and_their_cost_are_told_and_nothing_is_written(paid, tmp_path):
    with pytest.raises(BudgetError) as caught:
        run_sweep(paid(), tmp_path / "out")
    told = str(caught.value)
    assert "sweep.yaml: direct, seed 0: backend 'braket-sv1' costs money" in told
    assert "cells that cost money: 2, $" in told
    assert not (tmp_path / "out").exists()


def test_costs_and_budgets_are_added_up(paid):
    (one,), (both,) = (
        check_cells(cells, "sweep.yaml")
        for cells in (paid(budget={"max_usd": 9}).cells[:1], paid(budget={"max_usd": 9}).cells)
    )
    assert one.startswith("cells that cost money: 1, $")
    assert one.endswith("their budgets allow $9.00")
    assert both.endswith("their budgets allow $18.00")
    dollars = [float(text.split("$")[1].split(" ")[0]) for text in (one, both)]
    assert dollars[1] == pytest.approx(2 * dollars[0], abs=0.01)  # both are told in cents


def test_a_budget_that_is_too_small_for_a_cell_names_the_cell(paid):
    with pytest.raises(
        BudgetError, match=r"sweep.yaml: direct, seed 0: budget.max_usd is too small: at least \d+ tasks"
    ):
        costs(paid(budget={"max_usd": 0.001}))


def test_cells_with_one_ledger_have_one_budget_together(paid, tmp_path):
    (told,) = costs(paid(budget={"max_usd": 9, "ledger": str(tmp_path / "all.sqlite")}))
    assert told.endswith("their budgets allow $9.00")
    tasks = int(told_tasks(paid))
    with pytest.raises(BudgetError, match=r"2 cells with one ledger: budget\.max_tasks is too small"):
        costs(paid(budget={"max_usd": 9, "max_tasks": 2 * tasks - 1, "ledger": str(tmp_path / "all.sqlite")}))
    costs(paid(budget={"max_usd": 9, "max_tasks": 2 * tasks, "ledger": str(tmp_path / "all.sqlite")}))


def told_tasks(paid):
    """Return the least number of tasks of one cell, which its refusal tells."""
    with pytest.raises(BudgetError) as caught:
        costs(paid(budget={"max_usd": 9, "max_tasks": 1}))
    return str(caught.value).partition("at least ")[2].partition(" ")[0]


def test_what_costs_nothing_needs_no_budget(paid):
    assert costs(paid(backend="torch")) == []


def test_all_variants_that_cannot_be_run_are_named(paid, tmp_path):
    sweep = tiny_sweep(
        list={"fine": {}, **{f"no-{label}": {"data.classes": [0, label]} for label in (12, 13)}}, seeds=[0, 1]
    )
    with pytest.raises(DataError) as caught:
        check_cells(sweep.cells, "sweep.yaml")
    first, second = str(caught.value).splitlines()
    assert first.startswith("sweep.yaml: no-12, seed 0: ")
    assert second.startswith("2 of 3 variants are wrong; the others: no-13, seed 0 (")


@pytest.mark.parametrize(
    ("experiment", "kind", "words"),
    [
        ({"data": {"dataset": "digits", "classes": [0, 12]}}, DataError, "direct, seed 0: .*12"),
        ({"noise": {"gates": {"all": {"depolarizing": 0.1}}}}, QdeqError, "direct, seed 0|noise"),
    ],
)
def test_what_only_data_or_backend_can_bring_to_light_names_the_cell(paid, tmp_path, experiment, kind, words):
    with pytest.raises(kind, match=words):
        run_sweep(paid(backend="torch", **experiment), tmp_path / "out", progress=SweepProgress())
    assert not (tmp_path / "out").exists()
    assert issubclass(CircuitError, QdeqError)
