"""Amazon Braket's devices: ``braket-sv1``, ``braket-dm1``, and ``braket:<ARN>`` for any other.

They need a budget (:mod:`qdeq.billing`), and the AWS configuration that every AWS tool reads: credentials, profile,
region, endpoint variables. Nothing of it is loaded before the first connection.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from importlib import metadata, util
from typing import Annotated, ClassVar

import numpy as np
import torch
from pydantic import Field, field_validator
from pydantic.dataclasses import dataclass
from torch import Tensor

from qdeq.backends.adapter import ADAPTER_CONFIG, check_compilable, probed_or_by_circuits
from qdeq.backends.analysis import analyse
from qdeq.backends.base import Capabilities
from qdeq.backends.braket_remote.expectations import Stream, exact_values, measured_values
from qdeq.backends.braket_remote.gradient import AdjointFunction, products
from qdeq.backends.braket_remote.programs import write_trials
from qdeq.backends.braket_remote.target import Target
from qdeq.backends.circuit_function import CircuitFunction
from qdeq.backends.executions import bind_rows
from qdeq.backends.function import FrozenFunction
from qdeq.backends.paid import Client, PaidBackend
from qdeq.backends.sampling import ShotKey, number_of_shots
from qdeq.billing.account import current_account
from qdeq.circuit import MAX_QUBITS, Circuit
from qdeq.errors import UnsupportedError
from qdeq.observables import Observable

if util.find_spec("braket.aws") is None:
    raise ImportError("No module named 'braket.aws'")

SV1 = "arn:aws:braket:::device/quantum-simulator/amazon/sv1"
DM1 = "arn:aws:braket:::device/quantum-simulator/amazon/dm1"
RETIRED = ("tn1", "Aria", "Ankaa", "Aspen", "Harmony", "Lucy")
"""Names, or beginnings of them, of devices that AWS no longer has."""


@dataclass(frozen=True, kw_only=True, config=ADAPTER_CONFIG)
class RemoteBraket(PaidBackend):
    """A device of Amazon Braket.

    Without shots a task asks for exact expectations; with shots it measures one group of commuting observables. On SV1
    one task also gives a sample's whole vector-Jacobian product.
    """

    local_twin: ClassVar[str | None] = "braket-local"

    profile: Annotated[str | None, Field(description="AWS profile; null for the AWS configuration's own.")] = None
    region: Annotated[str | None, Field(description="AWS region; null for the AWS configuration's own.")] = None
    bucket: Annotated[
        str | None,
        Field(
            min_length=3,
            description="Bucket for results, or s3://bucket/prefix; null for the SDK's amazon-braket-REGION-ACCOUNT.",
        ),
    ] = None
    max_parallel: Annotated[
        int,
        Field(ge=1, le=100, description="Tasks in flight at most; an account's quota is 35 or more on SV1 and on DM1."),
    ] = 30
    creates_per_second: Annotated[
        float, Field(gt=0, description="Tasks that are sent in a second at most; an account may send 20.")
    ] = 20.0
    timeout: Annotated[float, Field(gt=0, description="Most time that a task is waited for [s].")] = 432000.0
    tries: Annotated[
        int, Field(ge=1, description="Tries of each call of the service, with growing random waits in between.")
    ] = 10
    resubmissions: Annotated[
        int, Field(ge=0, description="New tasks in place of one that failed; each is counted and paid for.")
    ] = 2

    @property
    def version(self) -> str:
        """Name and version of the SDK."""
        return f"amazon-braket-sdk {metadata.version('amazon-braket-sdk')}"

    @property
    @abstractmethod
    def device_arn(self) -> str:
        """The device."""

    @property
    def capabilities(self) -> Capabilities:
        """What it can do, as far as that is known without asking."""
        return _capabilities(self.device_arn)

    def connect(self) -> Client:
        """Return the client; see :meth:`PaidBackend.connect`."""
        from qdeq.backends.braket_remote.client import BraketClient
        from qdeq.backends.braket_remote.devices import open_device
        from qdeq.backends.braket_remote.retries import Clock

        clock = Clock()
        return BraketClient(
            open_device(self, clock),
            self.name,
            clock,
            max_parallel=self.max_parallel,
            timeout=self.timeout,
            resubmissions=self.resubmissions,
        )

    def target(self, num_qubits: int, shots: int | None) -> Target:
        """Return what programs are written for; where they are only counted, all that Braket names.

        Raises:
            UnsupportedError: The device cannot run so many qubits or shots.
        """
        from qdeq.backends.braket_remote.client import BraketClient

        client = current_account(self.name).client(self)
        if client is None:
            return Target(self.name)
        assert isinstance(client, BraketClient)
        client.check_size(num_qubits, shots)
        return client.device.target

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
        shots = number_of_shots(shots)
        shape = (len(circuits), len(inputs), len(observables))
        target = self.target(circuits[0].num_qubits, shots)
        bound = bind_rows(circuits, inputs, weights)
        if shots is None:
            return torch.from_numpy(exact_values(self, bound, observables, target).reshape(shape)).to(inputs), None
        key = key or ShotKey(seed=0)
        key.check(len(inputs))
        streams = [Stream(key, row, part + number) for number in range(len(circuits)) for row in range(len(inputs))]
        values, variances = measured_values(self, bound, observables, shots, streams, target)
        return tuple(torch.from_numpy(part.reshape(shape)).to(inputs) for part in (values, np.sqrt(variances)))  # type: ignore[return-value]

    def freeze(
        self,
        circuit: Circuit,
        weights: Tensor,
        observables: Sequence[Observable],
        shots: int | None,
        key: ShotKey | None,
    ) -> FrozenFunction:
        """Return a function from known states where that takes fewer tasks, else one of a task an evaluation."""
        analysis = analyse(circuit)
        check_compilable(self, analysis, shots)
        native = self.native(shots)
        if native:  # values would be paid for before the first derivative is refused
            write_trials(circuit, observables, shots, self.target(circuit.num_qubits, shots), native=True)
        if shots is not None:
            if self.gradient == "native":
                raise UnsupportedError("AdjointGradient is exact; with shots, use gradient: auto")
            return CircuitFunction(self, circuit, weights, observables, shots=shots, key=key)
        by_circuits = (AdjointFunction if native else CircuitFunction)(self, circuit, weights, observables)

        def gradient(shifted: Sequence[Circuit], inputs: Tensor, cotangents: Tensor) -> Tensor:
            return products(self, shifted, inputs, weights, observables, cotangents)[1]

        return probed_or_by_circuits(
            self, circuit, analysis, weights, observables, by_circuits, gradient if native else None
        )


def _capabilities(arn: str) -> Capabilities:
    return Capabilities(
        exact="/quantum-simulator/" in arn,
        shots=True,
        noise=arn == DM1,
        readout=arn in (SV1, DM1),
        gradients=frozenset({"adjoint"} if arn == SV1 else ()),
        remote=True,
        costs_money=True,
        max_qubits={SV1: 34, DM1: 17}.get(arn, MAX_QUBITS),
        precision="float64",
    )


@dataclass(frozen=True, kw_only=True, config=ADAPTER_CONFIG)
class BraketSV1(RemoteBraket):
    """Amazon Braket's on-demand state-vector simulator."""

    name = "braket-sv1"
    device_arn = SV1


