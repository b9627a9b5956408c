"""A run whose ledger is gone, another one, or an older copy does not go on as if nothing had been spent."""

import shutil

import pytest
from paid_runs import QUICK, figures, run, sets, write_experiment

from qdeq.billing.ledger import Ledger
from qdeq.billing.spent import spent_in
from qdeq.training.checkpoints import load_checkpoint
from qdeq.training.folder import RunFolder

SMALL = {
    "backend": QUICK | {"execution": "circuits"},
    "training__epochs": 1,
    "budget": {"max_usd": 50, "max_tasks": 40},
}
"""Stops in its epoch, and leaves a checkpoint that knows of 40 tasks."""
MORE = sets(budget__max_tasks=10_000)


@pytest.fixture
def stopped(tmp_path, braket_env, monkeypatch):
    """A run that its budget ended, in the folder ``run``."""
    monkeypatch.chdir(tmp_path)
    run("train", write_experiment(tmp_path), "--out", "run", "-q", *sets(**SMALL), code=3)
    return tmp_path / "run" / "ledger.sqlite"


def remove(ledger):
    for file in ledger.parent.glob("ledger.sqlite*"):
        file.unlink()


def test_a_ledger_that_is_gone_is_refused_and_can_be_put_back_or_replaced(stopped, braket_env, tmp_path):
    folder = RunFolder(stopped.parent)
    said = load_checkpoint(folder.states()[-1]).state["spent"]
    book = Ledger(stopped)
    assert (said["tasks"], said["cost"]) == (book.totals().tasks, book.totals().cost)
    assert said["ledger"] == spent_in(book).ledger
    book.close()
    paid = len(braket_env.tasks())
    shutil.copy(stopped, tmp_path / "aside.sqlite")
    remove(stopped)
    for arguments in (["train", "--resume", "run", *MORE], ["eval", "run", "--checkpoint", "last"]):
        told = run(*arguments, code=2).stderr
        assert f"the run's ledger is gone, in which {paid} tasks" in told
        assert "`qdeq ledger RUN --lost`" in told
        assert not stopped.exists()
    Ledger(tmp_path / "other.sqlite").close()
    told = run("train", "--resume", "run", *MORE, *sets(budget__ledger="other.sqlite"), code=2).stderr
    assert "other.sqlite: is another ledger than the run's" in told
    assert len(braket_env.tasks()) == paid

    told = run("ledger", "run", "--lost")
    assert f"counts {paid} tasks" in told.stderr
    assert f"{paid} tasks" in told.stdout
    told = run("train", "--resume", "run", code=3).stderr  # the old budget is used up in the new ledger, too
    assert f"{paid} of 40 tasks" in told.replace("\n", " ")
    remove(stopped)
    run("train", "--resume", "run", "-q", *MORE, *sets(budget__ledger="aside.sqlite"))  # it was not lost after all
    book = Ledger(tmp_path / "aside.sqlite")
    assert len(book.entries()) == len(braket_env.tasks())
    book.close()


def test_an_older_copy_is_refused(stopped, braket_env, tmp_path):
    book = Ledger(stopped)
    whole = spent_in(book).rows
    book.file.rows("DELETE FROM executions WHERE id > 10")
    book.close()
    told = run("train", "--resume", "run", *MORE, code=2).stderr
    assert f"an older copy of the run's ledger: it has 10 of {whole} tasks" in told
    assert len(braket_env.tasks()) == whole


def test_a_run_goes_on_with_its_own_ledger_wherever_it_lies(stopped, braket_env, tmp_path):
    run("train", "--resume", "run", "-q", *MORE)
    tasks = braket_env.tasks()
    assert len({task["action"] for task in tasks}) == len(tasks)
    assert figures(tmp_path / "run")


def test_a_run_that_costs_nothing_knows_of_no_ledger(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run("train", write_experiment(tmp_path), "--out", "free", "-q", *sets(training__epochs=1))
    assert load_checkpoint(RunFolder(tmp_path / "free").states()[-1]).state["spent"] is None
    assert "no checkpoint of this run knows of a ledger" in run("ledger", "free", "--lost", code=2).stderr
