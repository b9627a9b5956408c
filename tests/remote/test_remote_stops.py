"""A run that its budget or Ctrl-C ends: cleanly, the tasks in flight told of, and nothing lost for the next one."""

import itertools
import os
import signal
from pathlib import Path

import pytest
import torch
from paid_runs import QUICK, figures, run, sets, started, write_experiment
from patience import wait_until

from qdeq.backends import get_backend
from qdeq.backends.braket_remote import tasks as tasks_module
from qdeq.billing.account import spending
from qdeq.billing.budget import Budget
from qdeq.billing.ledger import Ledger
from qdeq.errors import BackendError, BudgetReached
from qdeq.library import angle_encoder, hardware_efficient
from qdeq.observables import Z

ADAPTIVE = {"backend": QUICK | {"execution": "circuits"}, "training__epochs": 1}
"""Its bounds are so wide that a budget between them is not refused."""


@pytest.fixture
def experiment(tmp_path, braket_env, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return write_experiment(tmp_path)


@pytest.mark.parametrize(
    "limit", [pytest.param({"max_usd": 0.18}, marks=pytest.mark.slow), {"max_usd": 50, "max_tasks": 40}], ids=str
)
def test_a_run_stops_before_a_limit_is_passed_and_goes_on_with_a_larger_one(experiment, tmp_path, braket_env, limit):
    arguments = [experiment, *sets(**ADAPTIVE), "--out", "run", "-q"]
    stopped = run("train", *arguments, *sets(budget=limit), code=3).stderr
    name = "max_tasks" if "max_tasks" in limit else "max_usd"
    assert f"the next task would pass budget.{name}" in stopped
    assert f"Raise budget.{name} and go on: what is in" in stopped
    assert "go on with: qdeq train --resume run" in stopped
    spent = braket_env.bill()
    assert spent["usd"] <= limit["max_usd"]
    assert 0 < spent["tasks"] <= limit.get("max_tasks", 10**6)
    assert spent["usd"] > limit["max_usd"] - 0.0075 or spent["tasks"] == limit.get("max_tasks")
    run("train", "--resume", "run", "-q", *sets(budget__max_usd=50, budget__max_tasks=10_000))
    whole = len(braket_env.tasks())
    braket_env.reset()
    run("train", *arguments[:-3], "--out", "quiet", "-q", *sets(budget__max_usd=50))
    assert len(braket_env.tasks()) == whole
    assert figures(tmp_path / "run") == figures(tmp_path / "quiet")


def test_tasks_in_flight_count_and_their_reservations_fall_to_what_they_cost(braket_env, tmp_path):
    circuit = angle_encoder(2) + hardware_efficient(2, 1)
    weights, inputs = torch.zeros(circuit.num_weights), torch.rand(9, circuit.num_inputs)
    # eight tasks at $0.00375; while one runs, $0.0075 is held for it
    with spending(Budget(max_usd=0.03), tmp_path / "ledger.sqlite") as account:
        with pytest.raises(BudgetReached, match=r"budget\.max_usd"):
            get_backend(QUICK).expectation(circuit, inputs, weights, (Z(0),))
        assert account.ledger.totals().tasks == 7  # for an eighth $0.00375 are left, and more may be needed
        get_backend(QUICK).expectation(circuit, inputs[:6], weights, (Z(0),))  # known
    assert braket_env.bill()["usd"] <= 0.03


def interrupted(arguments, service, when):
    """Start a run, press Ctrl-C as soon as ``when(tasks)`` is true, and return what it says."""
    errors = Path("errors.txt").absolute()
    process = started("train", *arguments, "-q", service=service, stderr=errors)
    wait_until(lambda: process.exitcode is not None or when(service.tasks()))
    os.kill(process.pid, signal.SIGINT)
    process.join()
    told = errors.read_text()
    assert process.exitcode == 130, told
    return told


@pytest.mark.parametrize("what", [pytest.param("keep", marks=pytest.mark.slow), "cancel"])
def test_ctrl_c_keeps_or_cancels_what_is_in_flight_and_says_so(experiment, tmp_path, braket_env, what):
    braket_env.fail("CreateQuantumTask", "queue", seconds=1000, skip=3)  # three end, the others wait
    arguments = [experiment, *sets(**ADAPTIVE, budget={"max_usd": 50, "on_interrupt": what}), "--out", "run"]
    told = interrupted(arguments, braket_env, lambda tasks: len(tasks) >= 6)  # two batches of three
    tasks = braket_env.tasks()
    waiting = [task["arn"] for task in tasks if task["status"] == "QUEUED"]
    book = Ledger(tmp_path / "run" / "ledger.sqlite")
    flying = {entry.arn for entry in book.in_flight() if entry.arn}
    assert "interrupted after step 0" in told
    if what == "keep":
        unnamed = len(book.in_flight()) - len(flying)  # a request whose answer the interrupt cut off
        more = f", {unnamed} may be in flight" if unnamed else ""
        assert f"{len(flying)} tasks are in flight{more}; the next run with this ledger takes their results" in told
        assert set(waiting) == flying
        assert all(arn in told for arn in waiting)
        assert "in flight" in run("ledger", "run").stdout
    else:
        assert "tasks in flight were cancelled" in told
        assert waiting == []
        assert flying == set()
    book.close()


@pytest.mark.slow
def test_the_next_run_takes_the_results_of_tasks_that_were_left_in_flight(experiment, tmp_path, braket_env):
    braket_env.fail("CreateQuantumTask", "queue", seconds=1000)
    arguments = [experiment, *sets(**ADAPTIVE, budget__max_usd=50), "--out", "run"]
    interrupted(arguments, braket_env, lambda tasks: len(tasks) >= 3)
    left = {task["arn"] for task in braket_env.tasks()}
    braket_env.heal()
    braket_env.release()
    told = run("train", *arguments, "--force").stdout
    assert f"ledger: {len(left)} tasks were in flight" in told
    book = Ledger(tmp_path / "run" / "ledger.sqlite")
    assert {entry.state for entry in book.entries()} == {"completed"}
    assert left <= {entry.arn for entry in book.entries()}
    assert len(book.entries()) == len(braket_env.tasks())
    book.close()


@pytest.fixture
def one_circuit(braket_env, tmp_path):
    circuit = angle_encoder(2)
    none = torch.zeros(0, dtype=torch.float64)
    inputs = torch.full((1, circuit.num_inputs), 0.3, dtype=torch.float64)

    def obtain(note=lambda message: None, **options):
        with spending(Budget(max_usd=1), tmp_path / "ledger.sqlite", note=note) as account:
            value = get_backend(QUICK | options).expectation(circuit, inputs, none, (Z(0),)).value
            return value.item(), account.ledger.totals()

    return obtain


def test_a_failed_task_is_told_with_its_reason_and_a_new_one_is_counted(one_circuit, braket_env):
    braket_env.fail("CreateQuantumTask", "fail", times=2, reason="the ions have left")
    notes = []
    _, totals = one_circuit(note=notes.append)
    assert totals.tasks == 3
    assert totals.cost == 3_750_000 + 2 * 7_500_000  # what failed keeps its reservation
    assert len(notes) == 2
    assert all("failed: the ions have left; a new task takes its place, and is counted" in note for note in notes)


def test_a_task_that_keeps_failing_is_given_up(one_circuit, braket_env):
    braket_env.fail("CreateQuantumTask", "fail", reason="the ions have left")
    with pytest.raises(BackendError, match="the ions have left\nIt was tried 3 times, each counted against the budget"):
        one_circuit()
    assert len(braket_env.tasks()) == 3
    with pytest.raises(BackendError, match="It was tried 1 times"):
        one_circuit(resubmissions=0)


def test_a_task_that_takes_too_long_is_left_and_its_result_taken_later(one_circuit, braket_env):
    braket_env.fail("CreateQuantumTask", "queue", seconds=1000, times=1)
    with pytest.raises(BackendError, match=r"QUEUED after 0 s\nIt is kept: the next run"):
        one_circuit(timeout=0.3)
    braket_env.release()
    value, totals = one_circuit()
    assert totals.tasks == len(braket_env.tasks()) == 1
    assert -1 <= value <= 1


def test_a_result_that_never_appears_is_no_second_task(one_circuit, braket_env):
    braket_env.fail("CreateQuantumTask", "late_result", seconds=1000, times=1)
    with pytest.raises(BackendError, match="fetching the result of arn"):
        one_circuit(tries=2)
    assert len(braket_env.tasks()) == 1


def test_backoff_grows_with_full_jitter_and_stops_at_its_limit():
    from botocore.exceptions import ClientError

    from qdeq.backends.braket_remote.retries import FIRST_WAIT, LONGEST_WAIT, Clock, Retry

    class Recorded(Clock):
        def __init__(self, seed):
            super().__init__(seed)
            self.waits = []

        def wait(self, seconds):
            self.waits.append(seconds)

    def throttled():
        raise ClientError({"Error": {"Code": "ThrottlingException"}}, "GetQuantumTask")

    waits = []
    for seed in range(200):
        clock = Recorded(seed)
        with pytest.raises(ClientError):
            Retry(11, clock)(throttled)
        waits.append(clock.waits)
    longest = torch.tensor(waits).amax(dim=0)
    ceiling = torch.tensor([min(LONGEST_WAIT, FIRST_WAIT * 2**k) for k in range(10)])
    assert (longest <= ceiling).all()
    assert (longest > 0.9 * ceiling).all()  # 200 uniform draws: below that with probability 1e-9
    assert (torch.tensor(waits).amin(dim=0) < 0.1 * ceiling).all()

    def refused():
        raise ClientError({"Error": {"Code": "ValidationException"}}, "CreateQuantumTask")

    clock = Recorded(0)
    with pytest.raises(ClientError):
        Retry(11, clock)(refused)
    assert clock.waits == []  # it would be refused again


def test_calls_go_out_at_the_rate_that_is_allowed_after_a_burst_of_two_seconds():
    from qdeq.backends.braket_remote.retries import Clock, Rate

    class Simulated(Clock):
        """Time passes by waiting alone."""

        time = 1000.0

        def now(self):
            return self.time

        def wait(self, seconds):
            self.time += seconds

    clock = Simulated()
    rate, sent = Rate(4.0, clock), []
    for _ in range(20):
        rate.wait()
        sent.append(clock.now() - 1000.0)
    assert sent[:8] == [0.0] * 8
    assert sent[8:] == [0.25 * k for k in range(1, 13)]
    clock.time += 100.0  # a long pause is no credit beyond the burst
    late = []
    for _ in range(9):
        rate.wait()
        late.append(clock.now())
    assert late[7] == late[0] < late[8]


def test_polls_become_rarer(one_circuit, braket_env, monkeypatch):
    braket_env.fail("CreateQuantumTask", "queue", seconds=1.5)
    monkeypatch.setattr(tasks_module, "SIMULATOR_POLLS", (0.05, 5.0))
    one_circuit()
    polls = [call["at"] for call in braket_env.calls("braket") if call["operation"] == "GetQuantumTask"]
    assert len(polls) < 10
    gaps = [after - before for before, after in itertools.pairwise(polls)]
    assert gaps[-1] > 2 * gaps[0]
