"""What a run had spent, and in which ledger: kept by its checkpoints, and held against the ledger when it goes on."""

from __future__ import annotations

from dataclasses import astuple, dataclass

from qdeq.billing.ledger import Ledger
from qdeq.billing.prices import dollars
from qdeq.errors import LedgerError, plural


@dataclass(frozen=True)
class Spent:
    """What a run had spent, and in which ledger, when its checkpoint was written. Cost in nano-dollars.

    Attributes:
        ledger: The ledger's id.
        rows: Rows in it: none is ever taken away.
        tasks: That count against the budget.
        shots: Likewise.
        cost: Likewise.
    """

    ledger: str
    rows: int
    tasks: int
    shots: int
    cost: int

    def __post_init__(self) -> None:
        counts = (self.rows, self.tasks, self.shots, self.cost)
        if not isinstance(self.ledger, str) or any(type(count) is not int or count < 0 for count in counts):
            raise ValueError("a ledger's id and four counts are needed")

    def __str__(self) -> str:
        return f"{plural(self.tasks, 'task')} ({dollars(self.cost)})"

    def way_on(self) -> str:
        """Return how a run goes on whose ledger is not where it was."""
        return (
            "Put the run's own there, or name it by --set budget.ledger=FILE; if it is lost, `qdeq ledger RUN --lost` "
            "makes one that counts what was spent, and what is wanted again is paid for again."
        )


def spent_in(ledger: Ledger) -> Spent:
    """Return the ledger's id, and what has been used up: what a checkpoint keeps."""
    ((number,),) = ledger.file.rows("SELECT count(*) FROM executions")
    ((own,),) = ledger.file.rows("SELECT id FROM ledgers ORDER BY rowid LIMIT 1")
    totals = ledger.totals()
    return Spent(own, number, totals.tasks, totals.shots, totals.cost)


def check_holds(ledger: Ledger, known: Spent) -> None:
    """Refuse another ledger, or an older copy, than the one that a checkpoint was written with.

    Raises:
        LedgerError: It is one; what was paid for would be paid for again.
    """
    counted = dict(ledger.file.rows("SELECT id, rows FROM ledgers"))
    if known.ledger not in counted:
        raise LedgerError(
            f"{ledger.path}: is another ledger than the run's, in which {known} were counted\n{known.way_on()}"
        )
    held = counted[known.ledger] or spent_in(ledger).rows
    if held < known.rows:
        raise LedgerError(
            f"{ledger.path}: is an older copy of the run's ledger: it has {held:,} of {known.rows:,} tasks\n"
            f"{known.way_on()}"
        )


def stand_in_for(ledger: Ledger, lost: Spent) -> None:
    """Count what a lost ledger had spent, so that a run may go on with this one, within the same budget."""
    with ledger.file.transaction():
        if not ledger.file.rows("SELECT 1 FROM ledgers WHERE id = ?", [lost.ledger]):
            ledger.file.rows("INSERT INTO ledgers VALUES (?, ?, ?, ?, ?)", astuple(lost))
