"""The ledger: on disk before anything is asked for, shared by processes, and summed without rounding."""

import sqlite3
import subprocess
import sys
from dataclasses import replace

import pytest
from patience import HANG

from qdeq.billing.entries import Limits, Totals
from qdeq.billing.execution import Execution, Result
from qdeq.billing.ledger import Ledger
from qdeq.errors import LedgerError

WIDE = Limits(10**12)
ONE = Execution(backend="b", device="arn:device/x", program="h q[0];", qubits=1, wants="expectations", size=1)


def other(number, **changes):
    return replace(ONE, program=f"rx({number}) q[0];", **changes)


@pytest.fixture
def ledger(tmp_path):
    book = Ledger(tmp_path / "ledger.sqlite")
    yield book
    book.close()


def test_a_reservation_is_on_disk_with_its_token_when_it_returns(ledger):
    (entry,), limit = ledger.reserve([(ONE, 5)], WIDE, "s3://bucket/prefix")
    assert limit is None
    assert entry.fresh
    with sqlite3.connect(ledger.path) as second:  # as another process would see it
        row = second.execute("SELECT token, state, arn, destination FROM executions").fetchone()
    assert row == (entry.token, "reserved", None, "s3://bucket/prefix")


def test_an_execution_in_flight_is_not_reserved_again_and_keeps_its_token(ledger):
    (first,), _ = ledger.reserve([(ONE, 5)], WIDE, "s3://bucket/one")
    ledger.sent(first.token, "arn:task/1")
    (again,), _ = Ledger(ledger.path).reserve([(ONE, 7)], WIDE, "s3://bucket/two")
    assert (again.token, again.arn, again.destination, again.reserved) == (
        first.token,
        "arn:task/1",
        "s3://bucket/one",
        5,
    )
    assert not again.fresh


def test_a_result_comes_back_digit_by_digit_and_is_paid_for_once(ledger):
    (entry,), _ = ledger.reserve([(ONE, 5)], WIDE, "s3://bucket/prefix")
    assert ledger.results([ONE.hash]) == {}
    result = Result(values=(0.1, 1 / 3, -5e-324, 1e300))
    ledger.complete(entry.token, result, cost=3, seconds=1.5)
    ledger.complete(entry.token, Result(values=(9.0,)), cost=9, seconds=9.0)  # a second process that waited too
    ledger.end(entry.token, "failed", "too late")
    assert ledger.results([ONE.hash, other(1).hash]) == {ONE.hash: result}
    assert ledger.totals() == Totals(1, 0, 3)
    assert ledger.longest(ONE.device) == 1.5
    counts = Result(counts=(("01", 3), ("10", 5)))
    assert Result.from_json(counts.to_json()) == counts


@pytest.mark.parametrize(
    ("limits", "name", "fitting"),
    [
        (Limits(30), None, 3),  # exactly the limit is within it
        (Limits(29), "max_usd", 2),
        (Limits(100, tasks=2), "max_tasks", 2),
        (Limits(100, shots=25), "max_shots", 2),
        (Limits(9), "max_usd", 0),
    ],
)
def test_no_reservation_passes_a_limit(ledger, limits, name, fitting):
    wanted = [(other(number, shots=10, key="k", wants="counts"), 10) for number in range(3)]
    entries, limit = ledger.reserve(wanted, limits, "s3://bucket/prefix")
    assert (limit, len(entries)) == (name, fitting)
    assert ledger.totals().tasks == fitting


def test_what_counts_is_the_cost_of_what_ended_and_the_reservation_of_all_else(ledger):
    wanted = [(other(number), 10) for number in range(5)]
    entries, _ = ledger.reserve(wanted, WIDE, "s3://bucket/prefix")
    ledger.complete(entries[0].token, Result(values=(0.0,)), cost=4, seconds=None)
    ledger.end(entries[1].token, "failed", "decoherence")
    ledger.end(entries[2].token, "cancelled", "asked for")
    ledger.end(entries[3].token, "rejected", "no such gate")  # no task was made of it
    assert ledger.totals() == Totals(4, 0, 4 + 10 + 10 + 10)
    assert [entry.token for entry in ledger.in_flight()] == [entries[4].token]


