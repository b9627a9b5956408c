"""What a device lists in its action properties, and nothing else is sent to it: gates, pragmas for noise, results."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from qdeq.errors import UnsupportedError, printable
from qdeq.observables import PauliString
from qdeq.qasm import BRAKET_NAMES


@dataclass(frozen=True)
class ResultType:
    """A result type that a device lists.

    Attributes:
        observables: Of one qubit, in Braket's names.
        shots: The least and the most that it takes.
    """

    observables: frozenset[str]
    shots: tuple[int, int]


@dataclass(frozen=True)
class Target:
    """What a program is written for.

    Attributes:
        name: The device's name, for messages.
        operations: Gates, in Braket's names.
        pragmas: Pragmas, as ``braket_noise_bit_flip``; None for all, where programs are only counted.
        results: Result types by name; None likewise.
    """

    name: str
    operations: frozenset[str] = field(default=frozenset(BRAKET_NAMES.values()))
    pragmas: frozenset[str] | None = None
    results: Mapping[str, ResultType] | None = None

    @classmethod
    def of(cls, name: str, action: Any) -> Target:
        """Read a device's properties of OpenQASM programs."""
        return cls(
            name,
            frozenset(str(operation).lower() for operation in action.supportedOperations),
            frozenset(action.supportedPragmas or ()) - frozenset(action.forbiddenPragmas or ()),
            {
                row.name: ResultType(
                    frozenset(observable.lower() for observable in row.observables or ()),
                    (row.minShots or 0, row.maxShots or 0),
                )
                for row in action.supportedResultTypes or ()
            },
        )

    def check_noise(self, name: str) -> None:
        """Refuse noise that the device has no pragma for.

        Raises:
            UnsupportedError: It lists none.
        """
        if self.pragmas is not None and f"braket_noise_{name}" not in self.pragmas:
            noise = sorted(pragma.removeprefix("braket_noise_") for pragma in self.pragmas if "noise" in pragma)
            raise UnsupportedError(
                f"{self.name} has no noise of the kind {name}; it lists {printable(', '.join(noise)) or 'none'}\n"
                "Leave it out of noise, or use a simulator on this machine."
            )

    def check_result(self, name: str, strings: Iterable[PauliString], remedy: str) -> None:
        """Refuse an exact result that the device does not give.

        Args:
            name: Of the result type.
            strings: Pauli strings that it is asked for.
            remedy: For the message.

        Raises:
            UnsupportedError: The device does not list the result type, or not without shots, or not of a Pauli matrix.
        """
        if self.results is None:
            return
        listed = self.results.get(name)
        if listed is None or listed.shots[0] > 0:
            exact = printable(", ".join(sorted(kind for kind, row in self.results.items() if row.shots[0] == 0)))
            raise UnsupportedError(
                f"{self.name} gives no exact {name}; without shots it lists {exact or 'nothing'}\n{remedy}"
            )
        letters = {letter.lower() for string in strings for _, letter in string.factors}
        if missing := sorted(letters - listed.observables):
            raise UnsupportedError(
                f"{self.name} gives no {name} of {', '.join(missing)}; it lists "
                f"{printable(', '.join(sorted(listed.observables))) or 'no observables'}\n{remedy}"
            )
