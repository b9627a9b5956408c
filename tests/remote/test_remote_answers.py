"""Answers that nobody should send: each ends in two lines, nothing enters the ledger, and nothing is paid twice."""

import base64
import json
import os
import re
import stat

import pytest
import torch
from paid_runs import QUICK, run, sets, write_experiment

from qdeq.backends import get_backend
from qdeq.billing.account import spending
from qdeq.billing.budget import Budget
from qdeq.billing.ledger import Ledger
from qdeq.billing.lost_tasks import doubt
from qdeq.circuit import Circuit, Gate, Input, Weight
from qdeq.errors import BackendError, BudgetReached, LedgerError, QdeqError
from qdeq.observables import Z

CIRCUIT = Circuit(2, (Gate("RY", 0, Input(0)), Gate("CNOT", (0, 1)), Gate("RX", 1, Weight(0))))
WEIGHTS = torch.tensor([0.4], dtype=torch.float64)
VALUE = ["resultTypes", 0, "value"]
LIMIT = Budget(max_usd=1)


@pytest.fixture
def ledger(tmp_path):
    return tmp_path / "ledger.sqlite"


def expectation(ledger, x=0.3, notes=None, budget=LIMIT, shots=None, **options):
    """Return ``<Z_0>`` and ``<Z_1>``: cos x and cos x cos w."""
    inputs = torch.tensor([[x]], dtype=torch.float64)
    with spending(budget, ledger, note=(notes if notes is not None else []).append):
        found = get_backend(QUICK | {"tries": 2} | options).expectation(
            CIRCUIT, inputs, WEIGHTS, (Z(0), Z(1)), shots=shots
        )
    return found.value[0].tolist()


def right(x=0.3):
    return [float(torch.tensor(x, dtype=torch.float64).cos() * factor) for factor in (1.0, WEIGHTS.cos().item())]


def states(ledger):
    book = Ledger(ledger)
    found = [entry.state for entry in book.entries()]
    book.close()
    return found


# -- results that are wrong --------------------------------------------------------------------------------------------

WRONG = {
    "a value of 100": ([[VALUE, 100.0]], "100, where at most 1"),
    "another task's": ([[["taskMetadata", "id"], "arn:aws:braket:::quantum-task/other"]], "of the task"),
    "a simulation of 1e30 s": (
        [[["additionalMetadata", "simulatorMetadata", "executionDuration"], 1e33]],
        "1e+30 s is none",
    ),
    "of another qubit": ([[["resultTypes", 0, "type", "targets"], [1]]], "is given twice"),
    "no results": ([[["resultTypes"], []]], "was asked for, and is not there"),
    "another schema": ([[[], {"braketSchemaHeader": {"name": "new", "version": "9"}}]], "KeyError"),
}


@pytest.mark.parametrize(("changes", "why"), WRONG.values(), ids=WRONG)
def test_a_wrong_result_is_refused_kept_aside_and_fetched_again_for_nothing(braket_env, ledger, changes, why):
    braket_env.fail("s3:GetObject", "edit", changes=changes, times=1)
    with pytest.raises(BackendError, match=re.escape(why)) as caught:
        expectation(ledger)
    told = str(caught.value)
    assert len(told.splitlines()) == 2
    assert "fetched again by the next run with this ledger, for nothing. Or `qdeq ledger" in told
    (aside,) = ledger.parent.glob("ledger-refused/*.json")
    assert str(aside) in told
    assert json.loads(aside.read_bytes())
    assert stat.S_IMODE(aside.stat().st_mode) == 0o600
    assert states(ledger) == ["sent"]
    assert expectation(ledger) == pytest.approx(right(), abs=1e-12)
    assert states(ledger) == ["completed"]
    assert len(braket_env.tasks()) == 1


