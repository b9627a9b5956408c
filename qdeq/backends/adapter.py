"""The base of every backend that runs bound circuits one at a time: simulators of other packages, local or remote.

An adapter says what it gives (amplitudes or outcome probabilities) and implements :meth:`CircuitBackend.run`.
Everything else, from expectations and shots to gradients and compiled functions, is made of such runs here.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Annotated, Literal

import numpy as np
import torch
from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass
from torch import Tensor

from qdeq.backends.analysis import Analysis, analyse
from qdeq.backends.base import Backend
from qdeq.backends.choi import columns_by_runs
from qdeq.backends.circuit_function import CircuitFunction
from qdeq.backends.compile import compile_columns
from qdeq.backends.executions import ExecutionPlan, bind_rows
from qdeq.backends.function import FrozenFunction
from qdeq.backends.probing import WeightGradient, compile_by_probing, probing_pays
from qdeq.backends.readout import read_out
from qdeq.backends.sampling import ShotKey, sample_expectations
from qdeq.backends.torch.simulator import amplitudes
from qdeq.circuit import Channel, Circuit, Gate
from qdeq.errors import UnsupportedError
from qdeq.functions import Function
from qdeq.gates import reduced
from qdeq.observables import BASIS_GATES, MeasurementGroup, Observable, measurement_groups

ADAPTER_CONFIG = ConfigDict(extra="forbid")


@dataclass(frozen=True, kw_only=True, config=ADAPTER_CONFIG)
class CircuitBackend(Backend):
    """A backend that runs bound circuits.

    Subclasses set :attr:`gives`, the gates that they have no translation for (:attr:`lacks`), and :meth:`run`.
    """

    workers: Annotated[int, Field(ge=1, description="Processes that circuits are spread over.")] = 1
    ray_address: Annotated[
        str | None,
        Field(description="Address of a Ray cluster to run on (needs qdeq[distributed]); null for this machine."),
    ] = None

    @property
    @abstractmethod
    def gives(self) -> Literal["amplitudes", "probabilities"]:
        """What :meth:`run` returns: final amplitudes, or outcome probabilities in the computational basis."""

    @property
    def lacks(self) -> frozenset[str]:
        """Gates of the table that are decomposed before :meth:`run` sees them."""
        return frozenset()

    @abstractmethod
    def run(self, circuits: Sequence[Circuit]) -> np.ndarray:
        """Run bound circuits and return ``[N, 2^n]``, qubit 0 the most significant bit, idle qubits included.

        The circuits are all on the same register. Gates in :attr:`lacks` do not occur; angles are from -2π to 2π. An
        amplitude encoding may stand first, with its values bound; ``circuit.prepared()`` writes it out as gates for
        targets without state preparation. Noise channels occur where :attr:`capabilities` has noise. Readout errors are
        added afterwards: declare them (``readout``) for amplitudes and probabilities alike.
        """

    def evaluate(
        self,
        circuits: Sequence[Circuit],
        inputs: Tensor,
        weights: Tensor,
        observables: Sequence[Observable],
        *,
        shots: int | None = None,
        key: ShotKey | None = None,
        part: int = 0,
    ) -> tuple[Tensor, Tensor | None]:
        """Return expectations ``[T, B, O]``; see :meth:`Backend.evaluate`."""
        groups = measurement_groups(observables)
        size, batch = circuits[0].num_qubits, len(inputs)
        probabilities = self.__probabilities(circuits, inputs, weights, groups)  # [G][T, B, 2^n]
        if shots is None:
            parts = [
                measured @ (group.signs(size) @ group.coefficients.T)
                for group, measured in zip(groups, probabilities, strict=True)
            ]
            return torch.from_numpy(sum(parts, np.zeros((len(circuits), batch, len(observables))))).to(inputs), None
        pairs, key = [], key or ShotKey(seed=0)
        for number in range(len(circuits)):
            rows = {
                group: torch.from_numpy(measured[number]) for group, measured in zip(groups, probabilities, strict=True)
            }
            pairs.append(sample_expectations(rows.__getitem__, observables, size, shots, key, part + number))
        values, errors = (torch.stack(column).to(inputs) for column in zip(*pairs, strict=True))
        return values, errors

    def __probabilities(
        self, circuits: Sequence[Circuit], inputs: Tensor, weights: Tensor, groups: Sequence[MeasurementGroup]
    ) -> list[np.ndarray]:
        """Return the outcome probabilities ``[T, B, 2^n]`` of each group, from the fewest runs."""
        if not len(inputs):
            return [np.zeros((len(circuits), 0, 2 ** circuits[0].num_qubits)) for _ in groups]
        bound = bind_rows(circuits, inputs, weights)
        shape = (len(circuits), len(inputs), 2 ** circuits[0].num_qubits)
        if self.gives == "amplitudes":
            states = self.execute(bound)
            outcomes = np.stack([np.abs(rotate(states, group)) ** 2 for group in groups])
        else:
            requests = [circuit + measured_in(group, circuit.num_qubits) for group in groups for circuit in bound]
            outcomes = self.execute(requests)
        read = read_out(torch.from_numpy(outcomes.reshape(len(groups), *shape)), circuits[0].readout)
        return list(read.numpy())

    def execute(self, circuits: Sequence[Circuit]) -> np.ndarray:
        """Run bound circuits, each distinct one once, on this backend's workers; ``[N, 2^n]``."""
        return ExecutionPlan.of([lowered(circuit, self.lacks) for circuit in circuits]).run(self)

    def freeze(
        self,
        circuit: Circuit,
        weights: Tensor,
        observables: Sequence[Observable],
        shots: int | None,
        key: ShotKey | None,
    ) -> FrozenFunction:
        """Return a compiled function where the encoder allows it and it costs less, else one that runs circuits."""
        analysis = analyse(circuit)
        check_compilable(self, analysis, shots)
        circuits = self.by_circuits(circuit, weights, observables, shots, key)
        if shots is not None:
            return circuits
        if analysis is not None and self.gives == "amplitudes" and self.execution != "circuits":
            columns = columns_by_runs(self, circuit, analysis, weights)
            return compile_columns(circuit, analysis, columns, observables, weights)
        return probed_or_by_circuits(self, circuit, analysis, weights, observables, circuits)

    def by_circuits(
        self,
        circuit: Circuit,
        weights: Tensor,
        observables: Sequence[Observable],
        shots: int | None,
        key: ShotKey | None,
    ) -> FrozenFunction:
        """Return the function that runs a circuit per sample; a backend with native gradients has one of its own."""
        return CircuitFunction(self, circuit, weights, observables, shots=shots, key=key)


