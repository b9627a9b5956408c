"""One task, from its reservation to its end: sent, waited for, fetched, and every step of it in the ledger."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from qdeq.backends.braket_remote.devices import RemoteDevice
from qdeq.backends.braket_remote.refusals import NOTHING_DONE
from qdeq.backends.braket_remote.results import read_result
from qdeq.backends.braket_remote.retries import SERVICE_ERRORS, Clock, error_code
from qdeq.billing.account import OpenAccount
from qdeq.billing.entries import Entry
from qdeq.billing.execution import Asked, Execution, Result
from qdeq.billing.ledger import Ledger
from qdeq.billing.lost_tasks import put_aside, way_out
from qdeq.billing.prices import Price, dollars
from qdeq.errors import BackendError

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


class Tasks:
    """The tasks of one device.

    Args:
        device: Open.
        clock: Waits; the device's session has the same one.
        timeout: Most time that a task is waited for [s].
    """

    def __init__(self, device: RemoteDevice, clock: Clock, timeout: float) -> None:
        self.device = device
        self._clock = clock
        self._timeout = timeout

    def obtain(self, execution: Execution, entry: Entry, account: OpenAccount, price: Price) -> Result | Failed:
        """Take one task from wherever it is to its end."""
        if entry.result is not None:  # another process was quicker
            return account.ledger.results([execution.hash])[execution.hash]
        arn = entry.arn or self._send(execution, entry, account.ledger)
        described = self._wait(arn)
        return self.settle(entry, arn, described, account, price, execution.asked)

    def _send(self, execution: Execution, entry: Entry, ledger: Ledger) -> str:
        try:
            arn = self.device.submit(execution, entry.token, entry.destination)
        except SERVICE_ERRORS as error:
            # one that an earlier try or run may have made is not done with because the service refuses it now
            unheard = not entry.fresh or self.device.session.unanswered(entry.token)
            none_made = not unheard and error_code(error) in NOTHING_DONE
            if none_made:
                ledger.end(entry.token, "rejected", self.device.session.redact(error))
            what = f"sending a task to {self.device.target.name}"
            lost = way_out(ledger, entry)
            raise self.device.explained(error, what, none_made=none_made, way_out=lost) from None
        ledger.sent(entry.token, arn)
        return arn

    def _wait(self, arn: str) -> dict[str, Any]:
        """Return what the service says of the task once it has ended."""
        first, longest = QPU_POLLS if "/qpu/" in self.device.arn else SIMULATOR_POLLS
        pause, began = min(longest, max(first, self.device.poll_seconds)), self._clock.now()
        while True:
            described = self.state(arn)
            if described["status"] in ENDED:
                return described
            if self._clock.now() - began > self._timeout:
                raise BackendError(
                    f"{arn} is {described['status']} after {self._timeout:,.0f} s\n"
                    "It is kept: the next run with this ledger takes its result. backend.timeout sets how long to wait."
                )
            self._clock.wait(pause)
            pause = min(longest, POLL_GROWTH * pause)

    def state(self, arn: str) -> dict[str, Any]:
        """Return what the service says of a task.

        Raises:
            BackendError: It cannot be asked, or knows of none.
        """
        try:
            return self.device.state(arn)
        except SERVICE_ERRORS as error:
            if error_code(error) == "ResourceNotFoundException":
                raise BackendError(
                    f"{arn} is in the ledger, but not in this account and region\n"
                    "Use the credentials that it was made with, or another ledger."
                ) from None
            raise self.device.explained(error, f"asking after {arn}") from None

    def settle(
        self,
        entry: Entry,
        arn: str,
        described: dict[str, Any],
        account: OpenAccount,
        price: Price,
        asked: Asked,
    ) -> Result | Failed:
        """Write down how a task ended, and return its result where it has one.

        Args:
            entry: The task's row.
            arn: Its name.
            described: What the service says of it.
            account: Told of shots that are missing, and of time that nobody expected.
            price: Of the device.
            asked: What its result has to be.

        Raises:
            BackendError: The result cannot be fetched, or is not what was asked for; the task stays in flight.
        """
        status = described["status"]
        if status != "COMPLETED":
            cancelled = status == "CANCELLED"
            words = "it was cancelled, and not by this run" if cancelled else "the service gives no reason"
            reason = self.device.session.redact(described.get("failureReason") or words)
            account.ledger.end(entry.token, "cancelled" if cancelled else "failed", reason)
            return Failed(arn, reason, cancelled)
        lost = way_out(account.ledger, entry)
        try:
            content = self.device.fetch(described)
        except SERVICE_ERRORS as error:
            raise self.device.explained(error, f"fetching the result of {arn}", way_out=lost) from None
        try:
            result, seconds = read_result(content, asked, arn, entry.qubits, entry.shots)
        except BackendError as error:
            aside = put_aside(account.ledger, entry, content, str(error))
            kept = f"It is kept in {aside}, and fetched again" if aside else "It is fetched again"
            remedy = f"{kept} by the next run with this ledger, for nothing. Or {lost}"
            raise BackendError(f"{arn}: {error}\n{remedy}") from error
        if result.shots != entry.shots:
            account.note(f"{arn} was measured {result.shots:,} times, not {entry.shots:,}; its errors are larger")
        billed = None if seconds is None else math.ceil(seconds * 1000) / 1000
        cost = price.cost(entry.shots, billed)
        account.ledger.complete(entry.token, result, cost, billed)
        if cost > entry.reserved:
            held = dollars(entry.reserved)
            account.note(
                f"{arn} is billed {dollars(cost)} for {billed:,.3f} s, where {held} were held for it; as much is held "
                f"for each from now on (used: {account.standing()})"
            )
        return result
