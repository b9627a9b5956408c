"""The contract between qdeq and whatever runs its circuits."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

import torch
from pydantic import ConfigDict, Field, field_validator
from pydantic.dataclasses import dataclass as options_dataclass
from torch import Tensor

from qdeq.backends.finite import check_finite
from qdeq.backends.function import FrozenFunction, check_shape, require_tensor
from qdeq.backends.sampling import ShotKey, number_of_shots
from qdeq.circuit import Circuit
from qdeq.errors import BackendError, CircuitError, UnsupportedError
from qdeq.numbers import as_number
from qdeq.observables import Observable, check_observables
from qdeq.plugins import BACKENDS
from qdeq.torch_modes import own_precision


@dataclass(frozen=True, kw_only=True)
class Capabilities:
    """What a backend can do; asked before any work, so that a refusal costs nothing.

    Attributes:
        exact: Expectations without sampling error.
        shots: Expectations estimated from a finite number of measurements.
        noise: Noise channels on gates, and readout errors.
        noise_needs_shots: Channels on gates only under shots: a random trajectory each, and no exact expectations.
        readout: Readout errors, where there are no channels on gates.
        gradients: Gradients that it has natively, e.g. ``{"backprop"}``; empty for none.
        batching: One call evaluates many samples together.
        remote: Runs outside this machine.
        costs_money: Each run is billed.
        max_qubits: Largest register.
        max_noisy_qubits: Largest register under noise; None where it is the same.
        seedable: The same shot key gives the same shots.
        precision: ``"inputs"`` (that of its inputs), ``"float32"`` or ``"float64"``.
    """

    exact: bool = True
    shots: bool = False
    noise: bool = False
    noise_needs_shots: bool = False
    readout: bool = False
    gradients: frozenset[str] = frozenset()
    batching: bool = False
    remote: bool = False
    costs_money: bool = False
    max_qubits: int = 24
    max_noisy_qubits: int | None = None
    seedable: bool = False
    precision: str = "inputs"

    @property
    def reads_wrongly(self) -> bool:
        """Whether there are readout errors."""
        return self.noise or self.readout

    @property
    def exact_noise(self) -> bool:
        """Whether there are exact expectations under noise on gates."""
        return self.exact and self.noise and not self.noise_needs_shots


@dataclass(frozen=True)
class Expectation:
    """Expectations together with what they are expectations of, and how they were had.

    Attributes:
        value: ``[B, O]``, one row a sample and one column an observable, in the order asked for.
        standard_error: ``[B, O]`` under shots, None where the value is exact.
        observables: The O observables.
        shots: Measurements per sample and measurement group; None for exact.
        key: The shot key; None for exact.
        backend: Name of the backend.
        version: Version of the software that ran it.
    """

    value: Tensor
    standard_error: Tensor | None
    observables: tuple[Observable, ...]
    shots: int | None
    key: ShotKey | None
    backend: str
    version: str


@options_dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class Backend(ABC):
    """Base class of all backends: a frozen pydantic dataclass whose fields are its options.

    A plug-in sets ``name``, ``version`` and ``capabilities`` as class attributes or properties, implements
    :meth:`evaluate` and :meth:`freeze`, and registers itself under the entry-point group ``qdeq.backends``.
    """

    execution: Annotated[
        Literal["auto", "compiled", "circuits"],
        Field(
            description="Run the ansatz once per training step (compiled), or a circuit per evaluation (circuits);"
            " auto takes the cheaper one. All give the same numbers."
        ),
    ] = "auto"
    gradient: Annotated[
        Literal["auto", "native", "parameter-shift"],
        Field(
            description="Derivatives by the backend's own means (native), or from shifted circuits (parameter-shift);"
            " auto takes native ones where the backend has them."
        ),
    ] = "auto"

    __numbers = field_validator("*", mode="before")(as_number)

    @property
    @abstractmethod
    def name(self) -> str:
        """The name that it is registered under."""

    @property
    @abstractmethod
    def version(self) -> str:
        """Name and version of the software that runs the circuits."""

    @property
    @abstractmethod
    def capabilities(self) -> Capabilities:
        """What it can do."""

    @own_precision
    def expectation(
        self,
        circuit: Circuit,
        inputs: Tensor,
        weights: Tensor,
        observables: Sequence[Observable],
        *,
        shots: int | None = None,
        key: ShotKey | None = None,
    ) -> Expectation:
        """Return the expectations of the observables after the circuit; not differentiable.

        Args:
            circuit: The circuit.
            inputs: ``[B, I]``, one row a sample; I is at least ``circuit.num_inputs``.
            weights: ``[P]``; P is at least ``circuit.num_weights``.
            observables: What to measure.
            shots: Measurements per sample and measurement group; None for exact expectations.
            key: Names the random stream of the shots; the same key gives the same shots.

        Raises:
            UnsupportedError: The backend cannot do this.
            CircuitError: Shapes that do not fit the circuit; inputs or weights that are not finite.
        """
        require_tensor(inputs, "inputs")
        shots, observables = number_of_shots(shots), check_observables(observables, circuit.num_qubits)
        self.check(circuit, weights, observables, inputs=inputs, shots=shots)
        key = None if shots is None else key or ShotKey(seed=0)
        values, errors = self.evaluate((circuit,), inputs.detach(), weights.detach(), observables, shots=shots, key=key)
        error = None if errors is None else errors[0]
        return Expectation(values[0], error, observables, shots, key, self.name, self.version)

    @abstractmethod
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
        """Return expectations ``[T, B, O]`` of T circuits at the same inputs, and their standard errors under shots.

        Args:
            circuits: The T circuits.
            inputs: ``[B, I]``.
            weights: ``[P]``.
            observables: What to measure.
            shots: Measurements per circuit, sample and group; None for exact.
            key: Names the streams of the shots; those of seed 0 by default.
            part: Number of the first circuit's streams; circuit t has ``part + t``.
        """

    @own_precision
    def at(
        self,
        circuit: Circuit,
        weights: Tensor,
        observables: Sequence[Observable],
        *,
        shots: int | None = None,
        key: ShotKey | None = None,
    ) -> FrozenFunction:
        """Freeze the weights: return the expectations as a differentiable function of the inputs alone.

        Args:
            circuit: The circuit.
            weights: ``[P]``.
            observables: What to measure.
            shots: Measurements per sample and measurement group; None for exact expectations.
            key: Names the random streams of the shots; those of seed 0 by default.

        Raises:
            UnsupportedError: The backend cannot do this.
            CircuitError: Weights or observables that do not fit the circuit; weights that are not finite.
        """
        shots, observables = number_of_shots(shots), check_observables(observables, circuit.num_qubits)
        self.check(circuit, weights, observables, shots=shots)
        key = None if shots is None else key or ShotKey(seed=0)
        # a copy, in the graph: an optimiser's step before the backward pass is not to be seen there
        return self.freeze(circuit, weights.clone(), observables, shots, key)

    @abstractmethod
    def freeze(
        self,
        circuit: Circuit,
        weights: Tensor,
        observables: Sequence[Observable],
        shots: int | None,
        key: ShotKey | None,
    ) -> FrozenFunction:
        """Return what :meth:`at` does, of arguments that have been checked; there is a key wherever there are shots."""

    def state_bytes(self, num_qubits: int) -> float:
        """Return the memory [bytes] that the state of one sample takes, without noise."""
        return 8 * 2.0**num_qubits

    def check(
        self,
        circuit: Circuit,
        weights: Tensor,
        observables: Sequence[Observable],
        *,
        inputs: Tensor | None = None,
        shots: int | None = None,
    ) -> None:
        """Refuse what cannot be done, before any work is done.

        Raises:
            UnsupportedError: The register is too large, or shots or noise are not to be had.
            CircuitError: Shapes that do not fit, numbers that are not finite, or observables outside the register.
        """
        can = self.capabilities
        if circuit.num_qubits > can.max_qubits:
            memory = _readable(self.state_bytes(circuit.num_qubits))
            raise UnsupportedError(
                f"backend {self.name!r} takes at most {can.max_qubits} qubits, not {circuit.num_qubits}: "
                f"a state of {circuit.num_qubits} qubits takes {memory} per sample"
            )
        if circuit.noisy:
            self.__check_noise(circuit, shots)
        if self.gradient == "native" and not can.gradients:
            raise UnsupportedError(
                f"backend {self.name!r} has no native gradient; use gradient: auto or parameter-shift"
            )
        if shots is None and not can.exact:
            raise UnsupportedError(
                f"backend {self.name!r} has no exact expectations; give a number of shots{backends_with('exact')}"
            )
        if shots is not None and not can.shots:
            raise UnsupportedError(
                f"backend {self.name!r} has exact expectations only; set shots to null{backends_with('shots')}"
            )
        number_of_shots(shots)
        check_observables(observables, circuit.num_qubits)
        require_tensor(weights, "weights")
        if inputs is not None:
            check_shape(inputs, circuit.num_inputs)
        for what, tensor in (("weights", weights), ("inputs", inputs)):
            if tensor is not None and tensor.dtype not in (torch.float32, torch.float64):
                raise CircuitError(f"{what} are float32 or float64, not {str(tensor.dtype).removeprefix('torch.')}")
        if weights.dim() != 1 or len(weights) < circuit.num_weights:
            raise CircuitError(
                f"the circuit takes {circuit.num_weights} weights, not a tensor of shape {list(weights.shape)}"
            )
        check_finite(
            "weights", weights, "If training has diverged, lower the learning rate; otherwise mend the weights."
        )
        if inputs is not None:
            check_finite("inputs", inputs, "Mend the sample's features, or leave it out.")

    def __check_noise(self, circuit: Circuit, shots: int | None) -> None:
        can = self.capabilities
        if circuit.channels and not can.noise:
            part = " on gates (readout errors alone run here)" if can.readout else ""
            raise UnsupportedError(f"backend {self.name!r} has no noise{part}; leave noise out{backends_with('noise')}")
        if circuit.readout and not (can.noise or can.readout):
            raise UnsupportedError(
                f"backend {self.name!r} has no readout errors; leave them out{backends_with('reads_wrongly')}"
            )
        if not circuit.channels:
            return
        if can.noise_needs_shots and shots is None:
            raise UnsupportedError(
                f"backend {self.name!r} runs a random trajectory for each shot under noise, and has no exact "
                f"expectations then; give a number of shots{backends_with('exact_noise')}"
            )
        if can.max_noisy_qubits is not None and circuit.num_qubits > can.max_noisy_qubits:
            memory = _readable(8 * 4.0**circuit.num_qubits)
            raise UnsupportedError(
                f"backend {self.name!r} takes at most {can.max_noisy_qubits} qubits under noise, not "
                f"{circuit.num_qubits}: a density matrix of {circuit.num_qubits} qubits takes {memory} per sample"
            )


def backends_with(capability: str) -> str:
    """Return ``"; backends that have it: ..."`` for messages: the installed ones with a capability, or nothing."""
    names = []
    for name in sorted({*BACKENDS.names(), "pennylane:default.mixed"}):  # a device with more than its family's default
        try:
            capable = getattr(BACKENDS.build(name, Backend, BackendError).capabilities, capability)
        except Exception:  # one that cannot be made is no suggestion; `qdeq backends` says why
            continue
        if capable and name.partition(":")[0] not in names:
            names.append(name)
    return f"; backends that have it: {', '.join(names)}" if names else ""


def _readable(size: float) -> str:
    for unit in ("B", "KiB", "MiB", "GiB", "TiB", "PiB"):
        if size < 1024:
            return f"{size:.0f} {unit}"
        size /= 1024
    return f"{size:.3g} EiB"
