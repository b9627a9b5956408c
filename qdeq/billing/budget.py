"""The options of an experiment's ``budget:``: what may be spent, and where the ledger is."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from qdeq.billing.entries import Limits
from qdeq.billing.prices import NANO, Price
from qdeq.errors import is_hidden
from qdeq.numbers import as_number

LEDGER_NAME = "ledger.sqlite"
"""The ledger's name in a run's folder."""
LONGEST_PATH = 1024


class Budget(BaseModel):
    """What everything in one ledger may cost together, and what the ledger is."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    __numbers = field_validator("*", mode="before")(as_number)

    max_usd: float = Field(gt=0, le=1e9, description="Most that may be spent [USD], tasks in flight counted.")
    max_tasks: int | None = Field(None, ge=1, strict=True, description="Most tasks; null for no limit.")
    max_shots: int | None = Field(None, ge=1, strict=True, description="Most shots; null for no limit.")
    on_interrupt: Literal["keep", "cancel"] = Field(
        "keep",
        description="Tasks in flight at Ctrl-C: keep them, and the next run with this ledger takes their results; or "
        "cancel them.",
    )
    ledger: str | None = Field(
        None,
        min_length=1,
        description="The ledger's file (*.sqlite), which runs may share: the limits are for all of them. A relative "
        f"path starts at the working directory and stays below it. null for {LEDGER_NAME} in the run's folder.",
    )
    prices: dict[str, Price] = Field(
        default={}, description="Prices by the device's ARN or the backend's name, in place of the package's table."
    )

    @field_validator("ledger")
    @classmethod
    def _is_a_place_for_a_ledger(cls, path: str | None) -> str | None:
        if path is None:
            return None
        if any(map(is_hidden, path)) or len(path) > LONGEST_PATH:
            raise ValueError(f"a printable path of at most {LONGEST_PATH} characters is needed")
        if Path(path).suffix != ".sqlite":  # an experiment of somebody else's makes no file that a program would run
            raise ValueError(f"a ledger's name ends in .sqlite, not as in {path!r}")
        if not Path(path).is_absolute() and ".." in Path(path).parts:
            raise ValueError(f"{path!r} leads out of the working directory; give an absolute path")
        return path

    @property
    def limits(self) -> Limits:
        """The limits as the ledger keeps them."""
        return Limits(int(self.max_usd * NANO + 0.5), self.max_tasks, self.max_shots)