def test_a_failed_task_is_followed_by_a_new_one_under_another_token(ledger):
    (first,), _ = ledger.reserve([(ONE, 10)], WIDE, "s3://bucket/prefix")
    ledger.end(first.token, "failed", "decoherence")
    entries, limit = ledger.reserve([(ONE, 10)], Limits(100, tasks=1), "s3://bucket/prefix")
    assert (entries, limit) == ([], "max_tasks")  # the failed one counts
    (second,), _ = ledger.reserve([(ONE, 10)], WIDE, "s3://bucket/prefix")
    assert (first.attempt, second.attempt) == (1, 2)
    assert first.token != second.token


def test_a_second_task_of_one_token_is_an_alarm(ledger):
    (entry,), _ = ledger.reserve([(ONE, 10)], WIDE, "s3://bucket/prefix")
    ledger.sent(entry.token, "arn:task/1")
    ledger.sent(entry.token, "arn:task/1")
    with pytest.raises(LedgerError, match="a second task of one client token: arn:task/1 and arn:task/2"):
        ledger.sent(entry.token, "arn:task/2")


def test_everything_that_changes_a_result_changes_the_hash():
    counted = replace(ONE, shots=10, key="0/1", wants="counts")
    variants = [
        ONE,
        replace(ONE, backend="c"),
        replace(ONE, device="arn:device/y"),
        replace(ONE, program="x q[0];"),
        replace(ONE, inputs=(("g0", 0.1),)),
        replace(ONE, inputs=(("g0", 0.1 + 1e-16),)),
        counted,
        replace(counted, shots=11),
        replace(counted, key="0/2"),
    ]
    assert len({variant.hash for variant in variants}) == len(variants)
    assert replace(ONE).hash == ONE.hash


RACE = """
import sys, time
from dataclasses import replace
from qdeq.billing.entries import Limits
from qdeq.billing.execution import Execution
from qdeq.billing.ledger import Ledger
path, begin, start = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
one = Execution(backend="b", device="arn:device/x", program="", qubits=1, wants="expectations", size=1)
time.sleep(max(0.0, start - time.time()))
book = Ledger(path)
for number in range(begin, begin + 40):
    (entry,), limit = book.reserve([(replace(one, program=str(number % 60)), 1)], Limits(10**6), "s3://b/p")
    book.sent(entry.token, "arn:task/" + entry.token)
"""


def test_processes_that_race_make_one_row_of_each_execution(tmp_path):
    import time

    path, start = tmp_path / "ledger.sqlite", time.time() + 1.5
    command = [sys.executable, "-c", RACE, str(path)]
    racers = [subprocess.Popen([*command, str(begin), str(start)]) for begin in (0, 20, 40)]
    assert [racer.wait(HANG) for racer in racers] == [0, 0, 0]
    book = Ledger(path)
    assert book.totals() == Totals(60, 0, 60)
    assert len({entry.hash for entry in book.entries()}) == 60
    book.close()


def test_a_file_that_is_no_ledger_is_left_alone(tmp_path):
    text, strange = tmp_path / "notes.txt", tmp_path / "other.sqlite"
    text.write_text("not a data base " * 100)
    with sqlite3.connect(strange) as connection:
        connection.execute("CREATE TABLE mine (x)")
    for path in (text, strange, tmp_path / "no such folder" / "ledger.sqlite", tmp_path):
        with pytest.raises(LedgerError, match="ledger") as caught:
            Ledger(path)
        assert str(path) in str(caught.value)
        assert len(str(caught.value).splitlines()) == 2
    assert text.read_text().startswith("not a data base")
