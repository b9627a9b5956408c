"""What cannot be run is refused in two lines, with the remedy, before anything is paid; and no secret is ever told."""

import logging
import os
import sqlite3
import traceback

import pytest
import torch
from braket_service.client import FORTE, GARNET, SV1
from paid_runs import QUICK, run, sets, write_experiment

from qdeq.backends import get_backend
from qdeq.billing.account import spending
from qdeq.billing.budget import Budget
from qdeq.billing.ledger import Ledger
from qdeq.circuit import Circuit, Gate
from qdeq.errors import BackendError, BudgetError, UnsupportedError
from qdeq.observables import Z

TN1 = "arn:aws:braket:::device/quantum-simulator/amazon/tn1"
ARIA = "arn:aws:braket:us-east-1::device/qpu/ionq/Aria-1"
ANKAA = "arn:aws:braket:us-west-1::device/qpu/rigetti/Ankaa-3"
EMERALD = "arn:aws:braket:eu-north-1::device/qpu/iqm/Emerald"


@pytest.fixture
def experiment(tmp_path, braket_env, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return write_experiment(tmp_path)


def refused(experiment, *arguments, code=2):
    """Return the error, which has two lines, of a run that leaves no folder behind."""
    result = run("train", experiment, "--out", "run", *arguments, code=code)
    lines = result.stderr.strip().splitlines()
    assert len(lines) == 2, result.stderr
    assert lines[0].startswith("error: ")
    assert not os.path.exists("run")
    return result.stderr


PAID = ["--backend", "braket-sv1", *sets(budget__max_usd=5)]


def test_no_budget_names_what_the_run_would_cost(experiment, braket_env):
    told = refused(experiment, "--backend", "braket-sv1")
    assert "costs money, and the experiment has no budget" in told
    assert "tasks ($" in told
    assert "budget: {max_usd" in told
    assert braket_env.calls() == []


@pytest.mark.parametrize(
    ("budget", "limit", "amount"),
    [
        ({"max_usd": 0.5}, "max_usd", "$0.54"),
        ({"max_usd": 5, "max_tasks": 143}, "max_tasks", "144"),
    ],
)
def test_a_budget_that_cannot_suffice_is_refused_before_anything_is_paid(experiment, braket_env, budget, limit, amount):
    told = refused(experiment, "--backend", "braket-sv1", *sets(budget=budget))
    assert f"budget.{limit} is too small: this experiment takes at least {amount}" in told
    assert f"Raise budget.{limit}" in told
    assert braket_env.calls() == []


def without_credentials(monkeypatch):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name)


def test_no_credentials(experiment, braket_env, monkeypatch, tmp_path):
    without_credentials(monkeypatch)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    assert "no AWS credentials were found\nRun `aws configure`" in refused(experiment, *PAID)
    assert braket_env.tasks() == []


def test_credentials_that_aws_does_not_accept(experiment, braket_env):
    braket_env.fail(
        "GetDevice", "error", code="UnrecognizedClientException", status=403, message="The token is invalid."
    )
    assert "AWS does not accept the credentials" in refused(experiment, *PAID)


def test_an_unknown_profile(experiment):
    told = refused(experiment, *PAID, *sets(backend=QUICK | {"profile": "nobody"}))
    assert "nobody" in told
    assert "Set AWS_PROFILE or backend.profile" in told


def test_the_wrong_region(experiment, monkeypatch, braket_env):
    shots = sets(shots=100, budget__max_usd=1e6)
    forte = {"name": f"braket:{FORTE}", "region": "eu-north-1"}
    told = refused(experiment, *sets(backend=forte), *shots)
    assert "is in us-east-1, but the region is eu-north-1\nSet AWS_REGION or backend.region to us-east-1" in told
    told = refused(experiment, *PAID, *sets(backend=QUICK | {"region": "eu-central-1"}))
    assert "Amazon Braket is not in region eu-central-1" in told
    told = refused(experiment, *PAID, *sets(backend=QUICK | {"region": "eu-north-1"}))  # Braket is there, SV1 is not
    assert f"no device {SV1} in eu-north-1" in told
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_CONFIG_FILE", "none")
    assert "no AWS region is set\nSet AWS_REGION" in refused(experiment, *PAID)
    assert braket_env.tasks() == []


@pytest.mark.parametrize("device", [TN1, ARIA, ANKAA])
def test_a_retired_device_is_refused_without_asking_anybody(experiment, braket_env, device):
    told = refused(experiment, "--backend", f"braket:{device}", *sets(budget__max_usd=5))
    assert f"{device.rpartition('/')[2]} is retired" in told
    assert "braket-sv1" in told
    assert braket_env.calls() == []


