"""The ledger: every execution that costs money, on disk before it is asked for, in one SQLite file.

Processes share it (write-ahead log, busy timeout). A row is written before the request, with the client token that the
request carries, so that a request repeated after a crash is the same task; the task's name follows, then its result and
what it cost. An execution is known by its content: what was computed before is read, not paid for again.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
import threading
import time
import uuid
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

from qdeq.errors import LedgerError

State = Literal["reserved", "sent", "completed", "failed", "cancelled", "rejected"]
"""``reserved``: the request may have been made; ``sent``: the service has named the task; ``rejected``: it refused."""

IN_FLIGHT: tuple[State, ...] = ("reserved", "sent")
BUSY_SECONDS = 60.0
"""How long one process waits for another's write."""

_APPLICATION = 0x71646571  # "qdeq", in the file's header
_VERSION = 2
_CONTENT = 1  # of what a content hash is made of
_NAMED = 5
"""At most so many damaged results are named."""
_COLUMNS = (
    "hash, attempt, backend, device, qubits, shots, key, token, destination, arn, state, reserved, cost, seconds, "
    "result, reason, created, updated"
)
_SCHEMA = """
CREATE TABLE executions (
    id INTEGER PRIMARY KEY, hash TEXT NOT NULL, attempt INTEGER NOT NULL, backend TEXT NOT NULL, device TEXT NOT NULL,
    qubits INTEGER NOT NULL, shots INTEGER NOT NULL, key TEXT, token TEXT NOT NULL UNIQUE,
    destination TEXT NOT NULL, arn TEXT, state TEXT NOT NULL, reserved INTEGER NOT NULL, cost INTEGER NOT NULL,
    seconds REAL, result TEXT, reason TEXT, created REAL NOT NULL, updated REAL NOT NULL,
    checksum TEXT, UNIQUE (hash, attempt)
);
CREATE INDEX by_state ON executions (state);
CREATE INDEX by_device ON executions (device, seconds);
"""


@dataclass(frozen=True)
class Execution:
    """One execution, by content: with shots under the same key, and without shots always, its result may be reused.

    Attributes:
        backend: Name of the backend.
        device: The device's ARN.
        program: The circuit with its values, and what is asked of it.
        qubits: Size of the register.
        wants: What comes back: expectations, the gradient of one expectation (after its value), or counts.
        size: How many numbers come back; 0 for counts.
        inputs: Values of the program's parameters, where it has any.
        shots: 0 for exact.
        key: Names the shots; None for exact.
    """

    backend: str
    device: str
    program: str
    qubits: int
    wants: Literal["expectations", "gradient", "counts"]
    size: int = 0
    inputs: tuple[tuple[str, float], ...] = ()
    shots: int = 0
    key: str | None = None

    @cached_property
    def hash(self) -> str:
        """SHA-256 of the content, in hexadecimal."""
        content = (_CONTENT, self.backend, self.device, self.program, self.inputs, self.shots, self.key)
        return hashlib.sha256(json.dumps(content).encode()).hexdigest()


@dataclass(frozen=True)
class Result:
    """What an execution gave.

    Attributes:
        values: Expectations, or an expectation and its gradient.
        counts: How often each outcome was measured; an outcome has one character a qubit, qubit 0 first.
    """

    values: tuple[float, ...] = ()
    counts: tuple[tuple[str, int], ...] = ()

    @property
    def shots(self) -> int:
        """How often was measured; 0 without counts."""
        return sum(count for _, count in self.counts)

    def to_json(self) -> str:
        """Return the result as JSON text, every number with all its digits."""
        return json.dumps({"counts": dict(self.counts)} if self.counts else {"values": self.values}, allow_nan=False)

    @classmethod
    def from_json(cls, text: str) -> Result:
        """Read what :meth:`to_json` wrote."""
        data = json.loads(text)
        return cls(tuple(data.get("values", ())), tuple(data.get("counts", {}).items()))


