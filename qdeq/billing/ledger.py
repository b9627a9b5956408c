"""The ledger: every execution that costs money, on disk before it is asked for.

A row is written before the request, with the client token that the request carries, so that a request repeated after a
crash is the same task; the task's name follows, then its result and what it cost. An execution is known by its content:
what was computed before is read, not paid for again. Processes may share the file.

A ledger has an id, which the checkpoints of its runs keep. One that is lost is replaced by one that counts what the
lost one had spent (:mod:`qdeq.billing.spent`).
"""

from __future__ import annotations

import hashlib
import time
import uuid
from collections.abc import Iterable, Sequence
from pathlib import Path

from qdeq.billing.entries import IN_FLIGHT, Entry, Limits, State, Totals
from qdeq.billing.execution import Execution, Result
from qdeq.billing.storage import LedgerFile
from qdeq.errors import LedgerError, printable

_NAMED = 5
"""At most so many damaged results are named."""
COLUMNS = (
    "hash, attempt, backend, device, qubits, shots, key, token, destination, arn, state, reserved, cost, seconds, "
    "result, reason, created, updated, asked"
)


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
        self.file = LedgerFile(path)

    @property
    def path(self) -> Path:
        """Where it lies."""
        return self.file.path

    def close(self) -> None:
        """Close the file."""
        self.file.close()

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

    def damaged_rows(self) -> list[int]:
        """Return the numbers of the rows that are not as they were written."""
        return [row for row, _, whole, *_ in self._checked("1") if not whole]

    def _completed(self, where: str, values: Sequence[str] = ()) -> list[tuple[str, str]]:
        """Return content hash and result of rows that have a result, each checked against its checksum."""
        rows = self._checked(where, values)
        bad = [f"row {row}, {printable(str(arn))}" for row, arn, whole, *_ in rows if not whole]
        if bad:
            named = "; ".join([*bad[:_NAMED], *(["..."] if bad[_NAMED:] else [])])
            what = f"{len(bad)} of {len(rows)} results are not as they were written: {named}"
            raise self.file.damaged(what, "put a copy back, or give these up by `qdeq ledger FILE --give-up ROW`")
        return [(name, text) for _, _, _, name, text in rows]

    def _checked(self, where: str, values: Sequence[str] = ()) -> list[tuple[int, str | None, bool, str, str]]:
        """Return number and ARN of rows with a result, whether it is as it was written, content hash and result."""
        rows = self.file.rows(
            "SELECT id, arn, state, checksum, hash, token, result, cost, seconds FROM executions"
            f" WHERE (state = 'completed' OR checksum IS NOT NULL) AND {where} ORDER BY id",
            values,
        )
        return [
            (row, arn, state == "completed" and checksum == _checksum(*content), content[0], content[2])
            for row, arn, state, checksum, *content in rows
        ]

    def entries(self, states: Sequence[State] = ()) -> list[Entry]:
        """Return all rows, or those in some states, oldest first."""
        where = f"WHERE state IN ({', '.join('?' * len(states))})" if states else ""
        return [Entry(*row) for row in self.file.rows(f"SELECT {COLUMNS} FROM executions {where} ORDER BY id", states)]

    def in_flight(self) -> list[Entry]:
        """Return the tasks whose end is not known."""
        return self.entries(IN_FLIGHT)

    def totals(self) -> Totals:
        """Return what counts against a budget, in this ledger and in lost ones that it stands in for."""
        ((tasks, shots, cost),) = self.file.rows(
            "SELECT count(*) + (SELECT sum(tasks) FROM ledgers),"
            " coalesce(sum(shots), 0) + (SELECT sum(shots) FROM ledgers),"
            " coalesce(sum(CASE state WHEN 'completed' THEN cost ELSE reserved END), 0)"
            " + (SELECT sum(cost) FROM ledgers) FROM executions WHERE state != 'rejected'"
        )
        return Totals(tasks, shots, cost)

    def longest(self, device: str) -> float:
        """Return the longest time that a task on the device was billed for [s]."""
        ((seconds,),) = self.file.rows("SELECT coalesce(max(seconds), 0) FROM executions WHERE device = ?", [device])
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
        with self.file.transaction():
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
        rows = self.file.rows(f"SELECT {COLUMNS} FROM executions WHERE hash = ? ORDER BY attempt DESC LIMIT 1", [name])
        return Entry(*rows[0]) if rows else None

    def _insert(self, execution: Execution, attempt: int, amount: int, destination: str) -> Entry:
        now, token = time.time(), str(uuid.uuid4())
        row = (execution.hash, attempt, execution.backend, execution.device, execution.qubits, execution.shots)
        more = (execution.key, token, destination, None, "reserved", amount, 0, None, None, None, now, now)
        values = [*row, *more, asked := execution.asked.to_json()]
        self.file.rows(f"INSERT INTO executions ({COLUMNS}) VALUES ({', '.join('?' * len(values))})", values)
        return Entry(*row, *more, asked, fresh=True)  # type: ignore[arg-type]

    def sent(self, token: str, arn: str) -> None:
        """Note the name that the service gave the task, be it that another process took it for refused.

        Raises:
            LedgerError: It is another one than before: the service did not honour the token. Both are counted.
        """
        with self.file.transaction():
            known = self._known(token, "arn")
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
        self.file.rows(
            f"INSERT OR IGNORE INTO executions ({COLUMNS}) SELECT hash, (SELECT min(attempt) - 1 FROM executions"
            " AS all_of WHERE all_of.hash = executions.hash), backend, device, qubits, shots, key, ?, destination, ?,"
            " 'failed', reserved, 0, NULL, NULL, ?, ?, ?, asked FROM executions WHERE token = ?",
            [f"{token}/{arn}", arn, reason, time.time(), time.time(), token],
        )

    def complete(self, token: str, result: Result, cost: int, seconds: float | None) -> None:
        """Note a result and what it cost [nano-dollars]."""
        text, seconds = result.to_json(), None if seconds is None else float(seconds)
        with self.file.transaction():
            checksum = _checksum(self._known(token, "hash"), token, text, cost, seconds)
            self._update(
                token, state="completed", result=text, cost=cost, seconds=seconds, checksum=checksum, reason=None
            )

    def end(self, token: str, state: State, reason: str) -> None:
        """Note that a task ended without a result: ``failed``, ``cancelled``, or ``rejected`` if it has no name yet."""
        with self.file.transaction():
            # another process may have been given the name of a task that this one was refused
            self._update(token, ("reserved",) if state == "rejected" else IN_FLIGHT, state=state, reason=reason)

    def _known(self, token: str, column: str) -> str | None:
        """Return what the token's row says in a column."""
        rows = self.file.rows(f"SELECT {column} FROM executions WHERE token = ?", [token])
        if not rows:
            raise self.file.damaged(f"the row of the client token {token} is gone")
        value: str | None = rows[0][0]
        return value

    def _update(self, token: str, among: Sequence[State] = IN_FLIGHT, **values: str | float | None) -> None:
        """Change a row, unless its task has ended: two processes may both have waited for it."""
        columns = ", ".join(f"{name} = ?" for name in (*values, "updated"))
        self.file.rows(
            f"UPDATE executions SET {columns} WHERE token = ? AND state IN ({', '.join('?' * len(among))})",
            [*values.values(), time.time(), token, *among],
        )
