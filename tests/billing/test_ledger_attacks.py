"""Ledgers that are locked, damaged or foreign, and services that break their word: said, and never paid for twice."""

import sqlite3
import threading
import time
from dataclasses import replace

import pytest
from typer.testing import CliRunner

from qdeq.billing import storage
from qdeq.billing.entries import Limits, Totals
from qdeq.billing.execution import Execution, Result
from qdeq.billing.ledger import Ledger
from qdeq.cli.commands import app
from qdeq.errors import LedgerError

WIDE = Limits(10**12)
ONE = Execution(backend="b", device="arn:device/x", program="h q[0];", qubits=1, wants="expectations", size=1)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "ledger.sqlite"


def filled(path, rows=200):
    """Write a ledger of some pages, all of it in the file itself."""
    book = Ledger(path)
    wanted = [(replace(ONE, program=str(number)), 5) for number in range(rows)]
    entries, _ = book.reserve(wanted, WIDE, "s3://bucket/prefix")
    for entry in entries:
        book.complete(entry.token, Result(values=(0.5,) * 20), cost=3, seconds=1.0)
    book.file.rows("PRAGMA wal_checkpoint(TRUNCATE)")
    book.close()
    return [execution.hash for execution, _ in wanted]


def test_every_commit_is_forced_to_the_disk_and_readers_do_not_wait(path):
    book = Ledger(path)
    assert book.file.rows("PRAGMA synchronous") == [(2,)]  # FULL: a token survives a power cut
    assert book.file.rows("PRAGMA journal_mode") == [("wal",)]
    book.reserve([(ONE, 5)], WIDE, "s3://b/p")
    with sqlite3.connect(path) as reader:
        book.file.rows("BEGIN IMMEDIATE")
        assert reader.execute("SELECT count(*) FROM executions").fetchone() == (1,)
        book.file.rows("ROLLBACK")
    book.close()


@pytest.mark.parametrize("keep", [0.3, 0.6, 0.95])
def test_a_truncated_ledger_is_refused_when_it_is_opened(path, keep):
    filled(path)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * keep)])
    with pytest.raises(LedgerError, match="is damaged") as caught:
        Ledger(path)
    assert len(str(caught.value).splitlines()) == 2
    assert path.stat().st_size == int(len(content) * keep)  # and is left alone


def test_a_ledger_with_pages_overwritten_is_refused_when_it_is_opened(path):
    filled(path)
    content = bytearray(path.read_bytes())
    content[8192:16384] = bytes(8192)
    path.write_bytes(content)
    with pytest.raises(LedgerError, match="is damaged"):
        Ledger(path)


@pytest.mark.parametrize(
    "change",
    [
        "result = '{\"values\": [0.5'",
        "result = replace(result, '0.5', '0.6')",
        "cost = 2",
        "seconds = 0.5",
        "token = 'another'",
        "state = 'failed'",
        "checksum = NULL",
        "result = x'00'",
    ],
)
def test_a_row_that_was_tampered_with_is_not_taken_and_not_run_again(path, change):
    first, name = filled(path, 2)
    with sqlite3.connect(path) as connection:
        connection.execute(f"UPDATE executions SET {change} WHERE id = 2")
    book = Ledger(path)
    assert list(book.results([first])) == [first]
    for read in (book.verify, lambda: book.results([name])):
        with pytest.raises(LedgerError, match=r"1 of \d results are not as they were written: row 2, "):
            read()
    book.close()
    for options in ([], ["--tasks"], ["--json"]):
        said = CliRunner().invoke(app, ["ledger", str(path), *options])
        assert said.exit_code == 2
        assert "row 2, " in said.stderr
        assert said.stdout == ""


def test_the_command_says_how_many_are_in_flight_and_lists_a_few(path):
    book = Ledger(path)
    entries, _ = book.reserve([(replace(ONE, program=str(number)), 5) for number in range(25)], WIDE, "s3://b/p")
    for number, entry in enumerate(entries[:22]):
        book.sent(entry.token, f"arn:task/{number}")
    book.close()
    said = CliRunner().invoke(app, ["ledger", str(path)], env={"COLUMNS": "200"}).stdout
    assert "25 in flight" in said
    assert "3 of them may be in flight" in said
    assert said.count("arn:task/") == 10
    assert "15 more; --tasks" in said


