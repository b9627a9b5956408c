"""PennyLane's devices: ``pennylane`` is default.qubit, and ``pennylane:<device>`` any other that is installed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
import pennylane as qml
from pydantic import Field
from pydantic.dataclasses import dataclass
from torch import Tensor

from qdeq.backends.adapter import ADAPTER_CONFIG, CircuitBackend
from qdeq.backends.base import Capabilities
from qdeq.backends.circuit_function import CircuitFunction
from qdeq.backends.function import FrozenFunction
from qdeq.backends.pennylane.native import AdjointFunction, BackpropFunction
from qdeq.backends.pennylane.translation import LACKS, device, flipped_qubit, operations_of
from qdeq.backends.sampling import ShotKey
from qdeq.circuit import Channel, Circuit, Gate
from qdeq.errors import BackendError, UnsupportedError, did_you_mean
from qdeq.observables import Observable

_LIGHTNING = ("lightning.qubit", "lightning.kokkos", "lightning.gpu")
PURE = ("default.qubit", *_LIGHTNING)
"""Devices that are asked for amplitudes, any other for probabilities."""
NATIVE = {"default.qubit": "backprop", **dict.fromkeys(_LIGHTNING, "adjoint")}
"""Devices whose native gradient is right; that of default.mixed is NaN after Toffoli, for one (PennyLane 0.45)."""

BROADCAST_ENTRIES = 2**20
"""Most entries of states or density matrices that one broadcast circuit holds."""


@dataclass(frozen=True, kw_only=True, config=ADAPTER_CONFIG)
class PennyLaneBackend(CircuitBackend):
    """A PennyLane device, in double precision. Circuits that differ in their angles only are broadcast.

    ``gradient: native`` differentiates circuits, not compiled functions: on default.qubit by backpropagation, on
    Lightning by the adjoint method. Other devices have shifted circuits only.
    """

    name_argument: ClassVar[str] = "device"
    version = f"pennylane {qml.__version__}"
    lacks = LACKS

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
            flipped = flipped_qubit(self.device)
        except Exception as error:  # a device may fail in any way
            raise BackendError(f"PennyLane device {self.device!r} cannot be used: {_one_line(error)}") from error
        if not np.allclose(flipped, [0, 1], atol=1e-6):
            raise BackendError(
                f"PennyLane device {self.device!r} simulates nothing: after X on |0> it gives the probabilities "
                f"{np.round(flipped, 3).tolist()}; use default.qubit"
            )

    @property
    def name(self) -> str:
        """The name that it is had by."""
        return "pennylane" if self.device == "default.qubit" else f"pennylane:{self.device}"

    @property
    def capabilities(self) -> Capabilities:
        """What it can do: 24 qubits take 256 MiB a state, 12 as much a density matrix."""
        native = {NATIVE[self.device]} if self.device in NATIVE else set()
        return Capabilities(
            shots=True,
            noise=self.device == "default.mixed",
            readout=True,
            seedable=True,
            gradients=frozenset(native),
            batching=self.device == "default.qubit",
            precision="float64",
            max_qubits=24 if self.device in PURE else 12,
        )

    @property
    def gives(self) -> Literal["amplitudes", "probabilities"]:
        """What a run returns."""
        return "amplitudes" if self.device in PURE else "probabilities"

    def run(self, circuits: Sequence[Circuit]) -> np.ndarray:
        """Run bound circuits, those of one structure together; see :meth:`CircuitBackend.run`."""
        num_qubits, pure = circuits[0].num_qubits, self.gives == "amplitudes"
        alike: dict[Any, list[int]] = {}
        for row, circuit in enumerate(circuits):
            structure = (circuit.encoding is None, *(_structure(operation) for operation in circuit.body))
            alike.setdefault(structure, []).append(row)
        most = max(1, BROADCAST_ENTRIES >> (num_qubits if pure else 2 * num_qubits))
        chunks = [rows[start : start + most] for rows in alike.values() for start in range(0, len(rows), most)]
        measured = [qml.state() if pure else qml.probs(wires=range(num_qubits))]
        tapes = [qml.tape.QuantumScript(operations_of([circuits[row] for row in rows]), measured) for rows in chunks]
        try:
            results = qml.execute(tapes, device(self.device, num_qubits), diff_method=None)
        except Exception as error:  # a device may fail in any way
            raise BackendError(f"PennyLane device {self.device!r} failed: {_one_line(error)}") from error
        values = np.empty((len(circuits), 2**num_qubits), dtype=np.complex128 if pure else np.float64)
        for rows, result in zip(chunks, results, strict=True):
            values[rows] = result  # a single row, for all of them, where nothing differs
        return values if pure else values.clip(min=0.0)

    def freeze(
        self,
        circuit: Circuit,
        weights: Tensor,
        observables: Sequence[Observable],
        shots: int | None,
        key: ShotKey | None,
    ) -> FrozenFunction:
        """Return a function as :meth:`CircuitBackend.freeze` does; an explicit ``gradient: native`` runs circuits."""
        if self.gradient != "native":
            return super().freeze(circuit, weights, observables, shots, key)
        if shots is not None or self.execution == "compiled":
            what = "shots" if shots is not None else "execution: compiled"
            raise UnsupportedError(
                f"the native gradients of backend {self.name!r} are those of exact circuits; "
                f"with {what}, use gradient: auto"
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
            return BackpropFunction(self.device, circuit, weights, observables)
        if native == "adjoint":
            return AdjointFunction(self, self.device, circuit, weights, observables)
        return CircuitFunction(self, circuit, weights, observables, shots=shots, key=key)


def _structure(operation: Gate | Channel) -> Any:
    return operation if isinstance(operation, Channel) else (operation.name, operation.qubits)


def _one_line(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"
