"""A device's own price, as its properties list it, and the table's: the run counts on the higher one, and says so."""

import pytest
from braket_service.client import SV1
from paid_runs import QUICK, run, sets, write_experiment

from qdeq.billing.ledger import Ledger

TABLE = 0.075
"""What the package's table has for a minute of SV1 [USD]."""


@pytest.fixture
def experiment(tmp_path, braket_env, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return write_experiment(tmp_path)


def small(**changes):
    return sets(backend=QUICK, solver__fixed_steps=1, training__epochs=1, **changes)


def spent(tmp_path):
    book = Ledger(tmp_path / "run" / "ledger.sqlite")
    totals, reserved = book.totals(), {entry.reserved for entry in book.entries()}
    book.close()
    return totals, reserved


def test_a_device_that_asks_for_more_than_the_table_says_is_reserved_and_settled_at_its_own_price(
    experiment, tmp_path, braket_env
):
    braket_env.set_cost(SV1, 2 * TABLE, "minute")
    told = " ".join(run("train", experiment, "--out", "run", *small(budget__max_usd=20)).stdout.split())
    assert "SV1: it lists $0.15 per minute, and the table of 2025 has $0.075: the higher one is counted on" in told
    (totals, reserved), bill = spent(tmp_path), braket_env.bill()
    assert totals.cost == round(bill["usd"] * 1e9)
    assert reserved == {15_000_000}  # twice the three seconds that are billed at least
    assert f"{bill['tasks']} tasks (${bill['usd']:.5f}".rstrip("0") in told  # the estimate that is shown is at it, too


def test_a_budget_that_the_device_s_own_price_passes_is_refused_before_there_is_a_folder(
    experiment, tmp_path, braket_env
):
    run("train", experiment, "--out", "run", *small(budget__max_usd=1.5), "-q")
    cost = spent(tmp_path)[0].cost / 1e9
    braket_env.reset()
    braket_env.set_cost(SV1, 2 * TABLE, "minute")
    options = small(budget__max_usd=1.5 * cost)
    told = run("train", experiment, "--out", "dearer", *options, code=2).stderr
    assert "budget.max_usd is too small" in told
    assert not (tmp_path / "dearer").exists()
    assert braket_env.tasks() == []


def test_a_device_that_asks_for_less_is_counted_at_the_table_s_price(experiment, tmp_path, braket_env):
    braket_env.set_cost(SV1, TABLE / 3, "minute")
    told = " ".join(run("train", experiment, "--out", "run", *small(budget__max_usd=20)).stdout.split())
    assert "SV1: it lists $0.025 per minute, and the table of 2025 has $0.075: the higher one is counted on" in told
    assert spent(tmp_path)[0].cost == pytest.approx(3 * braket_env.bill()["usd"] * 1e9)


def test_the_user_s_price_is_counted_on_and_the_device_s_is_told(experiment, tmp_path, braket_env):
    prices = {"braket-sv1": {"per_minute": 0.03, "minimum_seconds": 3}}
    told = run("train", experiment, "--out", "run", *small(budget={"max_usd": 20, "prices": prices})).stdout
    assert "SV1: it lists $0.075 per minute, and budget.prices has $0.03, which is counted on" in " ".join(told.split())
    assert spent(tmp_path)[0].cost == pytest.approx(braket_env.bill()["usd"] * 1e9 * 0.03 / TABLE)
