"""Results that come back, read from their JSON and judged by what was asked.

Only what is needed is read, however the rest of it is written: the SDK's schemas refuse a paid result for the spelling
of an observable that the service repeats. What is needed has to be that of this task and this question. Result types
are matched by their observables and never by their place; numbers have to be possible ones.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

from qdeq.backends.braket_remote.echoes import contradicts, string_of
from qdeq.backends.braket_remote.retries import UNREADABLE
from qdeq.billing.execution import ROUNDING, Asked, Result
from qdeq.errors import BackendError, printable

LONGEST = 7 * 24 * 3600.0
"""No task is simulated longer [s]: what says so is no duration, and would be billed as one."""


def read_result(content: bytes, asked: Asked, arn: str, num_qubits: int, shots: int) -> tuple[Result, float | None]:
    """Return what a results.json holds, and the time of simulation [s] where that is billed.

    Args:
        content: The file's.
        asked: What its program asked for.
        arn: The task's.
        num_qubits: Size of the register.
        shots: That were asked for: a device may drop some, but not all.

    Raises:
        BackendError: It is no result of this task, or not of what was asked.
    """
    try:
        parsed = json.loads(content.decode())
        task = parsed["taskMetadata"]
        _same("task", task["id"], arn)
        _same("number of shots", _whole(task["shots"]), shots)
        seconds = _seconds(parsed["additionalMetadata"])
        if asked.kind == "counts":
            return Result(counts=_counts(parsed, num_qubits, shots)), seconds
        _qubits(parsed.get("measuredQubits") or [], num_qubits)
        read = _expectations if asked.kind == "expectations" else _gradient
        result = Result(values=read(parsed["resultTypes"], asked))
        if problem := asked.impossible(result):
            raise ValueError(problem)
        return result, seconds
    except UNREADABLE as error:
        why = str(error) if type(error) is ValueError else f"{type(error).__name__}: {error}"
        raise BackendError(f"the result cannot be read as what was asked for ({printable(why, 200)})") from error


def _same(what: str, found: Any, wanted: object) -> None:
    if found != wanted:
        raise ValueError(f"it is of the {what} {found}, not {wanted}")


def _number(value: Any) -> float:
    """Return a number that JSON gives as one: a truth value and a text are none."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"{value!r} is no number")
    return value


def _whole(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise ValueError(f"{value!r} is no whole number")
    return value


def _seconds(metadata: Mapping[str, Any]) -> float | None:
    simulation = metadata.get("simulatorMetadata")
    if simulation is None:
        return None
    seconds = float(_number(simulation.get("executionDuration") or 0)) / 1000
    if not 0 <= seconds <= LONGEST:
        raise ValueError(f"a simulation of {seconds:g} s is none")
    return seconds


def _qubits(measured: Any, num_qubits: int) -> list[int]:
    """Return qubits that were measured, each once and each of the register."""
    qubits = [_whole(qubit) for qubit in measured]
    if len(set(qubits)) != len(qubits) or not set(qubits) <= set(range(num_qubits)):
        raise ValueError(f"qubits {measured} were measured of {num_qubits}")
    return qubits


# -- exact results -----------------------------------------------------------------------------------------------------


def _expectations(entries: Any, asked: Asked) -> tuple[float, ...]:
    """Return an expectation for each string, wherever it stands."""
    found: dict[frozenset[tuple[int, str]], float] = {}
    for entry in entries:
        _same("kind", entry["type"]["type"], "expectation")
        string = string_of(entry["type"]["observable"], entry["type"]["targets"])
        if string in found:
            raise ValueError(f"{_named(string)} is given twice")
        found[string] = float(_number(entry["value"]))
    wanted = [frozenset(string) for _, string in asked.terms]
    if missing := [string for string in wanted if string not in found]:
        raise ValueError(f"{_named(missing[0])} was asked for, and is not there")
    if len(found) != len(wanted):
        raise ValueError(f"{len(found)} results, and {len(wanted)} were asked for")
    return tuple(found[string] for string in wanted)


def _gradient(entries: Any, asked: Asked) -> tuple[float, ...]:
    """Return an expectation, and its derivatives in the order of the parameters."""
    (entry,) = entries
    _same("kind", entry["type"]["type"], "adjoint_gradient")
    if difference := contradicts(entry["type"].get("observable"), entry["type"].get("targets"), asked.terms):
        raise ValueError(f"it is the gradient of another observable: {difference}")
    gradient = entry["value"]["gradient"]
    if sorted(gradient) != sorted(asked.parameters):
        raise ValueError(f"derivatives in {sorted(gradient)}, and {len(asked.parameters)} others were asked for")
    numbers = (entry["value"]["expectation"], *(gradient[name] for name in asked.parameters))
    return tuple(float(_number(number)) for number in numbers)


def _named(string: frozenset[tuple[int, str]]) -> str:
    return " ".join(f"{letter}{qubit}" for qubit, letter in sorted(string)) or "the identity"


# -- shots -------------------------------------------------------------------------------------------------------------


def _counts(parsed: Mapping[str, Any], num_qubits: int, shots: int) -> tuple[tuple[str, int], ...]:
    """Return how often each outcome of all qubits was measured, qubit 0 first."""
    measured = _qubits(parsed["measuredQubits"], num_qubits)
    if len(measured) != num_qubits:
        raise ValueError(f"{len(measured)} of {num_qubits} qubits were measured")
    if parsed.get("measurements") is not None:
        counts: dict[str, int] = {}
        for row in parsed["measurements"]:
            outcome = "".join(str(_whole(bit)) for bit in row)
            counts[outcome] = counts.get(outcome, 0) + 1
    else:
        counts = _from_probabilities(parsed["measurementProbabilities"], shots)
    if not 0 < sum(counts.values()) <= shots:
        raise ValueError(f"{sum(counts.values()):,} shots")
    places = [measured.index(qubit) for qubit in range(num_qubits)]
    spread: dict[str, int] = {}
    for outcome, count in counts.items():
        if len(outcome) != num_qubits or set(outcome) - {"0", "1"}:
            raise ValueError(f"{outcome} is no outcome of {num_qubits} qubits")
        spread["".join(outcome[place] for place in places)] = count
    return tuple(sorted(spread.items()))


def _from_probabilities(told: Mapping[str, Any], shots: int) -> dict[str, int]:
    """Return the counts, which add up to all shots, that are nearest to relative frequencies (largest remainders)."""
    shares = {outcome: float(_number(probability)) for outcome, probability in told.items()}
    total = math.fsum(shares.values())
    if not all(share >= 0 for share in shares.values()) or not abs(total - 1) <= ROUNDING:
        raise ValueError(f"probabilities that add up to {total:g}, or are negative")
    counts = {outcome: math.floor(share * shots / total) for outcome, share in shares.items()}
    left = shots - sum(counts.values())
    for outcome in sorted(shares, key=lambda outcome: counts[outcome] - shares[outcome] * shots / total)[:left]:
        counts[outcome] += 1
    return {outcome: count for outcome, count in counts.items() if count}