def test_exchanged_results_are_told_apart_by_their_observables(braket_env, ledger):
    (entries,) = _bodies(braket_env, ledger)
    changes = [[["resultTypes", 0], entries[1]], [["resultTypes", 1], entries[0]]]
    braket_env.fail("s3:GetObject", "edit", changes=changes)
    assert expectation(ledger.with_name("other.sqlite"), 0.3 + 1e-9) == pytest.approx(right(), abs=1e-8)


def _bodies(service, ledger):
    """Return the result types of each task that a plain run makes."""
    import boto3

    expectation(ledger)
    for task in service.tasks():
        body = boto3.client("s3").get_object(Bucket=task["bucket"], Key=task["key"])["Body"].read()
        changed = json.loads(json.dumps(json.loads(body)["resultTypes"]))
        yield changed


def test_a_run_that_does_not_want_a_wrong_result_does_not_take_it_either(braket_env, ledger):
    """It is settled as another run's task in flight, and judged by what the ledger says was asked."""
    braket_env.fail("s3:GetObject", "edit", changes=[[VALUE, 100.0]], times=2)
    with pytest.raises(BackendError, match="100, where at most 1"):
        expectation(ledger)
    notes = []
    expectation(ledger, 0.9, notes)
    assert any("left in flight" in note and "100, where at most 1" in note for note in notes)
    assert states(ledger) == ["sent", "completed"]
    notes = []
    expectation(ledger, 1.2, notes)
    assert any("1 of them have ended and are settled" in note for note in notes)
    assert expectation(ledger) == pytest.approx(right(), abs=1e-12)
    assert len(braket_env.tasks()) == 3


def test_an_impossible_result_that_an_older_version_kept_is_fetched_again(braket_env, ledger):
    from qdeq.billing.execution import Result

    expectation(ledger)
    book = Ledger(ledger)
    (entry,) = book.entries()
    doubt(book, entry.hash)
    book.complete(entry.token, Result(values=(100.0, 0.5)), entry.cost, 3.0)  # as 0.1.0 took it
    book.close()
    notes = []
    assert expectation(ledger, notes=notes) == pytest.approx(right(), abs=1e-12)
    assert any("cannot be right (100, where at most 1 is possible): it is fetched again" in note for note in notes)
    assert len(braket_env.tasks()) == 1


# -- answers that are none ---------------------------------------------------------------------------------------------

BODIES = {
    "not UTF-8": {"base64": base64.b64encode(b"\xff\xfe{}").decode()},
    "nested absurdly": {"text": "[" * 60_000},
    "a list": {"text": "[1, 2]"},
    "a number": {"text": "7"},
    "escape codes": {"text": json.dumps({"status": "\x1b[31mred\u202e", "quantumTaskArn": "\x1b]0;x\x07"})},
    "wrong types": {"text": json.dumps({"status": 7, "quantumTaskArn": ["x"], "deviceName": 1, "deviceStatus": {}})},
    "wrong values": {
        "text": json.dumps(
            {
                "status": "COMPLETED",
                "quantumTaskArn": "a" * 5000,
                "deviceName": "SV1",
                "deviceStatus": "ONLINE",
                "deviceType": "TOASTER",
                "deviceCapabilities": "{}",
            }
        )
    },
}
OPERATIONS = ("GetDevice", "CreateQuantumTask", "GetQuantumTask", "s3:GetObject", "s3:HeadBucket")


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
def test_whatever_is_answered_ends_in_two_lines_without_control_characters(braket_env, ledger, operation, body):
    braket_env.fail(operation, "body", **body)
    try:
        expectation(ledger, tries=1)
    except QdeqError as error:
        lines = str(error).splitlines()
        assert len(lines) == 2, lines
        assert all(line.isprintable() and len(line) < 900 for line in lines)
    else:
        assert operation == "s3:HeadBucket"  # nothing is read from its answer
    braket_env.heal()
    assert expectation(ledger) == pytest.approx(right(), abs=1e-12)
    assert len(braket_env.tasks()) == 1


