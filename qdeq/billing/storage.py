"""The ledger's file: one SQLite database, its schema, transactions that are on disk when they end, errors in words.

Processes share it (write-ahead log, busy timeout), on a local disk.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from qdeq.errors import LedgerError

BUSY_SECONDS = 60.0
"""How long one process waits for another's write."""

APPLICATION = 0x71646571  # "qdeq", in the file's header
VERSION = 2
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


class LedgerFile:
    """An open file; threads may share it.

    Args:
        path: Made where there is none.

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
        except sqlite3.Error as error:
            raise self._error(error) from error
        try:
            self._prepare()
        except BaseException:
            self._connection.close()
            raise

    def _prepare(self) -> None:
        with self.transaction():
            ((application,),), ((version,),) = self.rows("PRAGMA application_id"), self.rows("PRAGMA user_version")
            if not application and not self.rows("SELECT count(*) FROM sqlite_master")[0][0]:
                for statement in _SCHEMA.split(";\n"):
                    self.rows(statement)
                self.rows(f"PRAGMA application_id = {APPLICATION}")
                self.rows(f"PRAGMA user_version = {VERSION}")
            elif (application, version) != (APPLICATION, VERSION):
                raise LedgerError(
                    f"{self.path}: is no ledger of this version of qdeq\nName another file as budget.ledger."
                )
        ((damage,),) = self.rows("PRAGMA integrity_check(1)")
        if damage != "ok":  # a task that cannot be read would be paid for again
            raise self.damaged(damage)
        self.rows("PRAGMA synchronous = FULL")  # a committed token has to survive a power cut, not only a crash
        for attempt in range(50):  # of processes that begin together one makes the change, without the busy timeout
            try:
                self._connection.execute("PRAGMA journal_mode = WAL")
                return
            except sqlite3.Error as error:
                if attempt == 49 or not isinstance(error, sqlite3.OperationalError):
                    raise self._error(error) from error
                time.sleep(0.1)

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Read and write as one, alone among threads and processes; on disk when the block ends."""
        with self._lock:
            self.rows("BEGIN IMMEDIATE")
            try:
                yield
                self.rows("COMMIT")
            except BaseException:
                if self._connection.in_transaction:  # SQLite itself rolls back where the disk is full
                    self.rows("ROLLBACK")
                raise

    def rows(self, statement: str, values: Sequence[str | float | None] = ()) -> list[tuple]:
        """Run a statement, and return its rows."""
        with self._lock:
            try:
                return self._connection.execute(statement, values).fetchall()
            except sqlite3.Error as error:
                raise self._error(error) from error

    def damaged(self, how: str) -> LedgerError:
        """Return the error for a ledger that does not hold what was written."""
        return LedgerError(
            f"{self.path}: the ledger is damaged ({how})\n"
            "What it says of tasks cannot be trusted: put a copy back, or name another file as budget.ledger."
        )

    def _error(self, error: sqlite3.Error) -> LedgerError:
        if "malformed" in str(error):
            return self.damaged(str(error))
        if "locked" in str(error):
            return LedgerError(
                f"{self.path}: another process has held the ledger for {BUSY_SECONDS:g} s\n"
                "See which one it is (`fuser`, `lsof`), and run the same again: nothing is paid for twice."
            )
        return LedgerError(
            f"{self.path}: the ledger cannot be used ({error})\n"
            "Look at its folder, its rights and the space on its disk; budget.ledger names another file."
        )
