"""The account that every execution on a device that costs money goes through.

A backend that costs money asks :func:`current_account` for its account, and there is none unless a budget was given: an
experiment's ``budget:``, or :func:`spending` around one's own code.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from qdeq.billing.budget import LEDGER_NAME, Budget
from qdeq.billing.execution import Execution, Result
from qdeq.billing.ledger import Ledger
from qdeq.billing.lost_tasks import doubt
from qdeq.billing.prices import dollars
from qdeq.errors import BudgetError

if TYPE_CHECKING:
    from qdeq.backends.paid import Client, PaidBackend

LISTED = 10
"""At most so many tasks are named after an interrupt."""


class Account(ABC):
    """What executions go through."""

    @abstractmethod
    def client(self, backend: PaidBackend) -> Client | None:
        """Return what runs the backend's executions; None where nothing is to be run."""

    @abstractmethod
    def obtain(self, executions: Sequence[Execution], backend: PaidBackend) -> list[Result]:
        """Return a result for each execution, in order; equal ones are run once."""


class OpenAccount(Account):
    """A budget and its ledger, while they are in use.

    Args:
        budget: The limits.
        ledger: Open.
        note: Told of what the user should know, one line each.
    """

    def __init__(self, budget: Budget, ledger: Ledger, note: Callable[[str], None]) -> None:
        self.budget = budget
        self.ledger = ledger
        self.note = note
        self.handled: set[str] = set()
        """Tokens of the tasks that this process waits for; those of others in the ledger are none of its business."""
        self._clients: dict[PaidBackend, Client] = {}

    def client(self, backend: PaidBackend) -> Client:
        """Return the backend's client; connected when first asked for."""
        if backend not in self._clients:
            self.adopt(backend, backend.connect())
        return self._clients[backend]

    def adopt(self, backend: PaidBackend, client: Client) -> None:
        """Use a client that is connected already, and settle what an earlier run left in flight."""
        self._clients[backend] = client
        client.recover(self)

    def obtain(self, executions: Sequence[Execution], backend: PaidBackend) -> list[Result]:
        """Return what the ledger knows, and have the rest run within the limits; see :meth:`Account.obtain`."""
        wanted = {execution.hash: execution for execution in executions}
        found = self.ledger.results(wanted)
        for name, execution in wanted.items():
            if name in found and (problem := execution.asked.impossible(found[name])):
                self.note(f"the ledger's result of {name[:12]} cannot be right ({problem}): it is fetched again")
                doubt(self.ledger, name)
                del found[name]
        missing = [execution for name, execution in wanted.items() if name not in found]
        if missing:
            found.update(self.client(backend).run(missing, self))
        return [found[execution.hash] for execution in executions]

    def interrupted(self) -> str:
        """Do with the tasks in flight what the budget says, and return a list of those that are left."""
        entries = [entry for entry in self.ledger.in_flight() if entry.token in self.handled]
        cancelled = 0
        if self.budget.on_interrupt == "cancel":
            for client in self._clients.values():
                left = client.cancel(entries, self)
                cancelled += len(entries) - len(left)
                entries = left
        done = [f"{cancelled} tasks in flight were cancelled."] if cancelled else []
        if entries:
            named = [entry.arn or f"one that the service has not named (token {entry.token})" for entry in entries]
            listed = [*named[:LISTED], *([f"... (`qdeq ledger {self.ledger.path}`)"] if named[LISTED:] else [])]
            sent = sum(entry.arn is not None for entry in entries)
            counts = ((sent, "tasks are in flight"), (len(entries) - sent, "may be in flight"))
            which = ", ".join(f"{count} {how}" for count, how in counts if count)
            what = f"{which}; the next run with this ledger takes their results:"
            done += [what, *(f"  {name}" for name in listed)]
        return "\n".join(done)

    def standing(self) -> str:
        """Return what has been used up, in words."""
        used, limits = self.ledger.totals(), self.budget.limits
        parts = [f"{dollars(used.cost)} of {dollars(limits.cost)}"]
        for what, amount, limit in (("tasks", used.tasks, limits.tasks), ("shots", used.shots, limits.shots)):
            parts.append(f"{amount:,}{'' if limit is None else f' of {limit:,}'} {what}")
        return ", ".join(parts)


_open: list[Account] = []  # of the process, not of a thread: autograd may call a backward pass from one of its own


@contextmanager
def using(account: Account) -> Iterator[None]:
    """Let every execution within the block go through the account."""
    _open.append(account)
    try:
        yield
    finally:
        _open.remove(account)


@contextmanager
def spending(
    budget: Budget, ledger: str | Path | None = None, *, note: Callable[[str], None] = lambda message: None
) -> Iterator[OpenAccount]:
    """Let backends that cost money run within the block.

    Args:
        budget: The limits.
        ledger: The ledger's file; that of the budget by default, or ``ledger.sqlite`` here.
        note: Told of what the user should know, one line each.

    Raises:
        LedgerError: The ledger cannot be used, or is damaged; or it was removed within the block.

    Example:
        >>> with spending(Budget(max_usd=1.0), ":memory:") as account:
        ...     account.standing()
        '$0.00 of $1.00, 0 tasks, 0 shots'
    """
    with closing(Ledger(ledger or budget.ledger or LEDGER_NAME)) as book:
        book.verify()
        account = OpenAccount(budget, book, note)
        with using(account):
            try:
                yield account
            except KeyboardInterrupt as interrupt:
                said = "\n".join(filter(None, [str(interrupt), account.interrupted()]))
                raise type(interrupt)(said) from interrupt
        book.file.check_place()


def open_ledger() -> Ledger | None:
    """Return the ledger of the account that is open; None where nothing costs money."""
    return _open[-1].ledger if _open and isinstance(_open[-1], OpenAccount) else None


def current_account(backend: str) -> Account:
    """Return the account that is open.

    Raises:
        BudgetError: None is.
    """
    if not _open:
        raise BudgetError(
            f"backend {backend!r} costs money, and no budget was given\n"
            "`qdeq train` and `qdeq eval` take budget: {max_usd: ...} from the experiment; around code of your own use "
            "`with qdeq.spending(qdeq.Budget(max_usd=...)):`."
        )
    return _open[-1]
