"""Estimates as tables."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from qdeq.billing.amounts import Bounds
from qdeq.billing.bills import Bill
from qdeq.billing.estimate import WAYS, Estimate
from qdeq.billing.prices import PRICES_AS_OF, SMALL_REGISTER, Price, dollars
from qdeq.reports.ledgers import money_table

TYPICALLY = (
    "\ntypically: where the read-out's ReLU is dead for every image, no gradient reaches the circuit; its weights "
    "stay, and an epoch asks for less"
)


def estimate_table(estimate: Estimate) -> RenderableType:
    """Return what an experiment takes on one backend: a step, the first epoch, all; and the other way beside it."""
    if estimate.bill is None or estimate.how is None or estimate.price is None:
        return Text(f"{estimate.backend}: {estimate.remark}")
    bills = {estimate.how: estimate.bill, **dict(estimate.others)}
    parts: list[RenderableType] = [
        Text(f"{estimate.backend} ({estimate.device})", "bold"),
        Text(_price(estimate.price)),
    ]
    for how, bill in bills.items():
        chosen = "chosen, " if how == estimate.how and len(bills) > 1 else ""
        parts += [Text(f"\n{chosen}{WAYS[how]} (execution: {how})"), _bill_table(bill, certain=estimate.certain)]
    if not estimate.certain:
        parts.append(Text(TYPICALLY))
    return Group(*parts)


def _bill_table(bill: Bill, *, certain: bool) -> Table:
    table = money_table("" if certain else "typically", "circuits", "tasks", "shots", "cost")
    for name, bounds in (("a training step", bill.step), ("the first epoch", bill.epoch), ("in all", bill.total)):
        counts = [_range(bounds, what) for what in ("circuits", "tasks", "shots")]
        low, high = dollars(bounds.least.low), dollars(bounds.most.high)
        table.add_row(name, *counts, low if low == high else f"{low} to {high}")
    return table


def _range(bounds: Bounds, what: str) -> str:
    least, most = (getattr(side, what) for side in (bounds.least, bounds.most))
    return f"{most:,}" if least == most else f"{least:,} to {most:,}"


def _price(price: Price) -> str:
    parts = [f"${price.per_task:g} a task"] if price.per_task else []
    parts += [f"${price.per_shot:g} a shot"] if price.per_shot else []
    if price.per_minute:
        most = f"{price.longest_seconds:g} s" if price.longest_seconds else f"twice that up to {SMALL_REGISTER} qubits"
        bounds = f"at least {price.minimum_seconds:g} s a task, taken to be at most {most}"
        parts.append(f"${price.per_minute:g} a minute ({bounds})")
    return f"{' and '.join(parts) or 'nothing'}; prices of {PRICES_AS_OF} unless budget.prices gives others"