@dataclass(frozen=True, kw_only=True, config=ADAPTER_CONFIG)
class BraketDM1(RemoteBraket):
    """Amazon Braket's on-demand density-matrix simulator."""

    local_twin: ClassVar[str | None] = "braket-local-dm"

    name = "braket-dm1"
    device_arn = DM1


@dataclass(frozen=True, kw_only=True, config=ADAPTER_CONFIG)
class BraketDevice(RemoteBraket):
    """A device of Amazon Braket by its ARN: ``braket:arn:aws:braket:us-east-1::device/qpu/ionq/Forte-1``."""

    name_argument: ClassVar[str] = "device"

    device: Annotated[str | None, Field(description="The device's ARN.")] = None

    @field_validator("device")
    @classmethod
    def _known(cls, device: str | None) -> str | None:
        if device is None:
            return None
        parts = device.split(":", 5)
        if len(parts) != 6 or parts[0] != "arn" or parts[2] != "braket" or not parts[5].startswith("device/"):
            raise ValueError(f"{device!r} is no device's ARN; one is arn:aws:braket:us-east-1::device/qpu/ionq/Forte-1")
        name = parts[5].rpartition("/")[2]
        if name.startswith(RETIRED):
            raise ValueError(f"{name} is retired: AWS no longer has it; use another device, or backend: braket-sv1")
        return device

    @property
    def name(self) -> str:
        """The name that leads to the same device."""
        return "braket" if self.device is None else f"braket:{self.device}"

    @property
    def capabilities(self) -> Capabilities:
        """What it can do, as far as that is known without asking; that of a QPU while no device is named."""
        return _capabilities(self.device or "")

    @property
    def device_arn(self) -> str:
        """The device."""
        if self.device is None:
            raise UnsupportedError(
                "backend 'braket' needs a device: braket-local (this machine, free), braket-sv1, braket-dm1,\n"
                "or any by its ARN, as in backend: braket:arn:aws:braket:us-east-1::device/qpu/ionq/Forte-1."
            )
        return self.device

    def check(
        self,
        circuit: Circuit,
        weights: Tensor,
        observables: Sequence[Observable],
        *,
        inputs: Tensor | None = None,
        shots: int | None = None,
    ) -> None:
        """Refuse what cannot be done, a missing device first of all."""
        _ = self.device_arn
        super().check(circuit, weights, observables, inputs=inputs, shots=shots)
