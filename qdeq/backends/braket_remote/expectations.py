"""Expectations of bound circuits from tasks: exact ones, or estimates from counts.

Readout errors are put on what comes back, by their own arithmetic: an exact expectation becomes that of what is read,
and each measured bit is flipped with its probability. So they run on every simulator, and counts serve any of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from qdeq.backends.adapter import measured_in
from qdeq.backends.braket_remote.programs import expectation_program, outcome_signs, sampling_program
from qdeq.backends.braket_remote.target import Target
from qdeq.backends.readout import counts_read, observable_read
from qdeq.backends.sampling import ShotKey, mean_and_variance
from qdeq.billing.execution import Execution
from qdeq.circuit import Circuit
from qdeq.observables import Observable, as_sum, measurement_groups

if TYPE_CHECKING:
    from qdeq.backends.braket_remote.backend import RemoteBraket


class Stream(NamedTuple):
    """The shots of one circuit, in every group of observables: see :meth:`ShotKey.stream`."""

    key: ShotKey
    row: int
    part: int


def exact_values(
    backend: RemoteBraket, bound: Sequence[Circuit], observables: Sequence[Observable], target: Target
) -> np.ndarray:
    """Return expectations ``[N, O]`` of N bound circuits; all strings of a circuit come from one task."""
    if not bound:
        return np.zeros((0, len(observables)))
    sums = [as_sum(observable_read(observable, bound[0].readout)) for observable in observables]
    strings = list(dict.fromkeys(string for total in sums for _, string in total.terms if string.factors))
    position = {string: k for k, string in enumerate(strings)}
    coefficients, constants = np.zeros((len(sums), len(strings))), np.zeros(len(sums))
    for row, total in enumerate(sums):
        for coefficient, string in total.terms:
            if string.factors:
                coefficients[row, position[string]] = coefficient
            else:
                constants[row] += coefficient
    if not strings:
        return np.broadcast_to(constants, (len(bound), len(sums))).copy()
    executions = [
        Execution(
            backend=backend.name,
            device=backend.device_arn,
            program=expectation_program(circuit, strings, target),
            qubits=circuit.num_qubits,
            wants="expectations",
            size=len(strings),
            terms=tuple((1.0, string.factors) for string in strings),
        )
        for circuit in bound
    ]
    values = np.array([result.values for result in backend.obtain(executions)]).reshape(len(bound), len(strings))
    return values @ coefficients.T + constants


def measured_values(
    backend: RemoteBraket,
    bound: Sequence[Circuit],
    observables: Sequence[Observable],
    shots: int,
    streams: Sequence[Stream],
    target: Target,
) -> tuple[np.ndarray, np.ndarray]:
    """Return estimates and their variances, each ``[N, O]``; a task for each circuit and measurement group."""
    groups = measurement_groups(observables)
    executions = [
        Execution(
            backend=backend.name,
            device=backend.device_arn,
            program=sampling_program(circuit + measured_in(group, circuit.num_qubits), target),
            qubits=circuit.num_qubits,
            wants="counts",
            shots=shots,
            key=stream.key.stream(stream.row, number, stream.part),
        )
        for number, group in enumerate(groups)
        for circuit, stream in zip(bound, streams, strict=True)
    ]
    results = iter(backend.obtain(executions))
    shape = (len(bound), len(observables))
    values, variances = np.zeros(shape), np.zeros(shape)
    for number, group in enumerate(groups):
        for place, (circuit, stream) in enumerate(zip(bound, streams, strict=True)):
            result = next(results)  # a device may have dropped some of the shots
            generator = stream.key.generator(stream.row, number, stream.part)
            counts = counts_read(dict(result.counts), circuit.readout, generator)
            outcomes = outcome_signs(counts, group.strings) @ group.coefficients.T
            mean, variance = mean_and_variance(np.array([[*counts.values()]]), outcomes, group, result.shots)
            values[place] += mean[0]
            variances[place] += variance[0]
    return values, variances
