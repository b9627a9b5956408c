"""Estimates: what an experiment will ask of a device, and what that costs, before anything is sent.

The counts are those of a rehearsal (:mod:`qdeq.billing.rehearsal`) for one and two samples, put together as a run puts
them together: results that are known are not paid for again. They are exact where the number of questions is fixed, and
bounds where it depends on answers; money is bounded where time is billed. Images and iterates are taken to differ from
each other, and tasks not to fail.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any, Literal

from qdeq.backends import Backend, get_backend
from qdeq.backends.adapter import CircuitBackend
from qdeq.backends.analysis import analyse
from qdeq.backends.paid import PaidBackend
from qdeq.backends.planner import plan_step
from qdeq.billing.amounts import Amount, Bounds
from qdeq.billing.bills import Bill, Sizes, bounded_bill, typical_cost
from qdeq.billing.entries import Limits, Totals
from qdeq.billing.prices import NANO, PRICES_AS_OF, Price, dollars, price_of
from qdeq.builders import build_circuit, build_model
from qdeq.errors import BudgetError, QdeqError
from qdeq.spec import ExperimentSpec

How = Literal["compiled", "circuits"]
WAYS: dict[How, str] = {
    "compiled": "compiled by polarisation, from known states",
    "circuits": "a circuit for each sample and evaluation",
}


@dataclass(frozen=True)
class Estimate:
    """What an experiment takes on one backend.

    Attributes:
        backend: Its name.
        device: Its ARN; None for one that costs nothing.
        price: Of the device; None likewise.
        how: The way that is taken, which is the cheaper one unless ``backend.execution`` names it.
        bill: By that way; None for a backend that costs nothing.
        others: By the other way, where there is one.
        remark: What there is to say of a backend that costs nothing.
        certain: Whether the least of an epoch and of all is a bound. It is what a run takes whose weights move in every
            step; where no gradient may reach the circuit they may stay, and what is known is not paid for again.
    """

    backend: str
    device: str | None = None
    price: Price | None = None
    how: How | None = None
    bill: Bill | None = None
    others: tuple[tuple[How, Bill], ...] = ()
    remark: str = ""
    certain: bool = True

    def chosen(self) -> str:
        """Return how circuits are chosen and what the other way would cost, in one line."""
        if self.bill is None or self.how is None:
            return f"{self.backend}: {self.remark}"
        text = f"{self.backend}: {WAYS[self.how]}: {_said(self.bill.step)} a step, {self._in_all(self.bill)} in all"
        for how, bill in self.others:
            text += f"; {WAYS[how]} would take {_said(bill.step)} a step"
        return text

    def check(self, limits: Limits) -> None:
        """Refuse a budget that the run is certain to pass, given that its weights move.

        Raises:
            BudgetError: It is too small.
        """
        if self.bill is None:
            return
        least = self.bill.total.least
        short = Totals(least.tasks, least.shots, least.low).exceeded(limits)
        if short is not None:
            what = {"max_usd": dollars(least.low), "max_tasks": f"{least.tasks:,}", "max_shots": f"{least.shots:,}"}
            raise BudgetError(
                f"budget.{short} is too small: this experiment takes at least {what[short]}"
                f"{'' if self.certain else ' where its weights move'} ({self._in_all(self.bill)} in all)\n"
                f"Raise budget.{short}, or train fewer epochs on fewer images; `qdeq estimate` shows what costs what."
            )

    def shortage(self, limits: Limits) -> str | None:
        """Return in one line that the money may not last, where it lies between the bounds; None where it will."""
        if self.bill is None or not self.bill.total.least.low <= limits.cost < self.bill.total.most.high:
            return None
        return (
            f"budget.max_usd ({dollars(limits.cost)}) is within the estimate ({self._in_all(self.bill)}): the run may "
            "stop before its end, as each task is reserved at its upper price"
        )

    def _in_all(self, bill: Bill) -> str:
        return f"{'' if self.certain else 'typically '}{_said(bill.total)}"

    def to_data(self) -> dict[str, Any]:
        """Return the estimate as JSON-ready data; money in USD."""
        bills = {} if self.bill is None or self.how is None else {self.how: self.bill, **dict(self.others)}
        return {
            "backend": self.backend,
            "device": self.device,
            "execution": self.how,
            "prices_as_of": PRICES_AS_OF,
            "price": None if self.price is None else self.price.model_dump(),
            "remark": self.remark,
            "certain": self.certain,
            "bills": {how: _bill_data(bill) for how, bill in bills.items()},
        }


def estimate(spec: ExperimentSpec, sizes: Sizes, *, backend: Any = None, price: Price | None = None) -> Estimate:
    """Estimate what training an experiment takes.

    Args:
        spec: The experiment.
        sizes: Of its data.
        backend: Another backend than the experiment's, by name or mapping.
        price: Of the device, where more is known than budget and table say.

    Raises:
        BudgetError: The device's price is not known.
        QdeqError: The backend cannot run the experiment.
    """
    if backend is not None:
        made = get_backend(backend)
        options = {field.name: getattr(made, field.name) for field in fields(made)}
        spec = spec.model_copy(update={"backend": {"name": made.name, **options}})
    chosen = get_backend(spec.backend)
    if not isinstance(chosen, PaidBackend):
        return Estimate(chosen.name, remark=_free(spec, chosen, sizes))
    price = price or price_of(chosen.device_arn, chosen.name, spec.budget.prices if spec.budget else {})
    circuit = build_circuit(spec.model, spec.noise)
    ways: list[How] = ["circuits"] if chosen.execution == "auto" else [chosen.execution]
    if chosen.execution == "auto" and spec.shots is None and analyse(circuit) is not None:
        ways.append("compiled")
    costs: dict[How, int] = {}
    refused: QdeqError | None = None
    for how in ways:
        try:
            costs[how] = typical_cost(_by(spec, how), sizes, price) if ways[1:] else 0
        except QdeqError as error:
            refused = error
    if not costs:
        assert refused is not None
        raise refused
    order = sorted(costs, key=lambda how: costs[how])
    bills = {how: bounded_bill(_by(spec, how), sizes, price) for how in order}
    others, certain = tuple(bills.items())[1:], weights_surely_move(spec)
    return Estimate(chosen.name, chosen.device_arn, price, order[0], bills[order[0]], others, certain=certain)


def weights_surely_move(spec: ExperimentSpec) -> bool:
    """Whether every step has a gradient in the circuit's weights.

    The read-out's ReLU may be dead for every image, and then lets none through; a penalty on the Jacobian goes past it.
    """
    return spec.model.mode == "implicit" and spec.training.jacobian_weight > 0


def _by(spec: ExperimentSpec, how: How) -> ExperimentSpec:
    return spec.model_copy(update={"backend": {**spec.backend, "execution": how}})


def _free(spec: ExperimentSpec, backend: Backend, sizes: Sizes) -> str:
    """Return what there is to say of a backend that costs nothing."""
    if not isinstance(backend, CircuitBackend) or spec.model.mode == "direct":
        return "runs here, and costs nothing"
    model = build_model(_on_cpu(spec), num_classes=2)
    batch = min(spec.training.batch_size, sizes.train)
    planned = plan_step(backend, model.circuit, batch, model.equilibrium.most_evaluations(spec.shots), shots=spec.shots)
    return f"runs here, and costs nothing; circuits: {planned}"


def _on_cpu(spec: ExperimentSpec) -> ExperimentSpec:
    return spec.model_copy(update={"training": spec.training.model_copy(update={"device": "cpu"})})


def _said(bounds: Bounds) -> str:
    """Return tasks and money in words, bounds as two numbers."""
    tasks = f"{bounds.most.tasks:,}"
    if bounds.least.tasks != bounds.most.tasks:
        tasks = f"{bounds.least.tasks:,} to {tasks}"
    money = dollars(bounds.most.high)
    if bounds.least.low != bounds.most.high:
        money = f"{dollars(bounds.least.low)} to {money}"
    return f"{tasks} tasks ({money})"


def _bill_data(bill: Bill) -> dict[str, Any]:
    def amount(part: Amount) -> dict[str, Any]:
        data = asdict(part)
        low, high = data.pop("low"), data.pop("high")
        return {**data, "usd_least": low / NANO, "usd_most": high / NANO}

    return {
        field.name: {side: amount(getattr(getattr(bill, field.name), side)) for side in ("least", "most")}
        for field in fields(bill)
    }
