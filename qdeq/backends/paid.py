"""What a backend that costs money has beyond the others: a device with a price, and a client that runs executions."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import ClassVar

from pydantic import ConfigDict
from pydantic.dataclasses import dataclass

from qdeq.backends.base import Backend
from qdeq.backends.executions import record_executions, record_shots
from qdeq.billing.account import OpenAccount, current_account
from qdeq.billing.budget import Budget
from qdeq.billing.entries import Entry
from qdeq.billing.execution import Execution, Result
from qdeq.billing.prices import Price
from qdeq.circuit import Circuit
from qdeq.observables import Observable


class Client(ABC):
    """Runs executions on a service, through a ledger."""

    @abstractmethod
    def run(self, executions: Sequence[Execution], account: OpenAccount) -> Mapping[str, Result]:
        """Return a result for the content hash of each execution, none of them paid for twice.

        Raises:
            BudgetReached: The next task would pass a limit; those before it are in the ledger.
            BackendError: A task failed, or the service cannot be reached; likewise.
        """

    @abstractmethod
    def check(
        self, circuit: Circuit, observables: Sequence[Observable], shots: int | None, *, native: bool = False
    ) -> None:
        """Refuse what the device cannot run, before anything is paid.

        Args:
            circuit: Its values may be free.
            observables: What is to be measured.
            shots: None for exact.
            native: Whether derivatives will be the device's own.

        Raises:
            UnsupportedError: The device's register is smaller, it takes another number of shots, or it does not list
                an instruction or a result that is needed.
        """

    @abstractmethod
    def price(self, budget: Budget) -> Price:
        """Return what tasks are taken to cost: the user's price, or the higher of the table's and the device's own.

        Raises:
            BudgetError: It is not known.
        """

    @abstractmethod
    def recover(self, account: OpenAccount) -> None:
        """Tell of a device's own price where it is another, and settle what has ended of the ledger's tasks in flight.

        Called once, before the first task; it makes none.
        """

    @abstractmethod
    def cancel(self, entries: Sequence[Entry], account: OpenAccount) -> list[Entry]:
        """Cancel tasks in flight, and return those that could not be cancelled."""


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class PaidBackend(Backend):
    """A backend whose circuits run as tasks that are billed."""

    local_twin: ClassVar[str | None] = None
    """The backend that runs the same circuits on this machine for nothing, if there is one."""

    @property
    @abstractmethod
    def device_arn(self) -> str:
        """The device, as prices and ledger know it."""

    def native(self, shots: int | None) -> bool:
        """Whether derivatives are the device's own."""
        return shots is None and self.gradient != "parameter-shift" and bool(self.capabilities.gradients)

    @abstractmethod
    def connect(self) -> Client:
        """Return the client; without any task, but with every check that needs none.

        Raises:
            BackendError: Credentials, region, device or storage are not as a task needs them.
        """

    def obtain(self, executions: Sequence[Execution]) -> list[Result]:
        """Return a result for each execution, through the account that is open; equal ones run once.

        Raises:
            BudgetError: There is none, or its budget is used up.
        """
        distinct = {execution.hash: execution.shots for execution in executions}
        record_executions(len(distinct), len(executions))
        record_shots(sum(distinct.values()))
        return current_account(self.name).obtain(executions, self) if executions else []
