"""A process that dies at the worst moment, or shares its ledger with another one: each task is made and billed once."""

import os
import signal
from collections.abc import Callable

import pytest
import torch
from paid_runs import QUICK

from qdeq.backends import get_backend
from qdeq.backends.braket_remote.retries import Rate
from qdeq.backends.braket_remote.session import LedgerSession
from qdeq.backends.braket_remote.tasks import Tasks
from qdeq.billing.account import spending
from qdeq.billing.budget import Budget
from qdeq.billing.ledger import Ledger
from qdeq.circuit import Circuit, Gate
from qdeq.errors import BackendError, BudgetReached
from qdeq.library import angle_encoder
from qdeq.observables import Z

CIRCUIT = angle_encoder(2)
WEIGHTS = torch.zeros(0, dtype=torch.float64)
LIMIT = Budget(max_usd=1)


def expectation(ledger, rows=1, notes=None, budget=LIMIT, **options):
    """Return ``<Z_0>`` at so many inputs, through a ledger."""
    inputs = torch.linspace(0.1, 0.9, rows, dtype=torch.float64)[:, None].expand(-1, CIRCUIT.num_inputs)
    with spending(budget, ledger, note=(notes if notes is not None else []).append):
        return get_backend(QUICK | options).expectation(CIRCUIT, inputs, WEIGHTS, (Z(0),)).value[:, 0].tolist()


def native():
    """Return the native simulator's number at the first input."""
    inputs = torch.full((1, CIRCUIT.num_inputs), 0.1, dtype=torch.float64)
    return get_backend("torch").expectation(CIRCUIT, inputs, WEIGHTS, (Z(0),)).value.item()


def die(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)


def after(method: Callable) -> Callable:
    """Return the method, which kills its process when it has done its work."""

    def dying(self, *arguments, **settings):
        method(self, *arguments, **settings)
        die()

    return dying


def in_a_fork(work: Callable[[], None]) -> int:
    """Do the work in a copy of this process, and return how that ended: minus a signal, or an exit status."""
    child = os.fork()
    if not child:
        try:
            work()
            os._exit(0)
        except BaseException:
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


MOMENTS = {
    "the token is on disk, nothing was sent": (LedgerSession, "create_quantum_task", die, "reserved", 0),
    "the service has the task, nobody knows": (LedgerSession, "create_quantum_task", after, "reserved", 1),
    "the ledger has the task's name": (Ledger, "sent", after, "sent", 1),
    "the result is there, not in the ledger": (Ledger, "complete", die, "sent", 1),
    "all is in the ledger": (Ledger, "complete", after, "completed", 1),
}


@pytest.mark.parametrize(("owner", "name", "how", "state", "made"), MOMENTS.values(), ids=MOMENTS)
def test_kill_9_at_every_moment_makes_one_task(braket_env, tmp_path, monkeypatch, owner, name, how, state, made):
    ledger, original = tmp_path / "ledger.sqlite", getattr(owner, name)
    monkeypatch.setattr(owner, name, die if how is die else after(original))
    assert in_a_fork(lambda: expectation(ledger)) == -signal.SIGKILL
    monkeypatch.setattr(owner, name, original)
    book = Ledger(ledger)
    (entry,) = book.entries()
    assert (entry.state, len(braket_env.tasks())) == (state, made)
    (value,) = expectation(ledger)
    assert value == pytest.approx(native(), abs=1e-12)
    (task,) = braket_env.tasks()
    (settled,) = book.entries()
    assert (settled.state, settled.token, settled.arn) == ("completed", entry.token, task["arn"])
    assert task["token"] == entry.token
    assert settled.cost == round(braket_env.bill()["usd"] * 1e9)
    book.close()


def test_two_processes_that_want_the_same_share_tasks_and_bill(braket_env, tmp_path):
    ledger, rows = tmp_path / "ledger.sqlite", 12
    braket_env.fail("CreateQuantumTask", "queue", polls=1)
    children = []
    for _ in range(2):
        child = os.fork()
        if not child:
            try:
                expectation(ledger, rows)
                os._exit(0)
            except BaseException:
                os._exit(1)
        children.append(child)
    assert [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children] == [0, 0]
    book = Ledger(ledger)
    assert [entry.state for entry in book.entries()] == ["completed"] * rows
    assert len(braket_env.tasks()) == rows
    assert book.totals().cost == round(braket_env.bill()["usd"] * 1e9)
    book.close()


@pytest.mark.parametrize("kind", ["lost", "cut", "reset", "drop", "throttle", "error", "unavailable"])
def test_what_is_sent_again_carries_the_same_token(braket_env, tmp_path, kind):
    braket_env.fail("CreateQuantumTask", kind, times=3)
    expectation(tmp_path / "ledger.sqlite")
    sent = [call for call in braket_env.calls("braket") if call["operation"] == "CreateQuantumTask"]
    assert [call["fault"] for call in sent] == [kind] * 3 + [None]
    book = Ledger(tmp_path / "ledger.sqlite")
    (entry,) = book.entries()
    assert {call["token"] for call in sent} == {entry.token}
    assert [task["arn"] for task in braket_env.tasks()] == [entry.arn]
    book.close()


