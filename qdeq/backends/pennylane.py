"""PennyLane's devices: ``pennylane`` is default.qubit, and ``pennylane:<device>`` any other that is installed.

Circuits run one after the other natively, by backpropagation on default.qubit and by the adjoint method on Lightning.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
import pennylane as qml
import torch
from pydantic import Field
from pydantic.dataclasses import dataclass
from torch import Tensor

from qdeq.backends.adapter import ADAPTER_CONFIG, CircuitBackend, encoded_state, lowered
from qdeq.backends.base import Capabilities, FrozenFunction
from qdeq.backends.circuit_function import CircuitFunction
from qdeq.backends.executions import record_executions
from qdeq.backends.sampling import ShotKey
from qdeq.backends.torch.simulator import amplitudes
from qdeq.circuit import Circuit, Input, Weight
from qdeq.errors import BackendError, UnsupportedError, did_you_mean
from qdeq.gates import GATES
from qdeq.observables import Observable, PauliString, as_sum

_FIXED: dict[str, Callable[..., Any]] = {
    "I": qml.Identity,
    "X": qml.PauliX,
    "Y": qml.PauliY,
    "Z": qml.PauliZ,
    "H": qml.Hadamard,
    "S": qml.S,
    "Sdg": lambda wires: qml.adjoint(qml.S(wires)),
    "T": qml.T,
    "Tdg": lambda wires: qml.adjoint(qml.T(wires)),
    "SX": qml.SX,
    "CNOT": qml.CNOT,
    "CZ": qml.CZ,
    "CY": qml.CY,
    "SWAP": qml.SWAP,
    "Toffoli": qml.Toffoli,
}
_TURNS: dict[str, Callable[..., Any]] = {
    "RX": qml.RX,
    "RY": qml.RY,
    "RZ": qml.RZ,
    "PhaseShift": qml.PhaseShift,
    "CRX": qml.CRX,
    "CRY": qml.CRY,
    "CRZ": qml.CRZ,
    "RXX": qml.IsingXX,
    "RYY": qml.IsingYY,
    "RZZ": qml.IsingZZ,
}
# U3 is decomposed, so that a gate has one angle at most: Lightning's own decomposition loses which one is meant.
LACKS = frozenset(GATES) - _FIXED.keys() - _TURNS.keys()

LIGHTNING = ("lightning.qubit", "lightning.kokkos", "lightning.gpu")
PURE = ("default.qubit", *LIGHTNING)
"""Devices that return amplitudes."""
NATIVE = {"default.qubit": "backprop", **dict.fromkeys(LIGHTNING, "adjoint")}
"""Devices with a native gradient that is right; that of default.mixed gives NaN on pure states (PennyLane 0.45)."""

BROADCAST_AMPLITUDES = 2**20
"""Amplitudes that are simulated at once."""


@dataclass(frozen=True, kw_only=True, config=ADAPTER_CONFIG)
class PennyLaneBackend(CircuitBackend):
    """A PennyLane device, in double precision.

    Circuits that differ in their angles only are broadcast. ``gradient: native`` means circuits, not compiled ones:
    default.qubit is differentiated by backpropagation, Lightning by the adjoint method (except in the inputs of
    amplitude encoding, which follow the exact bilinear rule); other devices have shifted circuits only.
    """

    name_argument: ClassVar[str] = "device"

    device: Annotated[str, Field(description="PennyLane device, such as default.qubit or lightning.qubit.")] = (
        "default.qubit"
    )

    def __post_init__(self) -> None:
        installed = sorted(qml.plugin_devices)
        if self.device not in installed:
            raise BackendError(
                f"there is no PennyLane device {self.device!r}; installed: {', '.join(installed)}."
                f"{did_you_mean(self.device, installed)}"
            )
        try:
            _device(self.device, 1)
        except Exception as error:  # a device may fail in any way
            reason = " ".join(str(error).split())
            raise BackendError(f"PennyLane device {self.device!r} cannot be used: {reason}") from error

    @property
    def name(self) -> str:
        """The name that it is had by."""
        return "pennylane" if self.device == "default.qubit" else f"pennylane:{self.device}"

    @property
    def version(self) -> str:
        """Name and version of the software that runs the circuits."""
        return f"pennylane {qml.__version__}"

    @property
    def capabilities(self) -> Capabilities:
        """What it can do: 24 qubits take 256 MiB a state, 12 as much a density matrix."""
        return Capabilities(
            shots=True,
            seedable=True,
            gradients=frozenset({NATIVE[self.device]} if self.device in NATIVE else ()),
            batching=self.device == "default.qubit",
            precision="float64",
            max_qubits=24 if self.device in PURE else 12,
        )

    @property
    def gives(self) -> Literal["amplitudes", "probabilities"]:
        """What a run returns."""
        return "amplitudes" if self.device in PURE else "probabilities"

    @property
    def lacks(self) -> frozenset[str]:
        """Gates that are decomposed first."""
        return LACKS

    def run(self, circuits: Sequence[Circuit]) -> np.ndarray:
        """Run bound circuits, those of one structure together; see :meth:`CircuitBackend.run`."""
        size = circuits[0].num_qubits
        alike: dict[Any, list[int]] = {}
        for number, circuit in enumerate(circuits):
            structure = (circuit.encoding is None, *((gate.name, gate.qubits) for gate in circuit.gates))
            alike.setdefault(structure, []).append(number)
        most = max(1, BROADCAST_AMPLITUDES >> (size if self.device in PURE else 2 * size))
        chunks = [rows[start : start + most] for rows in alike.values() for start in range(0, len(rows), most)]
        device = _device(self.device, size)
        try:
            results = qml.execute(
                [self._tape([circuits[row] for row in rows]) for rows in chunks], device, diff_method=None
            )
        except Exception as error:  # a device may fail in any way
            raise BackendError(f"PennyLane device {self.device!r} failed: {type(error).__name__}: {error}") from error
        result = np.empty((len(circuits), 2**size), dtype=complex if self.device in PURE else float)
        for rows, values in zip(chunks, results, strict=True):
            result[rows] = values  # one row for all where nothing differs
        return result if self.device in PURE else result.clip(min=0.0)

    def _tape(self, circuits: Sequence[Circuit]) -> Any:
        """Return one circuit for all that differ in angles and encoded values only."""
        first = circuits[0]
        wires = range(first.num_qubits)
        operations = []
        if first.encoding is not None:
            states = np.stack([encoded_state(circuit) for circuit in circuits])
            operations.append(qml.StatePrep(states if len(circuits) > 1 else states[0], wires=wires))
        for gates in zip(*(circuit.gates for circuit in circuits), strict=True):
            angles = [gate.angles[0] for gate in gates if gate.angles]
            operations.append(_operation(gates[0], np.array(angles) if len(angles) > 1 else angles and angles[0]))
        return qml.tape.QuantumScript(operations, [qml.state() if self.device in PURE else qml.probs(wires=wires)])

    def at(
        self,
        circuit: Circuit,
        weights: Tensor,
        observables: Sequence[Observable],
        *,
        shots: int | None = None,
        key: ShotKey | None = None,
    ) -> FrozenFunction:
        """Freeze the weights; see :meth:`Backend.at`. An explicit ``gradient: native`` runs circuits."""
        if self.gradient != "native":
            return super().at(circuit, weights, observables, shots=shots, key=key)
        self.check(circuit, weights, observables, shots=shots)
        if shots is not None or self.execution == "compiled":
            what = "shots" if shots is not None else "execution: compiled"
            raise UnsupportedError(
                f"native gradients of backend {self.name!r} are those of exact circuits; with {what}, use gradient:
                auto"
            )
        return self.by_circuits(circuit, weights, observables, None, None)

    def by_circuits(
        self,
        circuit: Circuit,
        weights: Tensor,
        observables: Sequence[Observable],
        shots: int | None,
        key: ShotKey | None,
    ) -> FrozenFunction:
        """Return the function that runs circuits, with native gradients where the device has them."""
        native = None if shots is not None or self.gradient == "parameter-shift" else NATIVE.get(self.device)
        if native == "backprop":
            return BackpropFunction(self, circuit, weights, observables)
        kind = AdjointFunction if native == "adjoint" else CircuitFunction
        return kind(self, circuit, weights, observables, shots=shots, key=key)


class BackpropFunction(FrozenFunction):
    """Expectations by one broadcast circuit, through whose simulation PyTorch differentiates, any number of times."""

    def __init__(
        self, backend: PennyLaneBackend, circuit: Circuit, weights: Tensor, observables: Sequence[Observable]
    ) -> None:
        self._device = _device(backend.device, circuit.num_qubits)
        self._circuit = lowered(circuit, LACKS)
        self._weights = weights
        self._strings, self._coefficients = _strings(observables)

    def __call__(self, inputs: Tensor) -> Tensor:
        """Return the expectations ``[B, O]`` at inputs ``[B, I]``."""
        circuit, (batch, _) = self._circuit, inputs.shape
        record_executions(batch, batch)
        columns, weights = inputs.to("cpu", torch.float64), self._weights.to("cpu", torch.float64)
        operations = []
        if circuit.encoding is not None:
            states = amplitudes(columns, circuit.num_qubits, circuit.encoding.num_features)
            operations.append(qml.StatePrep(states, wires=range(circuit.num_qubits)))
        for gate in circuit.gates:
            angle = gate.angles[0] if gate.angles else None
            if isinstance(angle, Input):
                angle = columns[:, angle.index] * angle.scale + angle.offset
            elif isinstance(angle, Weight):
                angle = weights[angle.index] * angle.scale + angle.offset
            operations.append(_operation(gate, angle))
        tape = qml.tape.QuantumScript(operations, [qml.expval(_pauli(string)) for string in self._strings])
        (values,) = qml.execute([tape], self._device, diff_method="backprop", interface="torch")
        values = [values] if len(self._strings) == 1 else values
        rows = torch.stack([torch.as_tensor(value, dtype=torch.float64).expand(batch) for value in values], dim=1)
        return (rows @ torch.from_numpy(self._coefficients.T)).to(inputs)


class AdjointFunction(CircuitFunction):
    """Expectations from runs, whose derivatives in angles are the device's own (the adjoint method)."""

    def jacobian(self, inputs: Tensor, *, create_graph: bool = False) -> Tensor:
        """Return ``∂f/∂v``, shape ``[B, O, I]``."""
        self._refuse_graph(create_graph)
        if self.circuit.encoding is not None:
            return super().jacobian(inputs)
        return self._derivatives(inputs, Input, inputs.shape[1])

    def weight_gradient(self, inputs: Tensor, cotangent: Tensor) -> Tensor:
        """Return ``Σ_bo u_bo ∂f_bo/∂θ`` ``[P]`` for cotangents ``[B, O]``."""
        return torch.einsum("bop,bo->p", self._derivatives(inputs, Weight, len(self.weights)), cotangent).to(
            self.weights
        )

    def _derivatives(self, inputs: Tensor, kind: type[Input] | type[Weight], size: int) -> Tensor:
        """Return the derivatives ``[B, O, size]`` in the angles of one kind."""
        assert isinstance(self.backend, PennyLaneBackend)
        free = lowered(self.circuit, LACKS)
        angles = [gate.angles[0] for gate in free.gates if gate.angles]
        chosen = [(number, angle) for number, angle in enumerate(angles) if isinstance(angle, kind)]
        strings, coefficients = _strings(self.observables)
        result = np.zeros((len(inputs), len(self.observables), size))
        if chosen:
            first = 0 if free.encoding is None else 1  # the prepared state counts as a parameter
            trainable = [number + first for number, _ in chosen]
            measured = [qml.expval(_pauli(string)) for string in strings]
            bound = self.backend.bind((free,), inputs, self.weights)
            record_executions(len(bound), len(bound))
            operations = [self.backend._tape([circuit]).operations for circuit in bound]
            tapes = [qml.tape.QuantumScript(each, measured, trainable_params=trainable) for each in operations]
            device = _device(self.backend.device, free.num_qubits)
            rows = device.compute_derivatives(tapes, qml.devices.ExecutionConfig(gradient_method="adjoint"))
            along = coefficients @ np.reshape(rows, (len(bound), len(strings), len(chosen)))
            for position, (_, angle) in enumerate(chosen):
                result[:, :, angle.index] += along[:, :, position] * angle.scale
        return torch.from_numpy(result).to(inputs)


@lru_cache(maxsize=64)
def _device(name: str, wires: int) -> Any:
    return qml.device(name, wires=wires)


def _operation(gate: Any, angle: Any) -> Any:
    return _TURNS[gate.name](angle, wires=gate.qubits) if gate.angles else _FIXED[gate.name](wires=gate.qubits)


def _strings(observables: Sequence[Observable]) -> tuple[list[PauliString], np.ndarray]:
    """Return the distinct Pauli strings, K of them, and their coefficients ``[O, K]``."""
    sums = [dict((string, coefficient) for coefficient, string in as_sum(each).terms) for each in observables]
    strings = list(dict.fromkeys(string for each in sums for string in each)) or [PauliString()]
    return strings, np.array([[each.get(string, 0.0) for string in strings] for each in sums])


def _pauli(string: PauliString) -> Any:
    letters = {"X": qml.PauliX, "Y": qml.PauliY, "Z": qml.PauliZ}
    return (
        qml.prod(*(letters[letter](qubit) for qubit, letter in string.factors)) if string.factors else qml.Identity(0)
    )