def test_a_device_that_is_offline_or_has_been_retired_since(experiment, braket_env):
    for status, words in (("OFFLINE", "SV1 is offline"), ("RETIRED", "SV1 is retired")):
        braket_env.set_device(SV1, status)
        told = refused(experiment, *PAID)
        assert words in told
        assert "braket-sv1" not in told.split("error: ")[1]  # it is the one that is away
    braket_env.set_device(EMERALD, "OFFLINE")
    options = sets(shots=100, budget={"max_usd": 1e6, "prices": {EMERALD: {"per_task": 0.3, "per_shot": 0.0016}}})
    told = refused(experiment, *sets(backend={"name": f"braket:{EMERALD}", "region": "eu-north-1"}), *options)
    assert "Emerald is offline" in told
    assert "another device; `backend: braket-sv1`" in told
    assert braket_env.tasks() == []


def test_a_damaged_ledger_that_the_budget_names_is_refused_before_a_folder_is_made(experiment, braket_env, tmp_path):
    (tmp_path / "shared.sqlite").write_bytes(b"no ledger" * 1000)
    assert "shared.sqlite: the ledger cannot be used" in refused(
        experiment, *PAID, *sets(budget__ledger="shared.sqlite")
    )
    assert braket_env.tasks() == []


def test_a_run_whose_own_ledger_is_damaged_is_neither_replaced_nor_gone_on_with(experiment, braket_env, tmp_path):
    options = [*PAID, *sets(solver__fixed_steps=1, training__epochs=1)]
    run("train", experiment, "--out", "run", *options, "-q")
    files = {path: path.read_bytes() for path in (tmp_path / "run").rglob("*") if path.suffix in (".json", ".yaml")}
    with sqlite3.connect(tmp_path / "run" / "ledger.sqlite") as connection:
        connection.execute("UPDATE executions SET result = replace(result, '0.', '0.1') WHERE id = 2")
    tasks = len(braket_env.tasks())
    for arguments in (["train", experiment, "--out", "run", "--force", *options], ["eval", "run"]):
        told = run(*arguments, code=2).stderr
        assert "1 of " in told
        assert "results are not as they were written: row 2" in told.replace("\n", " ")
    assert {path: path.read_bytes() for path in files} == files
    assert len(files) >= 2
    assert len(braket_env.tasks()) == tasks


def test_a_budget_for_a_run_that_costs_nothing_is_refused(experiment, tmp_path):
    run("train", experiment, "--out", "free", *sets(training__epochs=1), "-q")
    for budget in ({"budget__max_usd": 3}, {"budget__max_tasks": 10}):
        told = run("train", "--resume", "free", *sets(**budget), code=2).stderr
        assert "free: the run has no budget, as its backend 'torch' costs nothing\nLeave --set budget.max_" in told


def test_a_budget_is_set_where_a_file_says_that_there_is_none(experiment):
    experiment.write_text(experiment.read_text() + "budget: null\n")
    assert "max_usd: 7" in run("show", experiment, *sets(budget__max_usd=7)).stdout


def test_a_device_without_a_price_or_without_a_name(experiment, braket_env):
    emerald = sets(backend={"name": f"braket:{EMERALD}"}, shots=100, budget__max_usd=1e6)
    assert "the price of" in refused(experiment, *emerald)
    nameless = sets(backend="braket", shots=100, budget__max_usd=1)
    told = refused(experiment, *nameless)
    assert "needs a device: braket-local (this machine, free), braket-sv1" in told
    assert "by its ARN, as in backend: braket:arn:" in told
    assert "is no device's ARN" in refused(experiment, "--backend", "braket:sv1", *sets(budget__max_usd=1))
    assert braket_env.calls() == []


def test_a_bucket_that_cannot_be_used(experiment, braket_env):
    told = refused(experiment, *PAID, *sets(backend=QUICK | {"bucket": "amazon-braket-nowhere"}))
    assert "the results' bucket 'amazon-braket-nowhere' cannot be used (there is none of that name)" in told
    assert "backend.bucket" in told
    braket_env.fail("s3:HeadBucket", "error", code="AccessDenied", status=403, message="no")
    told = refused(experiment, *PAID, *sets(backend=QUICK | {"bucket": "amazon-braket-others"}))
    assert "AWS refuses it to these credentials" in told
    assert braket_env.tasks() == []


def test_a_device_that_runs_no_circuits(braket_env, tmp_path, monkeypatch):
    from braket.aws import AwsDevice

    monkeypatch.setattr(
        AwsDevice, "properties", property(lambda self: type("Ising", (), {"action": {"analog": None}})())
    )
    with pytest.raises(UnsupportedError, match=r"SV1 runs no OpenQASM circuits.*\nUse braket-sv1"):
        get_backend(QUICK).connect()