def test_the_command_line_ends_with_2_and_without_a_traceback(tmp_path, braket_env, monkeypatch):
    monkeypatch.chdir(tmp_path)
    experiment = write_experiment(tmp_path)
    small = sets(backend=QUICK | {"tries": 1}, budget__max_usd=5, solver__fixed_steps=1, training__epochs=1)
    braket_env.fail("s3:GetObject", "body", base64=base64.b64encode(b"\x1b[2J\xff").decode())
    result = run("train", experiment, "--out", "run", *small, code=2)
    assert "the result cannot be read as what was asked for (UnicodeDecodeError" in result.stderr
    assert "Traceback" not in result.output
    assert "\x1b" not in result.output
    braket_env.heal()
    run("train", experiment, "--out", "run", "--force", "-q", *small)
    tasks = braket_env.tasks()
    assert len({(task["action"], task["shots"]) for task in tasks}) == len(tasks)


DESCRIPTIONS = {
    "no qubits": (["paradigm", "qubitCount"], None),
    "shots in words": (["service", "shotsRange"], ["few", "many"]),
    "one number of shots": (["service", "shotsRange"], [5]),
    "no actions": (["action"], 7),
}


@pytest.mark.parametrize(("place", "value"), DESCRIPTIONS.values(), ids=DESCRIPTIONS)
def test_a_device_that_describes_itself_oddly_is_told(braket_env, ledger, place, value):
    properties = json.loads(_described(braket_env)["deviceCapabilities"])
    within = properties
    for step in place[:-1]:
        within = within[step]
    within[place[-1]] = value
    braket_env.fail("GetDevice", "edit", changes=[[["deviceCapabilities"], json.dumps(properties)]])
    with pytest.raises(
        BackendError, match=r"what sv1 says of itself cannot be read .*\nInstall a newer amazon-braket-sdk"
    ):
        expectation(ledger)
    assert braket_env.tasks() == []


def _described(service):
    import boto3
    from braket_service.client import SV1

    return boto3.client("braket").get_device(deviceArn=SV1)


def test_reasons_and_names_from_outside_are_cut_and_escaped(braket_env, ledger):
    braket_env.fail("CreateQuantumTask", "fail", reason="\x1b[2Jgone\r\n" + "!" * 5000)
    with pytest.raises(BackendError) as caught:
        expectation(ledger, resubmissions=0)
    assert "\\x1b[2Jgone !!!" in str(caught.value)
    assert all(line.isprintable() and len(line) < 900 for line in str(caught.value).splitlines())
    book = Ledger(ledger)
    assert all(len(entry.reason) < 500 and entry.reason.isprintable() for entry in book.entries())
    book.close()


# -- quotas, conflicts, and results that never appear ------------------------------------------------------------------


def test_a_quota_that_does_not_become_free_has_its_own_advice_and_holds_no_money(braket_env, ledger):
    message = "You have exceeded the quota of 0 concurrent tasks."
    braket_env.fail("CreateQuantumTask", "error", code="ServiceQuotaExceededException", status=402, message=message)
    with pytest.raises(BackendError, match=r"a quota of the account is used up.*\nNo task was made of it\. Wait for"):
        expectation(ledger)
    assert states(ledger) == ["rejected"]
    book = Ledger(ledger)
    assert book.totals().tasks == 0
    book.close()


def test_a_conflict_names_the_way_out(braket_env, ledger):
    braket_env.fail("CreateQuantumTask", "error", code="ConflictException", status=409, message="token in use")
    with pytest.raises(BackendError, match=r"another request of the same name \(token in use\)\n.*--give-up") as caught:
        expectation(ledger)
    assert states(ledger) == ["reserved"]  # a task may have been made
    braket_env.heal()
    token = re.search(r"--give-up ([-\w]+)", str(caught.value))[1]
    run("ledger", ledger, "--give-up", token)
    assert expectation(ledger) == pytest.approx(right(), abs=1e-12)
    assert states(ledger) == ["failed", "completed"]