def check_compilable(backend: Backend, analysis: Analysis | None, shots: int | None) -> None:
    """Refuse ``execution: compiled`` for a circuit that cannot be.

    Raises:
        UnsupportedError: It is asked for, and the encoder or the shots do not allow it.
    """
    if backend.execution == "compiled" and (analysis is None or shots is not None):
        raise UnsupportedError(
            "execution: compiled needs exact expectations, and amplitude encoding or rotations by inputs before "
            "everything else (of few qubits); use execution: auto"
        )


def probed_or_by_circuits(
    backend: Backend,
    circuit: Circuit,
    analysis: Analysis | None,
    weights: Tensor,
    observables: Sequence[Observable],
    by_circuits: FrozenFunction,
    gradient: WeightGradient | None = None,
) -> FrozenFunction:
    """Return the function compiled from exact expectations, or that which runs circuits, as ``execution`` says.

    Args:
        backend: What runs them.
        circuit: The circuit.
        analysis: How it can be compiled, if it can.
        weights: ``[P]``.
        observables: What to measure.
        by_circuits: The function that runs circuits.
        gradient: The backend's own way to the gradient of a compiled function in the weights.
    """
    if analysis is None or backend.execution == "circuits":
        return by_circuits

    def compiled() -> FrozenFunction:
        return compile_by_probing(backend, circuit, analysis, weights, observables, gradient)

    if backend.execution == "compiled":
        return compiled()
    own = gradient is not None
    return ChosenByBatch(by_circuits, compiled, lambda batch: probing_pays(circuit, analysis, batch, adjoint=own))