def test_shots_that_the_device_does_not_take(experiment, braket_env):
    few = sets(backend={"name": f"braket:{FORTE}"}, shots=50, budget__max_usd=1e6)
    told = run("train", experiment, "--out", "run", *few, code=2).stderr
    assert "Forte 1 takes 100 to 5,000 shots a task, not 50" in told
    exact = sets(backend={"name": f"braket:{GARNET}"}, budget__max_usd=1e6)
    assert "no exact expectations; give a number of shots" in run("train", experiment, *exact, code=2).stderr
    assert braket_env.tasks() == []


# -- secrets -----------------------------------------------------------------------------------------------------------

SECRETS = {
    "AWS_ACCESS_KEY_ID": "AKIAQ7SECRETKEYID123",
    "AWS_SECRET_ACCESS_KEY": "s3cr3t/access+key/0123456789abcdefghijkl",
    "AWS_SESSION_TOKEN": "FwoGZXIvYXdzEXAMPLETOKEN//////0123456789",
}


def test_secrets_are_in_no_text_and_in_no_file(experiment, tmp_path, braket_env, monkeypatch, caplog):
    """Not even where the service repeats them in its errors, and a task's reason holds them."""
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    everything = " ".join(SECRETS.values())
    caplog.set_level(logging.INFO)
    texts = []
    # a whole run with a task that fails, giving all secrets as its reason
    braket_env.fail("CreateQuantumTask", "fail", times=1, reason=f"could not use {everything}")
    small = sets(backend=QUICK, budget__max_usd=5, solver__fixed_steps=1, training__epochs=1)
    texts.append(run("train", experiment, *small, "--out", "run").output)
    assert "failed: could not use ***" in texts[0].replace("\n", "")
    texts += [run("ledger", "run", "--tasks").output, run("ledger", "run", "--json").output]
    # errors in each kind of call, with all secrets in their messages; --debug would show the whole chain
    circuit, none = Circuit(1, (Gate("RX", 0, 0.1),)), torch.zeros(1, 0)
    for operation, code, status in (
        ("GetDevice", "InternalServiceException", 500),
        ("s3:HeadBucket", "AccessDenied", 403),
        ("CreateQuantumTask", "ValidationException", 400),
        ("GetQuantumTask", "AccessDeniedException", 403),
        ("s3:GetObject", "InternalError", 500),
    ):
        braket_env.heal()
        braket_env.fail(operation, "error", code=code, status=status, message=f"bad: {everything}", times=1)
        with spending(Budget(max_usd=1), tmp_path / f"{code}.sqlite"), pytest.raises(BackendError) as caught:
            get_backend(QUICK | {"tries": 1}).expectation(circuit, none, none[0], (Z(0),))
        texts.append("".join(traceback.format_exception(caught.value)))
    texts.append(caplog.text)
    written = [file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()]
    for secret in SECRETS.values():
        assert not any(secret in text for text in texts)
        assert not any(secret.encode() in content for content in written)
    book = Ledger(tmp_path / "run" / "ledger.sqlite")
    assert any("***" in (entry.reason or "") for entry in book.entries())
    book.close()


def test_a_secret_given_as_an_option_is_refused_without_being_told(experiment, tmp_path):
    result = run("show", experiment, *sets(backend=QUICK | {"aws_secret_access_key": "hunter2hunter2"}), code=2)
    assert "unknown option 'aws_secret_access_key'" in result.stderr
    assert "hunter2" not in result.output


def test_without_an_account_a_backend_that_costs_money_does_nothing(braket_env):
    circuit, none = Circuit(1, (Gate("H", 0),)), torch.zeros(1, 0)
    with pytest.raises(BudgetError, match="no budget was given"):
        get_backend(QUICK).expectation(circuit, none, none[0], (Z(0),))
    assert braket_env.calls() == []


def test_a_program_that_the_service_refuses_costs_nothing_and_frees_its_reservation(braket_env, tmp_path):
    braket_env.fail("CreateQuantumTask", "error", code="ValidationException", status=400, message="[line 3] is odd")
    circuit, none = Circuit(1, (Gate("H", 0),)), torch.zeros(1, 0)
    with spending(Budget(max_usd=1), tmp_path / "ledger.sqlite") as account:
        with pytest.raises(BackendError, match=r"the service refuses it: \[line 3\] is odd\nNo task was made of it"):
            get_backend(QUICK).expectation(circuit, none, none[0], (Z(0),))
        assert account.ledger.totals().tasks == 0
        (entry,) = account.ledger.entries()
        assert entry.state == "rejected"
        assert "[line 3] is odd" in entry.reason