def test_two_executions_carry_two_tokens(braket_env, tmp_path):
    expectation(tmp_path / "ledger.sqlite", rows=3)
    assert len({call["token"] for call in braket_env.calls() if call["operation"] == "CreateQuantumTask"}) == 3


def test_a_refusal_after_an_answer_that_was_lost_does_not_free_the_reservation(braket_env, tmp_path):
    """The device goes offline between the request that made the task, unheard, and its repetition."""
    braket_env.fail("CreateQuantumTask", "lost", times=1)
    braket_env.fail("CreateQuantumTask", "error", code="DeviceOfflineException", status=424, times=1)
    with pytest.raises(BackendError, match="SV1"):
        expectation(tmp_path / "ledger.sqlite")
    book = Ledger(tmp_path / "ledger.sqlite")
    assert (book.totals().tasks, [entry.state for entry in book.entries()]) == (1, ["reserved"])
    braket_env.heal()
    expectation(tmp_path / "ledger.sqlite")
    assert [entry.state for entry in book.entries()] == ["completed"]
    assert len(braket_env.tasks()) == 1
    book.close()


def test_a_refusal_of_an_earlier_run_s_request_says_that_it_stays_counted(braket_env, tmp_path, monkeypatch):
    ledger = tmp_path / "ledger.sqlite"
    braket_env.fail("CreateQuantumTask", "error", code="ValidationException", status=400, message="other parameters")
    book = Ledger(ledger)
    with monkeypatch.context() as patch:
        patch.setattr(LedgerSession, "create_quantum_task", die)
        assert in_a_fork(lambda: expectation(ledger)) == -signal.SIGKILL
    with pytest.raises(BackendError, match=r"other parameters\nAn earlier request may have made a task of it"):
        expectation(ledger)
    assert [entry.state for entry in book.entries()] == ["reserved"]
    book.close()


def test_tasks_that_another_process_has_in_flight_count(braket_env, tmp_path):
    """Five of $0.00375 are there, held at $0.0075 each: within $0.045 there is room for one more, not for two."""
    ledger = tmp_path / "ledger.sqlite"
    braket_env.fail("CreateQuantumTask", "queue", seconds=1000)
    assert in_a_fork(lambda: expectation(ledger, 5, timeout=0.2)) == 1  # it gives up waiting
    braket_env.heal()
    book = Ledger(ledger)
    assert book.totals().cost == 5 * 7_500_000
    other = torch.full((1, CIRCUIT.num_inputs), 2.0, dtype=torch.float64)
    for limit, told in ((0.0449999, "max_usd"), (0.045, None)):
        with spending(Budget(max_usd=limit), ledger):
            backend = get_backend(QUICK)
            if told is None:
                backend.expectation(CIRCUIT, other, WEIGHTS, (Z(0),))
            else:
                with pytest.raises(BudgetReached, match=told):
                    backend.expectation(CIRCUIT, other, WEIGHTS, (Z(0),))
    assert book.totals().cost == 5 * 7_500_000 + 3_750_000
    book.close()


def test_every_request_waits_for_its_turn_also_when_it_is_repeated(braket_env, tmp_path, monkeypatch):
    turns = []
    monkeypatch.setattr(Rate, "wait", lambda self: turns.append(self._per_second))
    braket_env.fail("CreateQuantumTask", "throttle", times=1)
    expectation(tmp_path / "ledger.sqlite", 3, creates_per_second=7.0)
    calls = [call["operation"] for call in braket_env.calls("braket")]
    assert turns.count(7.0) == calls.count("CreateQuantumTask") == 4
    assert len(turns) - 4 == calls.count("GetQuantumTask") >= 3


def test_the_longest_time_that_was_billed_is_held_for_the_next_task(braket_env, tmp_path):
    """A minute of simulation costs $0.075, ten times what was held for it: the next one is taken for as long."""
    braket_env.fail("CreateQuantumTask", "duration", milliseconds=60_000, times=1)
    ledger = tmp_path / "ledger.sqlite"
    expectation(ledger)
    book = Ledger(ledger)
    assert book.totals().cost == 75_000_000
    with pytest.raises(BudgetReached, match="max_usd"):
        expectation(ledger, rows=2, budget=Budget(max_usd=0.1499))
    assert len(braket_env.tasks()) == 1
    expectation(ledger, rows=2, budget=Budget(max_usd=0.15))
    assert book.totals().cost == 75_000_000 + 3_750_000
    book.close()