class ChosenByBatch(FrozenFunction):
    """Circuits for a small batch, compiled for a large one; decided when the first batch is seen."""

    def __init__(
        self, circuits: FrozenFunction, compiled: Callable[[], FrozenFunction], pays: Callable[[int], bool]
    ) -> None:
        self._circuits, self._compile, self._pays = circuits, compiled, pays
        self._compiled: FrozenFunction | None = None

    def _chosen(self, batch: int) -> FrozenFunction:
        if self._compiled is None and self._pays(batch):
            self._compiled, self.compiled = self._compile(), True
        return self._compiled or self._circuits

    def __call__(self, inputs: Tensor) -> Tensor:
        """Return the expectations ``[B, O]`` at inputs ``[B, I]``."""
        return self._chosen(len(inputs))(inputs)

    def jacobian(self, inputs: Tensor, *, create_graph: bool = False) -> Tensor:
        """Return ``∂f/∂v``, shape ``[B, O, I]``."""
        return self._chosen(len(inputs)).jacobian(inputs, create_graph=create_graph)

    def inject(self, x: Tensor, scale: Tensor | float, size: int) -> tuple[Function, tuple[Tensor, ...]]:
        """Return ``f(y, *rows) = q(x + s W y)`` and its rows."""
        return self._chosen(len(x)).inject(x, scale, size)


def encoded_state(circuit: Circuit) -> np.ndarray:
    """Return the state ``[2^n]`` (float64) that a bound circuit's amplitude encoding prepares."""
    assert circuit.encoding is not None
    assert circuit.encoding.values is not None
    values = torch.tensor([circuit.encoding.values], dtype=torch.float64)
    state: np.ndarray = amplitudes(values, circuit.num_qubits, circuit.encoding.num_features)[0].numpy()
    return state


def lowered(circuit: Circuit, lacks: frozenset[str]) -> Circuit:
    """Return the circuit as an adapter runs it: angles modulo 4π, and the gates in ``lacks`` decomposed by the table.

    The angles are reduced here, in double precision and for every adapter, because simulators are free to hold them in
    less (qsim: float32) or in other units (Cirq: half turns), and lose the digits of a large one.
    """
    if any(isinstance(angle, float) and abs(angle) > 2 * math.pi for gate in circuit.gates for angle in gate.angles):
        circuit = circuit.map_angles(lambda angle: reduced(angle) if isinstance(angle, float) else angle)
    if not any(gate.name in lacks for gate in circuit.gates):
        return circuit
    operations = list(circuit.operations[: len(circuit.operations) - len(circuit.body)])
    pending = list(reversed(circuit.body))
    while pending:
        gate = pending.pop()
        if isinstance(gate, Channel) or gate.name not in lacks:
            operations.append(gate)
            continue
        parts = gate.decompose()
        if parts == (gate,):
            raise UnsupportedError(
                f"gate {gate.name} is elementary, and this backend has no translation for it; backend torch has"
            )
        pending += reversed(parts)
    return replace(circuit, operations=tuple(operations))


def measured_in(group: MeasurementGroup, num_qubits: int) -> Circuit:
    """Return the gates that turn the group's basis into the computational one."""
    return Circuit(
        num_qubits, tuple(Gate(name, qubit) for qubit, letter in group.basis for name in BASIS_GATES[letter])
    )


def rotate(states: np.ndarray, group: MeasurementGroup) -> np.ndarray:
    """Turn amplitudes ``[N, 2^n]`` into the group's basis."""
    for qubit, letter in group.basis:
        for name in BASIS_GATES[letter]:
            matrix = Gate(name, qubit).type.matrix().numpy()
            cube = states.reshape(len(states), 2**qubit, 2, -1)
            states = np.einsum("ij,nljr->nlir", matrix, cube).reshape(states.shape)
    return states
