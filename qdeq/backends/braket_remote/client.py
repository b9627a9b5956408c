"""Tasks: sent within the service's limits, waited for, fetched, and every step of it in the ledger."""

from __future__ import annotations

import math
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import Any

from qdeq.backends.braket_remote.devices import RemoteDevice
from qdeq.backends.braket_remote.programs import read_result, write_trials
from qdeq.backends.braket_remote.refusals import NOT_MADE
from qdeq.backends.braket_remote.retries import SERVICE_ERRORS, Clock, error_code
from qdeq.backends.paid import Client
from qdeq.budget import OpenAccount
from qdeq.circuit import Circuit
from qdeq.errors import BackendError, BudgetReached, UnsupportedError
from qdeq.ledger import Entry, Execution, Ledger, Result
from qdeq.observables import Observable
from qdeq.prices import Price, price_of

ENDED = ("COMPLETED", "FAILED", "CANCELLED")
POLL_GROWTH = 1.5
SIMULATOR_POLLS, QPU_POLLS = (0.1, 5.0), (2.0, 60.0)
"""First and longest time [s] between two questions after a task; the device's own wish comes on top."""


@dataclass(frozen=True)
class Failed:
    """A task that ended without a result."""

    arn: str
    reason: str
    cancelled: bool = False


class BraketClient(Client):
    """Runs executions as tasks on one device.

    Args:
        device: Open.
        backend: Name of the backend, by which the user may have given a price.
        clock: Waits; the device's session has the same one.
        max_parallel: Tasks in flight at most.
        timeout: Most time that a task is waited for [s].
        resubmissions: New tasks, each counted and paid for, after one that failed.
    """

    def __init__(
        self, device: RemoteDevice, backend: str, clock: Clock, *, max_parallel: int, timeout: float, resubmissions: int
    ) -> None:
        self.device = device
        self._backend = backend
        self._clock = clock
        self._max_parallel = max_parallel
        self._timeout = timeout
        self._resubmissions = resubmissions

    def check(
        self, circuit: Circuit, observables: Sequence[Observable], shots: int | None, *, native: bool = False
    ) -> None:
        """Refuse what the device cannot run, by writing a program of each kind; see :meth:`Client.check`."""
        self.check_size(circuit.num_qubits, shots)
        write_trials(circuit, observables, shots, self.device.target, native=native)

    def check_size(self, num_qubits: int, shots: int | None) -> None:
        """Refuse a register or a number of shots that the device does not take.

        Raises:
            UnsupportedError: It does not.
        """
        name, (least, most) = self.device.target.name, self.device.shots
        if num_qubits > self.device.num_qubits:
            raise UnsupportedError(f"{name} has {self.device.num_qubits} qubits, and the circuit {num_qubits}")
        if shots is not None and not least <= shots <= most:
            raise UnsupportedError(f"{name} takes {least:,} to {most:,} shots a task, not {shots:,}; change shots")

    def run(self, executions: Sequence[Execution], account: OpenAccount) -> Mapping[str, Result]:
        """Return a result for the content hash of each execution; see :meth:`Client.run`."""
        price = price_of(self.device.arn, self._backend, account.budget.prices)
        waiting, running = deque(executions), dict[Future[Result | Failed], Execution]()
        failures: Counter[str] = Counter()
        results: dict[str, Result] = {}
        pool = ThreadPoolExecutor(max_workers=min(self._max_parallel, len(executions)), thread_name_prefix="braket")
        try:
            while waiting or running:
                limit = self._admit(waiting, running, pool, account, price)
                if limit and not running:
                    raise _reached(limit, account)
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    execution, outcome = running.pop(future), future.result()
                    if isinstance(outcome, Result):
                        results[execution.hash] = outcome
                        continue
                    failures[execution.hash] += 1
                    self._report(outcome, failures[execution.hash], account)
                    waiting.append(execution)
        except BaseException:
            self._clock.stop()  # what is in flight stays there, and the ledger knows it
            raise
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
            self._clock.resume()
        return results

    def _admit(
        self,
        waiting: deque[Execution],
        running: dict[Future[Result | Failed], Execution],
        pool: ThreadPoolExecutor,
        account: OpenAccount,
        price: Price,
    ) -> str | None:
        """Reserve and send as many as there are places for; return the limit that was in the way, if any."""
        batch = [waiting.popleft() for _ in range(min(len(waiting), self._max_parallel - len(running)))]
        if not batch:
            return None
        longest = account.ledger.longest(self.device.arn)
        amounts = [
            max(price.bounds(execution.shots, execution.qubits)[1], price.cost(execution.shots, longest))
            for execution in batch
        ]
        entries, limit = account.ledger.reserve(
            list(zip(batch, amounts, strict=True)), account.budget.limits, self.device.destination
        )
        account.handled.update(entry.token for entry in entries)
        for execution, entry in zip(batch, entries, strict=False):
            running[pool.submit(self._obtain, execution, entry, account, price)] = execution
        waiting.extendleft(reversed(batch[len(entries) :]))
        return limit

    def _obtain(self, execution: Execution, entry: Entry, account: OpenAccount, price: Price) -> Result | Failed:
        """Take one task from wherever it is to its end."""
        if entry.result is not None:  # another process was quicker
            return account.ledger.results([execution.hash])[execution.hash]
        arn = entry.arn or self._send(execution, entry, account.ledger)
        described = self._wait(arn)
        return self._settle(entry, arn, described, account, price, execution)

    def _send(self, execution: Execution, entry: Entry, ledger: Ledger) -> str:
        try:
            arn = self.device.submit(execution, entry.token, entry.destination)
        except SERVICE_ERRORS as error:
            # one that an earlier try or run may have made is not done with because the service refuses it now
            none_made = (
                entry.fresh and error_code(error) in NOT_MADE and not self.device.session.unanswered(entry.token)
            )
            if none_made:
                ledger.end(entry.token, "rejected", self.device.session.redact(error))
            what = f"sending a task to {self.device.target.name}"
            raise self.device.explained(error, what, none_made=none_made) from None
        ledger.sent(entry.token, arn)
        return arn

    def _wait(self, arn: str) -> dict[str, Any]:
        """Return what the service says of the task once it has ended."""
        first, longest = QPU_POLLS if "/qpu/" in self.device.arn else SIMULATOR_POLLS
        pause, began = max(first, self.device.poll_seconds), self._clock.now()
        while True:
            described = self._state(arn)
            if described["status"] in ENDED:
                return described
            if self._clock.now() - began > self._timeout:
                raise BackendError(
                    f"{arn} is {described['status']} after {self._timeout:,.0f} s\n"
                    "It is kept: the next run with this ledger takes its result. backend.timeout sets how long to wait."
                )
            self._clock.wait(pause)
            pause = min(longest, POLL_GROWTH * pause)

    def _state(self, arn: str) -> dict[str, Any]:
        try:
            return self.device.state(arn)
        except SERVICE_ERRORS as error:
            if error_code(error) == "ResourceNotFoundException":
                raise BackendError(
                    f"{arn} is in the ledger, but not in this account and region\n"
                    "Use the credentials that it was made with, or another ledger."
                ) from None
            raise self.device.explained(error, f"asking after {arn}") from None

    def _settle(
        self,
        entry: Entry,
        arn: str,
        described: dict[str, Any],
        account: OpenAccount,
        price: Price,
        execution: Execution | None = None,
    ) -> Result | Failed:
        """Write down how a task ended, and return its result where it has one.

        Args:
            entry: The task's row.
            arn: Its name.
            described: What the service says of it.
            account: Told of shots that are missing.
            price: Of the device.
            execution: What was asked, where that is known.
        """
        status = described["status"]
        if status != "COMPLETED":
            cancelled = status == "CANCELLED"
            words = "it was cancelled, and not by this run" if cancelled else "the service gives no reason"
            reason = self.device.session.redact(described.get("failureReason") or words)
            account.ledger.end(entry.token, "cancelled" if cancelled else "failed", reason)
            return Failed(arn, reason, cancelled)
        try:
            text = self.device.fetch(described)
        except SERVICE_ERRORS as error:
            raise self.device.explained(error, f"fetching the result of {arn}") from None
        try:
            result, seconds = read_result(text, entry.qubits, entry.shots)
        except BackendError as error:
            raise BackendError(f"{arn}: {error}") from error
        if execution is not None and len(result.values) != execution.size:
            raise BackendError(
                f"{arn}: the result has {len(result.values)} numbers, and {execution.size} were asked for\n"
                "It is kept in its bucket, and nothing is paid again; name another ledger to have it run anew."
            )
        if result.shots != entry.shots:
            account.note(f"{arn} was measured {result.shots:,} times, not {entry.shots:,}; its errors are larger")
        billed = None if seconds is None else math.ceil(seconds * 1000) / 1000
        account.ledger.complete(entry.token, result, price.cost(entry.shots, billed), billed)
        return result

    def _report(self, failed: Failed, count: int, account: OpenAccount) -> None:
        """Tell of a failed task, and refuse to pay for the same one again and again.

        One that somebody cancelled is not replaced: to pay for it after all is theirs to say.
        """
        if failed.cancelled:
            raise BackendError(
                f"{failed.arn}: {failed.reason}\nRun the same again to have a new task in its place; both are counted."
            )
        if count > self._resubmissions:
            raise BackendError(
                f"{failed.arn} failed: {failed.reason}\n"
                f"It was tried {count} times, each counted against the budget; backend.resubmissions says how often."
            )
        account.note(f"{failed.arn} failed: {failed.reason}; a new task takes its place, and is counted")

    # -- tasks of an earlier run, and of this one when it is interrupted -----------------------------------------------

    def recover(self, account: OpenAccount) -> None:
        """Look once after each task in flight on this device, and write down those that have ended."""
        price = price_of(self.device.arn, self._backend, account.budget.prices)
        found = [entry for entry in account.ledger.in_flight() if entry.device == self.device.arn]
        ended = 0
        for entry in found:
            if entry.arn is None:  # sent again, under its token, when it is wanted again
                continue
            described = self._state(entry.arn)
            if described["status"] not in ENDED:
                continue
            try:
                self._settle(entry, entry.arn, described, account, price)
                ended += 1
            except BackendError as error:  # it may be another run's; this one is stopped when it wants the result
                account.note(f"left in flight: {error}")
        if found:
            account.note(f"ledger: {len(found)} tasks were in flight; {ended} of them have ended and are settled")

    def cancel(self, entries: Sequence[Entry], account: OpenAccount) -> list[Entry]:
        """Cancel tasks in flight, and return those that could not be: ended by now, or never named by the service."""
        left = []
        for entry in entries:
            try:
                if entry.arn is None:
                    left.append(entry)
                    continue
                self.device.cancel(entry.arn)
                account.ledger.end(entry.token, "cancelled", "at an interrupt, as budget.on_interrupt says")
            except SERVICE_ERRORS:  # it has ended: the next run reads its result
                left.append(entry)
        return left


def _reached(limit: str, account: OpenAccount) -> BudgetReached:
    return BudgetReached(
        f"the next task would pass budget.{limit} (used: {account.standing()})\n"
        f"Raise budget.{limit} and go on: what is in {account.ledger.path} is not paid for twice."
    )
