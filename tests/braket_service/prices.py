"""What the service bills: its own arithmetic, from the devices' own prices, and on purpose no part of qdeq's."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

SIMULATOR_MINIMUM_MS = 3000
QPU_USD_PER_TASK = Decimal("0.30")


def price(capabilities: dict[str, Any], shots: int, milliseconds: int) -> Decimal:
    """Return the price [USD] of one finished task: by the simulator's time, or by task and shot.

    AWS's public price page of 2025: a simulator's minute has a price, and a task takes at least three seconds; a QPU's
    task and every shot have one.
    """
    cost = capabilities["service"]["deviceCost"]
    rate = Decimal(str(cost["price"]))
    if cost["unit"] == "minute":
        return rate * max(milliseconds, SIMULATOR_MINIMUM_MS) / 60000
    return QPU_USD_PER_TASK + rate * shots