@dataclass(frozen=True)
class Entry:
    """One row: an attempt at an execution. Money is in nano-dollars, times in seconds."""

    hash: str
    attempt: int
    backend: str
    device: str
    qubits: int
    shots: int
    key: str | None
    token: str
    destination: str
    arn: str | None
    state: State
    reserved: int
    cost: int
    seconds: float | None
    result: str | None
    reason: str | None
    created: float
    updated: float
    fresh: bool = False
    """Whether the row was made just now, so that no request can have been made before."""


@dataclass(frozen=True)
class Limits:
    """What all rows of a ledger together may not pass; None for no limit."""

    cost: int
    tasks: int | None = None
    shots: int | None = None


@dataclass(frozen=True)
class Totals:
    """What has been used up: finished tasks at their cost, all others at what was reserved for them.

    A task that failed keeps its reservation: nothing says that it was free.
    """

    tasks: int = 0
    shots: int = 0
    cost: int = 0

    def exceeded(self, limits: Limits) -> str | None:
        """Return the first limit that is passed, as the budget calls it."""
        given = (("max_usd", self.cost, limits.cost), ("max_tasks", self.tasks, limits.tasks))
        for name, used, limit in (*given, ("max_shots", self.shots, limits.shots)):
            if limit is not None and used > limit:
                return name
        return None


def _checksum(*content: str | float | None) -> str:
    """Return what shows that a completed row was altered: by accident, or by hand; not by who can compute it too."""
    return hashlib.sha256(repr(content).encode()).hexdigest()


