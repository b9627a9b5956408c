"""The ledger: on disk before anything is asked for, shared by processes, and summed without rounding."""

import os
import shutil
import sqlite3
import stat
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from patience import HANG

from qdeq.billing.entries import Limits, Totals
from qdeq.billing.execution import Execution, Result
from qdeq.billing.ledger import Ledger
from qdeq.billing.lost_tasks import give_up, put_aside
from qdeq.billing.spent import check_holds, spent_in, stand_in_for
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


# -- what was written before, and who may read it ----------------------------------------------------------------------

SV1 = "arn:aws:braket:::device/quantum-simulator/amazon/sv1"
RY = "OPENQASM 3.0;\nqubit[1] q;\nry({}) q[0];\n#pragma braket result expectation z(q[0])\n"
FLIP = "OPENQASM 3.0;\nbit[1] b;\nqubit[1] q;\nh q[0];\nb[0] = measure q[0];\n"


def test_a_ledger_of_0_1_0_opens_with_its_results_and_what_it_counted(tmp_path):
    path = tmp_path / "ledger.sqlite"
    shutil.copy(Path(__file__).parent / "fixtures" / "ledger-0.1.0.sqlite", path)
    exact = Execution("braket-sv1", SV1, RY.format(0.3), 1, "expectations", 1)
    counts = Execution("braket-sv1", SV1, FLIP, 1, "counts", shots=8, key="7/train/1/0")
    book = Ledger(path)
    book.verify()
    found = book.results([exact.hash, counts.hash])
    assert found[exact.hash].values == (0.955336489125606,)
    assert dict(found[counts.hash].counts) == {"0": 3, "1": 5}
    assert book.totals() == Totals(4, 8, 2 * 3_750_000 + 2 * 7_500_000)
    assert [(entry.state, entry.asked) for entry in book.entries()] == [
        ("completed", None), ("completed", None), ("sent", None), ("failed", None),
    ]  # fmt: skip
    own = spent_in(book).ledger
    book.close()
    book = Ledger(path)  # and again, as it is written now
    assert (spent_in(book).ledger, book.totals().tasks) == (own, 4)
    book.close()


def test_only_its_owner_may_read_a_ledger_and_what_belongs_to_it(tmp_path):
    old = os.umask(0)
    try:
        book = Ledger(tmp_path / "ledger.sqlite")
        (entry,), _ = book.reserve([(ONE, 5)], WIDE, "s3://bucket/prefix")
        aside = put_aside(book, entry, b"\xff", "wrong")
    finally:
        os.umask(old)
    assert aside.read_bytes() == b"\xff"
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(files) == 4  # the database, its log, the log's index, and what was put aside
    assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}
    assert stat.S_IMODE(aside.parent.stat().st_mode) == 0o700
    book.close()


# -- the ledger of a run -----------------------------------------------------------------------------------------------


def test_another_ledger_and_an_older_copy_are_told_from_a_run_s_own(tmp_path, ledger):
    ledger.reserve([(ONE, 5)], WIDE, "s3://bucket/prefix")
    ledger.file.rows("PRAGMA wal_checkpoint(TRUNCATE)")
    shutil.copy(ledger.path, tmp_path / "copy.sqlite")
    ledger.reserve([(other(1), 7)], WIDE, "s3://bucket/prefix")
    known = spent_in(ledger)
    assert (known.rows, known.tasks, known.shots, known.cost) == (2, 2, 0, 12)
    check_holds(ledger, known)
    copy, stranger = Ledger(tmp_path / "copy.sqlite"), Ledger(tmp_path / "stranger.sqlite")
    with pytest.raises(LedgerError, match="an older copy of the run's ledger: it has 1 of 2 tasks"):
        check_holds(copy, known)
    with pytest.raises(
        LedgerError, match=r"another ledger than the run's, in which 2 tasks .* were counted\nPut the run's"
    ):
        check_holds(stranger, known)
    for _ in range(2):  # once is enough, and twice is not more
        stand_in_for(stranger, known)
    check_holds(stranger, known)
    assert stranger.totals() == Totals(2, 0, 12)
    assert stranger.reserve([(ONE, 5)], Limits(16), "s3://bucket/prefix")[1] == "max_usd"
    later = spent_in(stranger)
    third = Ledger(tmp_path / "third.sqlite")
    stand_in_for(third, later)
    assert third.totals() == stranger.totals()
    for book in (copy, stranger, third):
        book.close()


def test_numbers_that_no_ledger_holds_are_refused_in_words(ledger):
    (entry,), _ = ledger.reserve([(ONE, 5)], WIDE, "s3://bucket/prefix")
    with pytest.raises(LedgerError, match="cannot be used"):
        ledger.complete(entry.token, Result(values=(0.0,)), cost=10**30, seconds=1.0)
    assert [row.state for row in ledger.entries()] == ["reserved"]


def test_a_task_is_given_up_by_any_of_its_names_and_stays_counted(ledger):
    entries, _ = ledger.reserve([(other(number), 10) for number in range(3)], WIDE, "s3://bucket/prefix")
    ledger.sent(entries[0].token, "arn:quantum-task/one")
    ledger.sent(entries[1].token, "arn:quantum-task/two")
    for name in ("arn:quantum-task/one", "two", entries[2].token):
        assert give_up(ledger, name).state in ("sent", "reserved")
        with pytest.raises(LedgerError, match="is not in flight: it is failed"):
            give_up(ledger, name)
    assert ledger.totals() == Totals(3, 0, 30)
    for name in ("%", "", "arn", "quantum-task/one/"):
        with pytest.raises(LedgerError, match="no tasks are called"):
            give_up(ledger, name)
    ((again,), _) = ledger.reserve([(other(0), 10)], WIDE, "s3://bucket/prefix")
    assert (again.attempt, again.fresh) == (2, True)
    ledger.complete(entries[0].token, Result(values=(0.5,)), cost=3, seconds=None)  # it appears after all
    assert ledger.results([other(0).hash]) == {}
