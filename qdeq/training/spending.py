"""What a run on a backend that costs money does first: the estimate, the budget, and every check that is free."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from qdeq.backends.paid import Client, PaidBackend
from qdeq.billing.account import spending
from qdeq.billing.budget import Budget
from qdeq.billing.ledger import Ledger
from qdeq.errors import BudgetError
from qdeq.models import QDEQClassifier
from qdeq.spec import ExperimentSpec

if TYPE_CHECKING:
    from qdeq.billing.estimate import Estimate


@dataclass(frozen=True)
class Purchase:
    """A run that costs money, found to be within its budget, on a device that is ready.

    Attributes:
        backend: With its way of execution decided.
        client: Connected.
        budget: What may be spent.
        ledger: Where it is written down.
        estimate: What it will take.
        whole: Whether all of it is to be run.
    """

    backend: PaidBackend
    client: Client
    budget: Budget
    ledger: Path
    estimate: Estimate
    whole: bool = True

    @contextmanager
    def account(self, note: Callable[[str], None]) -> Iterator[None]:
        """Let the backend run within the block.

        Args:
            note: Told of what the user should know.
        """
        with spending(self.budget, self.ledger, note=note) as account:
            note(self.estimate.chosen())
            if self.whole and (short := self.estimate.shortage(self.budget.limits)):
                note(short)
            account.adopt(self.backend, self.client)
            used = account.ledger.totals()
            if used.tasks:
                note(f"{account.ledger.path}: {account.standing()} used before; results in it are not paid for again")
            yield


def prepare(
    spec: ExperimentSpec, model: QDEQClassifier, images: Mapping[str, int], ledger: Path, *, whole: bool = True
) -> Purchase | None:
    """Check what can be checked for nothing, and settle how circuits are run; None for a backend that costs nothing.

    Args:
        spec: The experiment.
        model: Its model, whose backend is told the cheaper way of execution.
        images: How many images there are in each split.
        ledger: The ledger's file, unless the budget names another; it need not exist, nor its folder.
        whole: Whether all of it is to be run, so that the budget has to be enough for that.

    Raises:
        BudgetError: There is no budget, or it is certain to be passed.
        LedgerError: The ledger cannot be used, or is damaged.
        BackendError: Credentials, region, device or storage are not as a task needs them.
    """
    backend = model.function.backend
    if not isinstance(backend, PaidBackend):
        return None
    from qdeq.billing.bills import Sizes  # rehearses what the trainer does, and so comes after it
    from qdeq.billing.estimate import estimate

    backend.check(model.circuit, model.weights, model.function.observables, shots=spec.shots)
    budget, sizes = spec.budget, Sizes(**images)
    expected = estimate(spec, sizes)
    if budget is None:
        raise BudgetError(
            f"backend {backend.name!r} costs money, and the experiment has no budget\n"
            f"{expected.chosen()}. Set budget: {{max_usd: ..., max_tasks: ..., max_shots: ...}}."
        )
    if whole:
        expected.check(budget.limits)
    client = backend.connect()
    client.check(model.circuit, model.function.observables, spec.shots, native=backend.native(spec.shots))
    price = client.price(budget)
    if price != expected.price:  # the device asks for more than the table says
        expected = estimate(spec, sizes, price=price)
        if whole:
            expected.check(budget.limits)
    ledger = _verified(budget, ledger)
    assert expected.how is not None
    decided = replace(backend, execution=expected.how)
    model.function = replace(model.function, backend=decided)
    return Purchase(decided, client, budget, ledger, expected, whole)


def _verified(budget: Budget, own: Path) -> Path:
    """Return the ledger's file, with every result in it read and found as it was written."""
    path = own if budget.ledger is None else Path(budget.ledger)
    if budget.ledger is not None or path.exists():  # that of a new run is made with the run's folder
        with closing(Ledger(path)) as book:
            book.verify()
    return path
