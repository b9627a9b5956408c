"""What a run on a backend that costs money does first: the estimate, the budget, and every check that is free."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qdeq.backends.paid import Client, PaidBackend
from qdeq.billing.account import open_ledger, spending
from qdeq.billing.budget import Budget
from qdeq.billing.ledger import Ledger
from qdeq.billing.spent import Spent, check_holds, spent_in, stand_in_for
from qdeq.errors import BudgetError, CheckpointError, LedgerError
from qdeq.models import QDEQClassifier
from qdeq.spec import ExperimentSpec

if TYPE_CHECKING:
    from qdeq.billing.estimate import Estimate
    from qdeq.training.checkpoints import Checkpoint
    from qdeq.training.folder import RunFolder


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

    def check_spent(self, known: Spent | None) -> None:
        """Refuse to go on without the ledger of a run's checkpoint: what it holds would be paid for again.

        Args:
            known: What the checkpoint says; None where it says nothing, as one of 0.1.0.

        Raises:
            LedgerError: The ledger is gone, another one, or an older copy.
        """
        if known is None:
            return
        if not self.ledger.exists():
            raise LedgerError(
                f"{self.ledger}: the run's ledger is gone, in which {known} were counted\n{known.way_on()}"
            )
        with closing(Ledger(self.ledger)) as book:
            check_holds(book, known)

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


def known_spent() -> dict[str, Any] | None:
    """Return what a checkpoint says of money: what was spent by now, in which ledger; None where nothing costs any."""
    ledger = open_ledger()
    return None if ledger is None else asdict(spent_in(ledger))


def spent_before(saved: Checkpoint | None) -> Spent | None:
    """Return what a checkpoint says was spent; None where it says nothing.

    Raises:
        CheckpointError: What it says cannot be read.
    """
    said = None if saved is None or saved.state is None else saved.state.get("spent")
    if said is None or saved is None:
        return None
    try:
        return Spent(**said)
    except (TypeError, ValueError) as error:
        raise CheckpointError(f"{saved.path}: what it says of money cannot be read\nTrain again.") from error


def last_spent(folder: RunFolder) -> Spent | None:
    """Return what the newest whole checkpoint of a run says was spent."""
    from qdeq.training.checkpoints import load_checkpoint

    for path in reversed(folder.states()):
        try:
            return spent_before(load_checkpoint(path))
        except CheckpointError:  # the one before it knows nearly as much
            continue
    return None


def replace_lost(folder: RunFolder, named: str | None) -> tuple[Path, Spent]:
    """Give a run whose ledger is lost one that counts what its last checkpoint knows was spent.

    Args:
        folder: Of the run.
        named: Its budget's ledger, where it names one.

    Returns:
        Where the ledger lies, and what it counts.

    Raises:
        LedgerError: No checkpoint knows of a ledger, or the run's own one is there.
    """
    path = folder.ledger if named is None else Path(named)
    lost = last_spent(folder)
    if lost is None:
        raise LedgerError(
            f"{folder.path}: no checkpoint of this run knows of a ledger\n"
            "Go on with qdeq train --resume: nothing says that a ledger is missing."
        )
    with closing(Ledger(path)) as book:
        if spent_in(book).ledger == lost.ledger:
            raise LedgerError(
                f"{path}: is the run's ledger, and not lost\nGo on with qdeq train --resume {folder.path}."
            )
        stand_in_for(book, lost)
    return path, lost


def _verified(budget: Budget, own: Path) -> Path:
    """Return the ledger's file, with every result in it read and found as it was written."""
    path = own if budget.ledger is None else Path(budget.ledger)
    if budget.ledger is not None or path.exists():  # that of a new run is made with the run's folder
        with closing(Ledger(path)) as book:
            book.verify()
    return path
