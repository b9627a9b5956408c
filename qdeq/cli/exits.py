"""What the exit codes mean, for all commands alike."""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    """How a command ended; shells report Ctrl-C and SIGTERM by the same numbers."""

    meaning: str

    def __new__(cls, code: int, meaning: str) -> ExitCode:
        """Make a code that knows what it means."""
        made = int.__new__(cls, code)
        made._value_ = code
        made.meaning = meaning
        return made

    DONE = 0, "Done, and whatever was checked is right."
    CHECK_FAILED = (
        1,
        "A check failed: a difference beyond its tolerance, a failed cell or solver, a broken installation.",
    )
    BAD_INPUT = 2, "Bad input or surroundings: nothing was done, or the rest was. The message says how to mend it."
    OUT_OF_BUDGET = 3, "The budget ended the run; what was paid for is kept, and the run can go on."
    INCOMPLETE = (
        4,
        "A backend could not be compared: it was refused or is not installed. The others were, and are right.",
    )
    INTERRUPTED = 130, "Ctrl-C. A run has saved its state."
    TERMINATED = 143, "SIGTERM. A run has saved its state."
