"""What a sweep checks before its first cell runs: data, models, and what it may cost."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from qdeq.backends import get_backend
from qdeq.backends.paid import PaidBackend
from qdeq.billing.amounts import Amount
from qdeq.billing.bills import Sizes
from qdeq.billing.budget import Budget
from qdeq.billing.entries import Totals
from qdeq.billing.estimate import Estimate, estimate
from qdeq.billing.prices import dollars
from qdeq.builders import build_data, build_model
from qdeq.data import FeatureSplits
from qdeq.errors import BudgetError, QdeqError, summed_up
from qdeq.spec import ExperimentSpec
from qdeq.sweeps.cells import Cell


def check_cells(cells: Sequence[Cell], source: str) -> list[str]:
    """Load the data and build the model of every variant, and add up what cells cost that are to be paid for.

    Args:
        cells: Those that are to be run.
        source: Names the sweep in messages.

    Returns:
        What there is to say of the costs, one line each.

    Raises:
        BudgetError: A cell that costs money has no budget, or one that is certain to be too small.
        QdeqError: A cell cannot be run; the message names it, and the next ones that cannot, and is of the type that
            training would raise.
    """
    data: dict[str, FeatureSplits] = {}
    estimates: dict[str, Estimate | None] = {}
    wrong: dict[str, QdeqError] = {}
    for cell in cells:
        if cell.variant not in estimates:  # seeds change neither what is needed nor what it costs
            try:
                estimates[cell.variant] = _check(cell.spec, data)
            except QdeqError as error:
                estimates[cell.variant], wrong[str(cell)] = None, error
    if wrong:
        first = next(iter(wrong.values()))
        raise type(first)(f"{source}: {summed_up(wrong, len(estimates), 'variants')}") from first
    bills = [_Bill(cell, found) for cell in cells if (found := estimates[cell.variant]) is not None]
    return _afford(bills, source) if bills else []


def _check(spec: ExperimentSpec, data: dict[str, FeatureSplits]) -> Estimate | None:
    """Make what the run will need, and return what it costs; None where it costs nothing."""
    splits = _data(spec, data)
    on_cpu = spec.training.model_copy(update={"device": "cpu"})  # the workers' machines may have the GPU
    build_model(spec.model_copy(update={"training": on_cpu}), len(splits.class_names))
    return estimate(spec, Sizes.of(splits)) if isinstance(get_backend(spec.backend), PaidBackend) else None


def _data(spec: ExperimentSpec, known: dict[str, FeatureSplits]) -> FeatureSplits:
    """Load data, once for all cells that share them."""
    key = json.dumps([spec.data.model_dump(mode="json"), spec.model.qubits], sort_keys=True)
    if key not in known:
        known[key] = build_data(spec)
    return known[key]


@dataclass(frozen=True)
class _Bill:
    cell: Cell
    estimate: Estimate

    @property
    def least(self) -> Amount:
        assert self.estimate.bill is not None
        return self.estimate.bill.total.least

    @property
    def most(self) -> Amount:
        assert self.estimate.bill is not None
        return self.estimate.bill.total.most


def _afford(bills: Sequence[_Bill], source: str) -> list[str]:
    """Refuse cells without a budget, or budgets that are certain to be passed, and say what all cells cost."""
    low, high = _sum(bill.least for bill in bills).low, _sum(bill.most for bill in bills).high
    said = f"cells that cost money: {len(bills)}, {dollars(low)} to {dollars(high)} together"
    without = next((bill.cell for bill in bills if bill.cell.spec.budget is None), None)
    if without is not None:
        raise BudgetError(
            f"{source}: {without}: backend {without.spec.backend['name']!r} costs money, and the cell has no budget; "
            f"{said}\nSet budget: {{max_usd: ...}} in the base, for each cell, and budget.ledger for one limit on all."
        )
    allowed = 0
    for budget, shared in _by_ledger(bills):
        least = _sum(bill.least for bill in shared)
        short = Totals(least.tasks, least.shots, least.low).exceeded(budget.limits)
        if short is not None:
            who = str(shared[0].cell) if len(shared) == 1 else f"{len(shared)} cells with one ledger"
            raise BudgetError(
                f"{source}: {who}: budget.{short} is too small: at least {least.tasks:,} tasks, {least.shots:,} shots "
                f"and {dollars(least.low)} are needed\nRaise budget.{short}, or train less; `qdeq estimate` shows what "
                "costs what."
            )
        allowed += budget.limits.cost
    return [f"{said}; their budgets allow {dollars(allowed)}"]


def _by_ledger(bills: Sequence[_Bill]) -> list[tuple[Budget, list[_Bill]]]:
    """Put the cells together that share a ledger, and with it the limits; the others have one in their own folders."""
    groups: dict[str, tuple[Budget, list[_Bill]]] = {}
    for bill in bills:
        budget = bill.cell.spec.budget
        assert budget is not None
        groups.setdefault(budget.ledger or f"of {bill.cell.name}", (budget, []))[1].append(bill)
    return list(groups.values())


def _sum(amounts: Iterable[Amount]) -> Amount:
    return sum(amounts, Amount())