def test_an_interrupt_leaves_the_tasks_of_other_processes_alone(braket_env, tmp_path):
    ledger = tmp_path / "ledger.sqlite"
    braket_env.fail("CreateQuantumTask", "queue", seconds=1000)
    assert in_a_fork(lambda: expectation(ledger, timeout=0.2)) == 1
    with spending(Budget(max_usd=1, on_interrupt="cancel"), ledger) as account:
        account.client(get_backend(QUICK))
        assert len(account.ledger.in_flight()) == 1
        assert account.interrupted() == ""
    assert [task["status"] for task in braket_env.tasks()] == ["QUEUED"]


def test_a_task_that_somebody_cancels_ends_the_run_and_is_not_paid_for_again_unasked(braket_env, tmp_path, monkeypatch):
    wait = Tasks._wait

    def cancelled(self, arn):
        self.device.session.braket_client.cancel_quantum_task(quantumTaskArn=arn)  # in the console, say
        return wait(self, arn)

    braket_env.fail("CreateQuantumTask", "queue", seconds=1000, times=1)
    monkeypatch.setattr(Tasks, "_wait", cancelled)
    with pytest.raises(BackendError, match="it was cancelled, and not by this run\nRun the same again"):
        expectation(tmp_path / "ledger.sqlite")
    assert len(braket_env.tasks()) == 1
    monkeypatch.setattr(Tasks, "_wait", wait)
    expectation(tmp_path / "ledger.sqlite")
    book = Ledger(tmp_path / "ledger.sqlite")
    assert [entry.state for entry in book.entries()] == ["cancelled", "completed"]
    assert book.totals().cost == 7_500_000 + 3_750_000
    book.close()


def test_a_result_of_another_run_that_is_missing_stops_nobody_who_does_not_want_it(braket_env, tmp_path):
    braket_env.fail("CreateQuantumTask", "late_result", seconds=1000, times=1)
    ledger, notes = tmp_path / "ledger.sqlite", []
    with pytest.raises(BackendError, match="fetching the result of arn"):
        expectation(ledger, tries=1)
    with spending(LIMIT, ledger, note=notes.append):
        other = torch.full((1, CIRCUIT.num_inputs), 2.0, dtype=torch.float64)
        get_backend(QUICK | {"tries": 1}).expectation(CIRCUIT, other, WEIGHTS, (Z(0),))
    assert any("left in flight: fetching the result of arn" in note for note in notes)
    assert len(braket_env.tasks()) == 2


def test_a_result_with_fewer_shots_than_were_asked_for_is_an_honest_estimate(braket_env, tmp_path):
    braket_env.fail("CreateQuantumTask", "short", shots=50)
    backend, notes, none = get_backend(QUICK), [], torch.zeros(1, 0, dtype=torch.float64)
    circuit = Circuit(2, (Gate("X", 0), Gate("H", 1)))
    with spending(LIMIT, tmp_path / "ledger.sqlite", note=notes.append) as account:
        measured = backend.expectation(circuit, none, WEIGHTS, (Z(0), Z(1)), shots=200)
        assert account.ledger.totals().shots == 200  # what was asked for is what is billed
    assert measured.value[0, 0] == -1.0
    assert measured.standard_error[0, 1] == pytest.approx(((1 - measured.value[0, 1].item() ** 2) / 49) ** 0.5)
    assert any("was measured 50 times, not 200" in note for note in notes)
    braket_env.heal()
    braket_env.fail("CreateQuantumTask", "short", shots=0)
    with spending(LIMIT, ":memory:"), pytest.raises(BackendError, match="the result cannot be read"):
        backend.expectation(circuit, none, WEIGHTS, (Z(0),), shots=100)


def test_a_clock_that_is_wrong_is_named(braket_env, tmp_path):
    skewed = "Signature expired: 20250101T000000Z is now earlier than 20250101T010000Z"
    for code, message in (("InvalidSignatureException", skewed), ("RequestTimeTooSkewed", "too large a difference")):
        braket_env.fail("GetDevice", "error", code=code, status=403, message=message, times=1)
        with pytest.raises(BackendError, match=r"finds the time of this machine wrong .*\nSet its clock"):
            expectation(tmp_path / "ledger.sqlite")
    assert braket_env.tasks() == []


def test_a_batch_stays_within_the_service_s_limits(braket_env, tmp_path, monkeypatch):
    """No request is refused where an account may send 10 at once, then 5 a second, and have 4 tasks in flight."""
    braket_env.limit(in_flight=4, creates_per_second=5, create_burst=10)
    reserve, held = Ledger.reserve, []

    def watched(self, *arguments):
        found = reserve(self, *arguments)
        held.append(len(self.in_flight()))
        return found

    monkeypatch.setattr(Ledger, "reserve", watched)
    expectation(tmp_path / "ledger.sqlite", 14, max_parallel=4, creates_per_second=4.0)
    sent = [call for call in braket_env.calls("braket") if call["operation"] == "CreateQuantumTask"]
    assert len(sent) == 14
    assert {call["status"] for call in sent} == {201}
    assert max(held) == 4  # no money is held for those whose turn has not come
