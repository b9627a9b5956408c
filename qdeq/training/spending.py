"""What a run on a backend that costs money does first: the estimate, the budget, and every check that is free."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from qdeq.backends.paid import Client, PaidBackend
from qdeq.budget import Budget, spending
from qdeq.data import FeatureSplits
from qdeq.errors import BudgetError
from qdeq.ledger import Ledger
from qdeq.models import QDEQClassifier
from qdeq.spec import ExperimentSpec

if TYPE_CHECKING:
    from qdeq.estimate import Estimate


@dataclass(frozen=True)
class Purchase:
    """A run that costs money, found to be within its budget, on a device that is ready.

    Attributes:
        backend: With its way of execution decided.
        client: Connected.
        budget: What may be spent.
        estimate: What it will take.
        whole: Whether all of it is to be run.
    """

    backend: PaidBackend
    client: Client
    budget: Budget
    estimate: Estimate
    whole: bool = True

    @contextmanager
    def account(self, ledger: Path, note: Callable[[str], None]) -> Iterator[None]:
        """Let the backend run within the block.

        Args:
            ledger: The ledger's file, unless the budget names another.
            note: Told of what the user should know.
        """
        with spending(self.budget, self.budget.ledger or ledger, note=note) as account:
            account.ledger.verify()
            note(self.estimate.chosen())
            if self.whole and (short := self.estimate.shortage(self.budget.limits)):
                note(short)
            account.adopt(self.backend, self.client)
            used = account.ledger.totals()
            if used.tasks:
                note(f"{account.ledger.path}: {account.standing()} used before; results in it are not paid for again")
            yield


def prepare(
    spec: ExperimentSpec, model: QDEQClassifier, splits: FeatureSplits, *, whole: bool = True
) -> Purchase | None:
    """Check what can be checked for nothing, and settle how circuits are run; None for a backend that costs nothing.

    Args:
        spec: The experiment.
        model: Its model, whose backend is told the cheaper way of execution.
        splits: Its data.
        whole: Whether all of it is to be run, so that the budget has to be enough for that.

    Raises:
        BudgetError: There is no budget, or it is certain to be passed.
        LedgerError: The ledger that the budget names cannot be used, or is damaged.
        BackendError: Credentials, region, device or storage are not as a task needs them.
    """
    backend = model.function.backend
    if not isinstance(backend, PaidBackend):
        return None
    from qdeq.estimate import Sizes, estimate  # rehearses what the trainer does, and so comes after it

    backend.check(model.circuit, model.weights, model.function.observables, shots=spec.shots)
    expected = estimate(spec, Sizes.of(splits))
    if spec.budget is None:
        raise BudgetError(
            f"backend {backend.name!r} costs money, and the experiment has no budget\n"
            f"{expected.chosen()}. Set budget: {{max_usd: ..., max_tasks: ..., max_shots: ...}}."
        )
    if whole:
        expected.check(spec.budget.limits)
    client = backend.connect()
    client.check(model.circuit, model.function.observables, spec.shots, native=backend.native(spec.shots))
    if spec.budget.ledger is not None:  # one in the run's own folder is looked at when that is there
        book = Ledger(spec.budget.ledger)
        try:
            book.verify()
        finally:
            book.close()
    assert expected.how is not None
    decided = replace(backend, execution=expected.how)
    model.function = replace(model.function, backend=decided)
    return Purchase(decided, client, spec.budget, expected, whole)