def test_a_result_that_never_appears_is_given_up_counted_and_made_anew_alone(braket_env, ledger):
    expectation(ledger, 0.9)
    braket_env.fail("CreateQuantumTask", "late_result", seconds=1000, times=1)
    with pytest.raises(
        BackendError, match=r"it is not in its bucket .*\nRun the same again later: nothing is paid"
    ) as caught:
        expectation(ledger)
    name = re.search(r"--give-up ([-\w]+)", str(caught.value))[1]
    said = run("ledger", ledger, "--give-up", name)
    assert "given up: arn:" in said.stderr
    assert "$0.0075 stay counted" in said.stderr
    assert expectation(ledger) == pytest.approx(right(), abs=1e-12)
    assert expectation(ledger, 0.9) == pytest.approx(right(0.9), abs=1e-12)
    assert len(braket_env.tasks()) == 3  # one more, and the other one's result is still known
    book = Ledger(ledger)
    assert book.totals().cost == 2 * 3_750_000 + 7_500_000
    book.close()
    assert "it is failed" in run("ledger", ledger, "--give-up", name, code=2).stderr
    assert "no tasks are called nonsense" in run("ledger", ledger, "--give-up", "nonsense", code=2).stderr


# -- bills that are longer than expected -------------------------------------------------------------------------------


def test_a_task_billed_longer_than_was_held_is_told_at_once_and_the_budget_stops_the_next(braket_env, ledger):
    braket_env.fail("CreateQuantumTask", "duration", milliseconds=60_000, times=1)
    notes = []
    expectation(ledger, notes=notes, budget=Budget(max_usd=0.05))
    (told,) = [note for note in notes if "is billed" in note]
    assert "is billed $0.075 for 60.000 s, where $0.0075 were held for it" in told
    assert "(used: $0.075 of $0.05" in told
    with pytest.raises(BudgetReached, match=r"the next task would pass budget\.max_usd"):
        expectation(ledger, 0.9, budget=Budget(max_usd=0.05))
    assert len(braket_env.tasks()) == 1


# -- the ledger's file -------------------------------------------------------------------------------------------------


def test_a_ledger_that_is_removed_in_use_is_noticed_and_what_it_held_is_saved(braket_env, ledger):
    inputs, backend = torch.tensor([[0.3], [0.9]], dtype=torch.float64), get_backend(QUICK)

    def work():
        with spending(LIMIT, ledger):
            backend.expectation(CIRCUIT, inputs[:1], WEIGHTS, (Z(0),))
            for file in ledger.parent.glob("ledger.sqlite*"):
                file.unlink()
            backend.expectation(CIRCUIT, inputs[1:], WEIGHTS, (Z(0),))

    with pytest.raises(LedgerError, match="was removed or replaced while it was in use") as caught:
        work()
    assert len(braket_env.tasks()) == 1  # nothing was sent that no ledger knows
    (saved,) = ledger.parent.glob("ledger-*.sqlite")
    assert str(saved) in str(caught.value)
    os.rename(saved, ledger)
    with spending(LIMIT, ledger) as account:
        backend.expectation(CIRCUIT, inputs[:1], WEIGHTS, (Z(0),))
        assert account.ledger.totals().tasks == 1
    assert len(braket_env.tasks()) == 1


def test_a_damaged_row_is_refused_by_spending_and_can_be_given_up(braket_env, ledger):
    import sqlite3

    expectation(ledger)
    expectation(ledger, 0.9)
    with sqlite3.connect(ledger) as connection:
        connection.execute("UPDATE executions SET result = replace(result, '0.', '0.1') WHERE id = 2")
    with pytest.raises(LedgerError, match="row 2, "), spending(LIMIT, ledger):
        raise AssertionError("the ledger was opened")
    assert "results are not as they were written" in run("ledger", ledger, code=2).stderr
    run("ledger", ledger, "--give-up", "2")
    assert expectation(ledger) == pytest.approx(right(), abs=1e-12)
    assert len(braket_env.tasks()) == 2
    assert expectation(ledger, 0.9) == pytest.approx(right(0.9), abs=1e-12)
    assert len(braket_env.tasks()) == 3
