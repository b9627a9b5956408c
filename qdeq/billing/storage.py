"""The ledger's file: one SQLite database, its schema, transactions that are on disk when they end, errors in words.

Processes share it (write-ahead log, busy timeout), on a local disk. Only its owner may read it.
"""

from __future__ import annotations

import os
import sqlite3
import threading
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from qdeq.errors import LedgerError

BUSY_SECONDS = 60.0
"""How long one process waits for another's write."""
IN_MEMORY = ":memory:"
"""In place of a path: a ledger that is gone with its process."""

APPLICATION = 0x71646571  # "qdeq", in the file's header
VERSION = 3
_SCHEMA = """
CREATE TABLE executions (
    id INTEGER PRIMARY KEY, hash TEXT NOT NULL, attempt INTEGER NOT NULL, backend TEXT NOT NULL, device TEXT NOT NULL,
    qubits INTEGER NOT NULL, shots INTEGER NOT NULL, key TEXT, token TEXT NOT NULL UNIQUE,
    destination TEXT NOT NULL, arn TEXT, state TEXT NOT NULL, reserved INTEGER NOT NULL, cost INTEGER NOT NULL,
    seconds REAL, result TEXT, reason TEXT, created REAL NOT NULL, updated REAL NOT NULL,
    checksum TEXT, UNIQUE (hash, attempt)
);
CREATE INDEX by_state ON executions (state);
CREATE INDEX by_device ON executions (device, seconds)"""
_SINCE_3 = """
ALTER TABLE executions ADD COLUMN asked TEXT;
CREATE TABLE ledgers (
    id TEXT NOT NULL, rows INTEGER NOT NULL, tasks INTEGER NOT NULL, shots INTEGER NOT NULL, cost INTEGER NOT NULL
)"""
"""What version 3 added: what each execution asked for, and the ledger's id, with those of lost ones that it counts."""


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
        self._removed: str | None = None
        try:
            self._made_private()
            self._connection = sqlite3.connect(
                self.path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False
            )
        except (sqlite3.Error, OSError) as error:
            raise self._error(error) from error
        self._identity = self._on_disk()
        try:
            self._prepare()
        except BaseException:
            self._connection.close()
            raise

    def _made_private(self) -> None:
        """Make the file, where there is none, for its owner alone; SQLite gives its log the same rights."""
        if str(self.path) != IN_MEMORY:
            with suppress(FileExistsError):
                os.close(os.open(self.path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))

    def _on_disk(self) -> tuple[int, int] | None:
        """Return which file lies at the path; None for none, and for a ledger in memory."""
        try:
            found = None if str(self.path) == IN_MEMORY else self.path.stat()
        except OSError:
            return None
        return found and (found.st_dev, found.st_ino)

    def _prepare(self) -> None:
        with self.transaction():
            ((application,),), ((version,),) = self.rows("PRAGMA application_id"), self.rows("PRAGMA user_version")
            if not application and not self.rows("SELECT count(*) FROM sqlite_master")[0][0]:
                self._run(_SCHEMA)
                self.rows(f"PRAGMA application_id = {APPLICATION}")
                application, version = APPLICATION, 2
            if application != APPLICATION or version < 2:
                raise LedgerError(f"{self.path}: is no ledger of qdeq\nName another file as budget.ledger.")
            if version > VERSION:
                raise LedgerError(
                    f"{self.path}: is a ledger of version {version}, and this qdeq reads up to version {VERSION}\n"
                    "Use the qdeq that wrote it, or name another file as budget.ledger."
                )
            if version == 2:
                self._run(_SINCE_3)
                self.rows("INSERT INTO ledgers VALUES (?, 0, 0, 0, 0)", [str(uuid.uuid4())])
                self.rows(f"PRAGMA user_version = {VERSION}")
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

    def _run(self, script: str) -> None:
        for statement in script.split(";\n"):
            self.rows(statement)

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Read and write as one, alone among threads and processes; on disk when the block ends.

        Raises:
            LedgerError: It cannot be written, or is no longer at its path: what is written would be lost.
        """
        with self._lock:
            self.check_place()
            self.rows("BEGIN IMMEDIATE")
            try:
                yield
                self.rows("COMMIT")
            except BaseException:
                if self._connection.in_transaction:  # SQLite itself rolls back where the disk is full
                    self.rows("ROLLBACK")
                raise

    def check_place(self) -> None:
        """Refuse to go on with a file that is no longer at its path.

        Raises:
            LedgerError: It was removed or replaced; what it held is in a copy beside it.
        """
        with self._lock:
            if self._removed is None and self._on_disk() != self._identity:
                self._removed = (
                    f"{self.path}: the ledger was removed or replaced while it was in use\n"
                    f"{self._saved_copy()}Put it back before you go on, or its tasks are paid for again."
                )
            if self._removed is not None:
                raise LedgerError(self._removed)

    def _saved_copy(self) -> str:
        """Write what the removed file held beside its place, and say where; an empty text where that fails."""
        copy = self.path.with_name(f"{self.path.stem}-{uuid.uuid4().hex[:8]}.sqlite")
        try:
            os.close(os.open(copy, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
            with closing(sqlite3.connect(copy)) as target:
                self._connection.backup(target)
        except (sqlite3.Error, OSError):
            copy.unlink(missing_ok=True)
            return ""
        return f"What it held is in {copy}. "

    def rows(self, statement: str, values: Sequence[str | float | None] = ()) -> list[tuple]:
        """Run a statement, and return its rows."""
        with self._lock:
            try:
                return self._connection.execute(statement, values).fetchall()
            except (sqlite3.Error, OverflowError) as error:  # a number that is none of 64 bits
                raise self._error(error) from error

    def damaged(self, how: str, remedy: str = "put a copy back") -> LedgerError:
        """Return the error for a ledger that does not hold what was written."""
        return LedgerError(
            f"{self.path}: the ledger is damaged ({how})\n"
            f"What it says of tasks cannot be trusted: {remedy}, or name another file as budget.ledger."
        )

    def _error(self, error: sqlite3.Error | OSError | OverflowError) -> LedgerError:
        if "malformed" in str(error):
            return self.damaged(str(error))
        if "locked" in str(error):
            return LedgerError(
                f"{self.path}: another process has held the ledger for {BUSY_SECONDS:g} s\n"
                "See which one it is (`fuser`, `lsof`), and run the same again: nothing is paid for twice."
            )
        why = error.strerror if isinstance(error, OSError) else error
        return LedgerError(
            f"{self.path}: the ledger cannot be used ({why})\n"
            "Look at its folder, its rights and the space on its disk; budget.ledger names another file."
        )
