"""What devices cost: a dated table, which an experiment can override.

Money is counted in whole nano-dollars: sums are exact, and a bill of exactly the limit does not pass it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import ROUND_CEILING, Decimal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from qdeq.errors import BudgetError, printable
from qdeq.numbers import as_number

NANO = 10**9
"""Nano-dollars in a dollar."""

PRICES_AS_OF = "2025"
"""When the table was read off AWS's public page, https://aws.amazon.com/braket/pricing."""

SMALL_REGISTER = 18
"""A simulation of so many qubits is taken to stay within twice the minimum that is billed; each more doubles it."""

LARGEST = 1e9
"""Dollars or seconds; beyond, a sum of costs is no 64-bit number."""


class Price(BaseModel):
    """The price of a task on one device: a fee, so much a shot, and so much a minute of simulation."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    __numbers = field_validator("*", mode="before")(as_number)

    per_task: float = Field(0.0, ge=0, le=LARGEST, description="Fee of a task [USD].")
    per_shot: float = Field(0.0, ge=0, le=LARGEST, description="Price of a shot [USD].")
    per_minute: float = Field(0.0, ge=0, le=LARGEST, description="Price of a minute of simulation [USD].")
    minimum_seconds: float = Field(0.0, ge=0, le=LARGEST, description="Time that is billed at least for a task [s].")
    longest_seconds: float | None = Field(
        None,
        gt=0,
        le=LARGEST,
        description="Time that no task is expected to exceed [s], for upper bounds; null for twice the minimum, "
        f"doubled by every qubit beyond {SMALL_REGISTER}.",
    )

    @model_validator(mode="after")
    def _consistent(self) -> Price:
        if not self.model_fields_set:
            raise ValueError("gives no price; for a device that costs nothing write per_task: 0")
        if self.per_minute and not (self.minimum_seconds or self.longest_seconds):
            raise ValueError("per_minute needs minimum_seconds or longest_seconds, to bound what a task costs")
        return self

    def cost(self, shots: int, seconds: float | None) -> int:
        """Return what a finished task is billed [nano-dollars].

        Args:
            shots: Its shots.
            seconds: Its time of simulation, where that is billed; None if it is not known, which bills the minimum.
        """
        billed = max(Decimal(repr(seconds or 0.0)), _decimal(self.minimum_seconds))
        usd = _decimal(self.per_task) + _decimal(self.per_shot) * shots + _decimal(self.per_minute) * billed / 60
        return int((usd * NANO).to_integral_value(ROUND_CEILING))

    def bounds(self, shots: int, qubits: int) -> tuple[int, int]:
        """Return the least that a task can cost and the most that it is expected to [nano-dollars]."""
        return self.cost(shots, None), self.cost(shots, self.longest(qubits))

    def longest(self, qubits: int) -> float:
        """Return the time that no task on so many qubits is expected to exceed [s]."""
        if self.longest_seconds is not None:
            return max(self.longest_seconds, self.minimum_seconds)
        return self.minimum_seconds * 2.0 ** (1 + max(0, qubits - SMALL_REGISTER))


_SIMULATOR = Price(per_minute=0.075, minimum_seconds=3)
_FORTE = Price(per_task=0.30, per_shot=0.08)
PRICES: Mapping[str, Price] = {
    "device/quantum-simulator/amazon/sv1": _SIMULATOR,
    "device/quantum-simulator/amazon/dm1": _SIMULATOR,
    "device/qpu/ionq/Forte-1": _FORTE,
    "device/qpu/ionq/Forte-Enterprise-1": _FORTE,
    "device/qpu/iqm/Garnet": Price(per_task=0.30, per_shot=0.00145),
}
"""By what follows the last colon of the device's ARN."""


def price_of(device: str, backend: str, overrides: Mapping[str, Price]) -> Price:
    """Return the price of a device.

    Args:
        device: Its ARN.
        backend: Name of the backend.
        overrides: The user's prices, by ARN or by the backend's name.

    Raises:
        BudgetError: It is not known.
    """
    if (chosen := chosen_price(device, backend, overrides)) is not None:
        return chosen
    known = PRICES.get(device.rpartition(":")[2])
    if known is None:
        raise BudgetError(
            f"the price of {device} is not known (table of {PRICES_AS_OF})\n"
            f"Look it up, and give it as budget.prices: {{{device!r}: {{per_task: ..., per_shot: ...}}}}."
        )
    return known


def chosen_price(device: str, backend: str, overrides: Mapping[str, Price]) -> Price | None:
    """Return the user's own price of a device, where there is one; see :func:`price_of`."""
    return overrides.get(device, overrides.get(backend))


@dataclass(frozen=True)
class ListedPrice:
    """The one price that a device's own properties give.

    Attributes:
        usd: Dollars a unit.
        unit: ``"shot"``, ``"task"``, ``"minute"``, ``"hour"``, or a word of the service's.
    """

    usd: float
    unit: str

    def compare(self, price: Price, *, chosen: bool) -> tuple[Price, str | None]:
        """Return what is to be counted on, and what there is to say where this is another price.

        The higher of the two is counted on, unless the user has chosen the lower one.

        Args:
            price: Of the table, or the user's.
            chosen: Whether it is the user's.
        """
        said, ours = (
            f"${self.usd:g} per {printable(self.unit, 40)}",
            "budget.prices" if chosen else f"the table of {PRICES_AS_OF}",
        )
        if self.unit.lower() not in _UNITS or not 0 <= self.usd <= LARGEST:
            return price, f"its price ({said}) cannot be compared with {ours}: look at AWS's page"
        name, units = _UNITS[self.unit.lower()]
        listed, known = self.usd * units, float(getattr(price, name))
        if math.isclose(listed, known, rel_tol=1e-9):
            return price, None
        text = f"it lists {said}, and {ours} has ${known / units:g}"
        if chosen:
            return price, f"{text}, which is counted on, as you say"
        if listed < known:
            return price, f"{text}: the higher one is counted on"
        if name == "per_minute" and not (price.minimum_seconds or price.longest_seconds):
            raise BudgetError(
                f"the device lists {said}, and {ours} has no price of time, so what a task may cost is not known\n"
                "Look it up, and give it in budget.prices, with minimum_seconds or longest_seconds."
            )
        return price.model_copy(update={name: listed}), f"{text}: the higher one is counted on"


_UNITS = {"shot": ("per_shot", 1.0), "task": ("per_task", 1.0), "minute": ("per_minute", 1.0)} | {
    "hour": ("per_minute", 1 / 60)
}
"""Which part of a price a unit is about, and how many units there are in it."""


def dollars(amount: int) -> str:
    """Return nano-dollars as text, to the cent where that shows the amount, and to more digits where it does not."""
    usd = Decimal(amount) / NANO
    return f"${usd:,.2f}" if amount % (NANO // 100) == 0 or usd >= 100 else f"${usd:,.5f}".rstrip("0")


def _decimal(value: float) -> Decimal:
    return Decimal(repr(value))  # the digits that were written, not those of the binary fraction