@pytest.mark.parametrize(
    ("version", "told"),
    [(1, "is no ledger of qdeq"), (storage.VERSION + 1, "reads up to version 3\nUse the qdeq that")],
)
def test_a_ledger_of_another_version_is_refused(path, version, told):
    Ledger(path).close()
    with sqlite3.connect(path) as connection:
        connection.execute(f"PRAGMA user_version = {version}")
    with pytest.raises(LedgerError, match=told):
        Ledger(path)


def test_a_lock_that_another_process_holds_is_waited_for_and_then_told(path, monkeypatch):
    book = Ledger(path)
    other = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")
    released = []

    def release():
        released.append(True)  # before the lock is free, so that it is seen whoever is next
        other.execute("ROLLBACK")

    threading.Timer(0.4, release).start()
    assert book.reserve([(ONE, 5)], WIDE, "s3://b/p")[1] is None
    assert released
    book.close()
    monkeypatch.setattr(storage, "BUSY_SECONDS", 0.2)
    book = Ledger(path)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(LedgerError, match=r"another process has held the ledger for 0.2 s\nSee which one"):
        book.reserve([(replace(ONE, program="x"), 5)], WIDE, "s3://b/p")
    other.execute("ROLLBACK")
    assert book.reserve([(replace(ONE, program="x"), 5)], WIDE, "s3://b/p")[1] is None  # and goes on
    book.close()


def test_a_commit_that_fails_leaves_nothing_behind_and_the_ledger_usable(path):
    book = Ledger(path)

    class Full:
        """The connection, on a disk that is full at the first commit."""

        def __init__(self, connection):
            self.connection, self.commits = connection, 0

        def execute(self, statement, values=()):
            if statement == "COMMIT":
                self.commits += 1
                if self.commits == 1:
                    raise sqlite3.OperationalError("database or disk is full")
            return self.connection.execute(statement, values)

        def __getattr__(self, name):
            return getattr(self.connection, name)

    book.file._connection = Full(book.file._connection)
    with pytest.raises(LedgerError, match="disk is full"):
        book.reserve([(ONE, 5)], WIDE, "s3://b/p")
    assert book.entries() == []
    assert len(book.reserve([(ONE, 5)], WIDE, "s3://b/p")[0]) == 1
    book.close()


def test_a_second_task_of_one_token_is_counted_and_does_not_hide_the_first(path):
    book = Ledger(path)
    (entry,), _ = book.reserve([(ONE, 10)], WIDE, "s3://b/p")
    book.sent(entry.token, "arn:task/1")
    for _ in range(2):  # however often it is noticed
        with pytest.raises(LedgerError, match="both are counted"):
            book.sent(entry.token, "arn:task/2")
    assert book.totals() == Totals(2, 0, 20)
    assert {row.arn: row.state for row in book.entries()} == {"arn:task/1": "sent", "arn:task/2": "failed"}
    (again,), _ = book.reserve([(ONE, 10)], WIDE, "s3://b/p")
    assert again.arn == "arn:task/1"  # the one whose result is waited for
    book.close()


def test_a_refusal_does_not_undo_what_another_process_was_told(path):
    book = Ledger(path)
    (entry,), _ = book.reserve([(ONE, 10)], WIDE, "s3://b/p")
    book.sent(entry.token, "arn:task/1")
    book.end(entry.token, "rejected", "the device is offline")
    assert [row.state for row in book.in_flight()] == ["sent"]
    (late,), _ = book.reserve([(replace(ONE, program="x"), 10)], WIDE, "s3://b/p")
    book.end(late.token, "rejected", "the device is offline")
    assert book.totals().tasks == 1
    book.sent(late.token, "arn:task/2")  # the same token, sent by another process
    assert book.totals() == Totals(2, 0, 20)
    book.complete(late.token, Result(values=(1.0,)), cost=4, seconds=None)
    assert book.totals() == Totals(2, 0, 14)
    book.close()


def test_a_clock_that_runs_backwards_changes_nothing(path, monkeypatch):
    book, times = Ledger(path), iter(range(10**6, 0, -1000))
    monkeypatch.setattr(time, "time", lambda: float(next(times)))
    (first,), _ = book.reserve([(ONE, 10)], WIDE, "s3://b/p")
    book.end(first.token, "failed", "decoherence")
    (second,), _ = book.reserve([(ONE, 10)], WIDE, "s3://b/p")
    assert second.created < first.created
    (newest,), _ = book.reserve([(ONE, 10)], WIDE, "s3://b/p")
    assert (newest.token, newest.attempt) == (second.token, 2)
    assert [row.token for row in book.entries()] == [first.token, second.token]
    book.close()
