"""A run among faults and kill -9: every result is had once, billed once, and the metrics are those of a quiet run."""

import os
import signal
import time
from collections import Counter

import pytest
from paid_runs import QUICK, figures, run, sets, started, write_experiment

from qdeq.backends.braket_remote import retries
from qdeq.billing.ledger import Ledger

WIRE = {"throttle": 0.05, "error": 0.05, "drop": 0.03, "lost": 0.04, "cut": 0.03}
"""A fifth of all calls, of whatever service: refused, unheard, or carried out without the client's knowing."""
TASKS = {"queue": (0.2, {"polls": 2}), "late_result": (0.2, {"reads": 2}), "fail": (0.05, {"reason": "decoherence"})}
SHORT = 0.2
"""Longest wait [s] between two tries; the service of the tests needs no sparing."""
STUBBORN = {"tries": 12, "resubmissions": 6, "max_parallel": 16}


@pytest.fixture(autouse=True)
def short_waits(monkeypatch):
    monkeypatch.setattr(retries, "LONGEST_WAIT", SHORT)


def disturb(service, seed):
    for number, (kind, probability) in enumerate(WIRE.items()):
        service.fail("*", kind, probability=probability, seed=seed + number)
    for number, (kind, (probability, settings)) in enumerate(TASKS.items()):
        service.fail("CreateQuantumTask", kind, probability=probability, seed=seed + 50 + number, **settings)


def killed_at(tasks, arguments, service):
    """Start the command line in a process of its own, and kill it once the service has seen so many tasks."""
    process = started("train", *arguments, "--force", "-q", service=service, longest_wait=SHORT)
    while process.exitcode is None and len(service.tasks()) < tasks:
        time.sleep(0.02)
    assert process.exitcode is None, "it ended before it could be killed"
    process.kill()
    process.join()
    assert process.exitcode == -signal.SIGKILL


def quiet_and_disturbed(tmp_path, service, changes, kills, images=8):
    """Return the experiment's tasks without faults, after a run of it with faults and kills; its folder is ``run``."""
    experiment = write_experiment(tmp_path, images)
    arguments = [experiment, *sets(**({"backend": QUICK | STUBBORN, "budget__max_usd": 100} | changes))]
    run("train", *arguments, "--out", tmp_path / "quiet", "-q")
    count = len(service.tasks())
    service.reset()
    disturb(service, seed=11)
    for number in range(1, kills + 1):
        killed_at(number * count // (kills + 1), [*arguments, "--out", tmp_path / "run"], service)
    run("train", *arguments, "--out", tmp_path / "run", "--force", "-q")
    return count


def check_once(tmp_path, service, count):
    assert figures(tmp_path / "run") == figures(tmp_path / "quiet")  # to the last digit
    tasks, bill = service.tasks(), service.bill()
    ended = Counter(task["status"] for task in tasks)
    assert ended == {"COMPLETED": count, "FAILED": ended["FAILED"]}
    content = Counter((task["action"], task["shots"]) for task in tasks if task["status"] == "COMPLETED")
    assert max(content.values()) == 1  # no circuit was paid for twice
    book = Ledger(tmp_path / "run" / "ledger.sqlite")
    rows = Counter(entry.state for entry in book.entries())
    assert rows == {"completed": count, "failed": ended["FAILED"]}
    assert {entry.arn for entry in book.entries()} == {task["arn"] for task in tasks}
    assert sum(entry.cost for entry in book.entries()) == round(bill["usd"] * 1e9)
    book.close()
    return tasks


def test_faults_and_a_kill_change_neither_the_result_nor_the_bill(tmp_path, braket_env):
    changes = {"training__epochs": 1, "solver__fixed_steps": 2, "backend": QUICK | STUBBORN | {"execution": "circuits"}}
    count = quiet_and_disturbed(tmp_path, braket_env, changes, kills=1)
    tasks = check_once(tmp_path, braket_env, count)
    struck = {rule["kind"]: rule["hits"] for rule in braket_env.struck()}
    assert sum(struck[kind] for kind in WIRE) > 10
    assert struck["lost"] > 0
    assert len({task["token"] for task in tasks}) == len(tasks)


@pytest.mark.slow
@pytest.mark.skipif(not os.environ.get("QDEQ_LONG"), reason="takes minutes; set QDEQ_LONG=1 to run it")
def test_a_thousand_tasks_a_fifth_of_faults_and_three_kills(tmp_path, braket_env):
    backend = QUICK | STUBBORN | {"execution": "circuits", "gradient": "parameter-shift"}
    changes = {"backend": backend, "solver__fixed_steps": 3, "training__epochs": 2, "training__batch_size": 16}
    count = quiet_and_disturbed(tmp_path, braket_env, changes, kills=3, images=48)
    assert count >= 1000
    check_once(tmp_path, braket_env, count)
    calls = Counter((call["operation"], call["fault"]) for call in braket_env.calls())
    print(f"{count} results; calls by operation and fault: {dict(calls)}")
    print(f"rules and hits: {braket_env.struck()}; bill: {braket_env.bill()}")


@pytest.mark.slow
def test_under_shots_too_a_rerun_takes_the_shots_that_were_paid_for(tmp_path, braket_env):
    changes = {"shots": 20, "training__epochs": 1, "solver__fixed_steps": 1, "model__ansatz": "hardware-efficient"}
    experiment = write_experiment(tmp_path)
    arguments = [experiment, *sets(backend=QUICK | STUBBORN, budget__max_usd=100, **changes), "--out", tmp_path / "run"]
    killed_at(30, arguments, braket_env)
    run("train", *arguments, "--force", "-q")
    first, count = figures(tmp_path / "run"), len(braket_env.tasks())
    run("train", *arguments, "--force", "-q")
    assert figures(tmp_path / "run") == first
    assert len(braket_env.tasks()) == count
    book = Ledger(tmp_path / "run" / "ledger.sqlite")
    assert len(book.entries()) == count  # none was lost in between, and none made twice
    assert {entry.state for entry in book.entries()} == {"completed"}
    book.close()