class Ledger:
    """An open ledger; threads may share it, and processes the file.

    Args:
        path: The file; made where there is none.

    Raises:
        LedgerError: It cannot be opened, or is no ledger.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._lock = threading.RLock()
        try:
            self._connection = sqlite3.connect(
                self.path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False
            )
            self._prepare()
        except sqlite3.Error as error:
            raise self._error(error) from error

    def _prepare(self) -> None:
        run = self._connection.execute
        with self._transaction():
            (application,), (version,) = run("PRAGMA application_id").fetchone(), run("PRAGMA user_version").fetchone()
            if not application and not run("SELECT count(*) FROM sqlite_master").fetchone()[0]:
                for statement in _SCHEMA.split(";\n"):
                    run(statement)
                run(f"PRAGMA application_id = {_APPLICATION}")
                run(f"PRAGMA user_version = {_VERSION}")
            elif (application, version) != (_APPLICATION, _VERSION):
                raise LedgerError(
                    f"{self.path}: is no ledger of this version of qdeq\nName another file as budget.ledger."
                )
        damage = run("PRAGMA integrity_check(1)").fetchone()[0]
        if damage != "ok":  # a task that cannot be read would be paid for again
            raise self._damaged(damage)
        run("PRAGMA synchronous = FULL")  # a committed token has to survive a power cut, not only a crash
        for attempt in range(50):  # of processes that begin together one makes the change, without the busy timeout
            try:
                run("PRAGMA journal_mode = WAL")
                return
            except sqlite3.OperationalError:
                if attempt == 49:
                    raise
                time.sleep(0.1)

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        """Read and write as one, alone among threads and processes."""
        with self._lock:
            self._rows("BEGIN IMMEDIATE")
            try:
                yield
                self._rows("COMMIT")
            except BaseException:
                if self._connection.in_transaction:  # SQLite itself rolls back where the disk is full
                    self._rows("ROLLBACK")
                raise

    # -- reading ------------------------------------------------------------------------------------------------------

    def results(self, hashes: Iterable[str]) -> dict[str, Result]:
        """Return the results that are known already, by content hash."""
        wanted, found = list(hashes), {}
        for start in range(0, len(wanted), 500):
            part = wanted[start : start + 500]
            where = f"hash IN ({', '.join('?' * len(part))})"
            found.update({name: Result.from_json(text) for name, text in self._completed(where, part)})
        return found

    def verify(self) -> None:
        """Read every completed result.

        Raises:
            LedgerError: Some are not as they were written; it says which.
        """
        self._completed("1")

    def _completed(self, where: str, values: Sequence[str] = ()) -> list[tuple[str, str]]:
        """Return content hash and result of rows that have a result, each checked against its checksum."""
        rows = self._rows(
            "SELECT id, arn, state, checksum, hash, token, result, cost, seconds FROM executions"
            f" WHERE (state = 'completed' OR checksum IS NOT NULL) AND {where} ORDER BY id",
            values,
        )
        bad = [
            f"row {row}, {arn}"
            for row, arn, state, checksum, *content in rows
            if state != "completed" or checksum != _checksum(*content)
        ]
        if bad:
            named = "; ".join([*bad[:_NAMED], *(["..."] if bad[_NAMED:] else [])])
            raise self._damaged(f"{len(bad)} of {len(rows)} results are not as they were written: {named}")
        return [(name, text) for *_, name, _, text, _, _ in rows]

    def entries(self, states: Sequence[State] = ()) -> list[Entry]:
        """Return all rows, or those in some states, oldest first."""
        where = f"WHERE state IN ({', '.join('?' * len(states))})" if states else ""
        return [Entry(*row) for row in self._rows(f"SELECT {_COLUMNS} FROM executions {where} ORDER BY id", states)]

    def in_flight(self) -> list[Entry]:
        """Return the tasks whose end is not known."""
        return self.entries(IN_FLIGHT)

    def totals(self) -> Totals:
        """Return what counts against a budget."""
        ((tasks, shots, cost),) = self._rows(
            "SELECT count(*), coalesce(sum(shots), 0),"
            " coalesce(sum(CASE state WHEN 'completed' THEN cost ELSE reserved END), 0)"
            " FROM executions WHERE state != 'rejected'"
        )
        return Totals(tasks, shots, cost)

    def longest(self, device: str) -> float:
        """Return the longest time that a task on the device was billed for [s]."""
        ((seconds,),) = self._rows("SELECT coalesce(max(seconds), 0) FROM executions WHERE device = ?", [device])
        return float(seconds)

    # -- writing ------------------------------------------------------------------------------------------------------

    def reserve(
        self, wanted: Sequence[tuple[Execution, int]], limits: Limits, destination: str
    ) -> tuple[list[Entry], str | None]:
        """Make rows for executions, in order, until one would pass a limit; on disk when this returns.

        An execution that is completed or in flight, here or in another process, is not reserved again.

        Args:
            wanted: Executions, and the most that each is expected to cost [nano-dollars].
            limits: What the whole ledger may not pass.
            destination: Where the service is to leave the result.

        Returns:
            The newest row of each execution, as far as it went, and the limit that was in the way, if any.
        """
        entries: list[Entry] = []
        with self._transaction():
            used = self.totals()
            for execution, amount in wanted:
                entry = self._newest(execution.hash)
                if entry is None or entry.state in ("failed", "cancelled", "rejected"):
                    after = Totals(used.tasks + 1, used.shots + execution.shots, used.cost + amount)
                    if name := after.exceeded(limits):
                        return entries, name
                    used = after
                    entry = self._insert(execution, 1 + (entry.attempt if entry else 0), amount, destination)
                entries.append(entry)
        return entries, None

    def _newest(self, name: str) -> Entry | None:
        rows = self._rows(f"SELECT {_COLUMNS} FROM executions WHERE hash = ? ORDER BY attempt DESC LIMIT 1", [name])
        return Entry(*rows[0]) if rows else None

    def _insert(self, execution: Execution, attempt: int, amount: int, destination: str) -> Entry:
        now, token = time.time(), str(uuid.uuid4())
        row = (execution.hash, attempt, execution.backend, execution.device, execution.qubits, execution.shots)
        more = (execution.key, token, destination, None, "reserved", amount, 0, None, None, None, now, now)
        self._rows(f"INSERT INTO executions ({_COLUMNS}) VALUES ({', '.join('?' * 18)})", [*row, *more])
        return Entry(*row, *more, fresh=True)  # type: ignore[arg-type]

    def sent(self, token: str, arn: str) -> None:
        """Note the name that the service gave the task, be it that another process took it for refused.

        Raises:
            LedgerError: It is another one than before: the service did not honour the token. Both are counted.
        """
        with self._transaction():
            ((known,),) = self._rows("SELECT arn FROM executions WHERE token = ?", [token])
            if known in (None, arn):
                self._update(token, (*IN_FLIGHT, "rejected"), state="sent", arn=arn)
                return
            self._insert_second(token, arn)
        raise LedgerError(
            f"the service made a second task of one client token: {known} and {arn}\n"
            "Both may be billed, and both are counted: look at them in the console of Amazon Braket."
        )

    def _insert_second(self, token: str, arn: str) -> None:
        """Count a task that should not be there as one that failed: its result is not needed, its price may be due."""
        reason = f"a second task of the client token {token}"
        self._rows(
            f"INSERT OR IGNORE INTO executions ({_COLUMNS}) SELECT hash, (SELECT min(attempt) - 1 FROM executions"
            " AS all_of WHERE all_of.hash = executions.hash), backend, device, qubits, shots, key, ?, destination, ?,"
            " 'failed', reserved, 0, NULL, NULL, ?, ?, ? FROM executions WHERE token = ?",
            [f"{token}/{arn}", arn, reason, time.time(), time.time(), token],
        )

    def complete(self, token: str, result: Result, cost: int, seconds: float | None) -> None:
        """Note a result and what it cost [nano-dollars]."""
        text, seconds = result.to_json(), None if seconds is None else float(seconds)
        with self._transaction():
            ((name,),) = self._rows("SELECT hash FROM executions WHERE token = ?", [token])
            checksum = _checksum(name, token, text, cost, seconds)
            self._update(token, state="completed", result=text, cost=cost, seconds=seconds, checksum=checksum)

    def end(self, token: str, state: State, reason: str) -> None:
        """Note that a task ended without a result: ``failed``, ``cancelled``, or ``rejected`` if it has no name yet."""
        with self._transaction():
            # another process may have been given the name of a task that this one was refused
            self._update(token, ("reserved",) if state == "rejected" else IN_FLIGHT, state=state, reason=reason)

    def _update(self, token: str, among: Sequence[State] = IN_FLIGHT, **values: str | float | None) -> None:
        """Change a row, unless its task has ended: two processes may both have waited for it."""
        columns = ", ".join(f"{name} = ?" for name in (*values, "updated"))
        self._rows(
            f"UPDATE executions SET {columns} WHERE token = ? AND state IN ({', '.join('?' * len(among))})",
            [*values.values(), time.time(), token, *among],
        )

    def _rows(self, statement: str, values: Sequence[str | float | None] = ()) -> list[tuple]:
        with self._lock:
            try:
                return self._connection.execute(statement, values).fetchall()
            except sqlite3.Error as error:
                raise self._error(error) from error

    def _damaged(self, how: str) -> LedgerError:
        return LedgerError(
            f"{self.path}: the ledger is damaged ({how})\n"
            "What it says of tasks cannot be trusted: put a copy back, or name another file as budget.ledger."
        )

    def _error(self, error: sqlite3.Error) -> LedgerError:
        if "malformed" in str(error):
            return self._damaged(str(error))
        if "locked" in str(error):
            return LedgerError(
                f"{self.path}: another process has held the ledger for {BUSY_SECONDS:g} s\n"
                "See which one it is (`fuser`, `lsof`), and run the same again: nothing is paid for twice."
            )
        return LedgerError(
            f"{self.path}: the ledger cannot be used ({error})\n"
            "Look at its folder, its rights and the space on its disk; budget.ledger names another file."
        )
