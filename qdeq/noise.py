"""Noise as part of an experiment: which channels follow which gates, and how often a measurement is misread.

The noise is placed on the circuit's own gates, before any backend decomposes them: a CRX has the same noise on a
backend that has the gate and on one that writes it with CNOTs.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator

from qdeq.channels import CHANNELS
from qdeq.circuit import Channel, Circuit, Gate, Input, ReadoutError
from qdeq.errors import CircuitError, did_you_mean
from qdeq.gates import GATES
from qdeq.numbers import as_number, no_truth_value

Probability = Annotated[float, BeforeValidator(no_truth_value), Field(ge=0, le=1)]
Qubit = Annotated[int, BeforeValidator(no_truth_value), Field(ge=0)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    __numbers = field_validator("*", mode="before")(as_number)


def _is_number(given: Any) -> bool:
    return isinstance(given, int | float) and not isinstance(given, bool)


class _OrNumber(_Part):
    """A mapping for which a bare number may stand."""

    model_config = ConfigDict(json_schema_extra=lambda schema: schema.update(type=["object", "number"]))


class GateRates(_OrNumber):
    """Parameters of one channel by the gate that it follows; a bare number is one for all gates."""

    one_qubit: Probability | None = Field(None, description="After gates on one qubit; null for none of its own.")
    two_qubit: Probability | None = Field(
        None, description="After gates on two qubits or more, on each of them; null for none of its own."
    )
    gates: dict[str, Probability] = Field(default={}, description="By the gate's name, in place of these.")

    @model_validator(mode="before")
    @classmethod
    def _from_number(cls, given: Any) -> Any:
        return {"one_qubit": given, "two_qubit": given} if _is_number(given) else given

    @model_validator(mode="after")
    def _known(self) -> GateRates:
        for name in self.gates:
            if name not in GATES:
                raise ValueError(f"unknown gate {name!r}; known: {', '.join(GATES)}.{did_you_mean(name, GATES)}")
        return self

    def find(self, gate: Gate) -> float | None:
        """Return what is said of a gate: by its name, or by its number of qubits."""
        return self.gates.get(gate.name, self.one_qubit if len(gate.qubits) == 1 else self.two_qubit)


class Rates(GateRates):
    """The same, with exceptions for single qubits."""

    qubits: dict[Qubit, GateRates] = Field(
        default={}, description="By qubit: a number, or a mapping like this one, in place of what holds for all."
    )

    def at(self, gate: Gate, qubit: int) -> float:
        """Return the parameter for one of a gate's qubits: the qubit's own, else that for all; 0 for no noise."""
        own = self.qubits[qubit].find(gate) if qubit in self.qubits else None
        return next((rate for rate in (own, self.find(gate)) if rate is not None), 0.0)


class Readout(_OrNumber):
    """How often a measurement is misread; a bare number is both probabilities."""

    zero_to_one: float = Field(0.0, ge=0, le=0.5, description="Probability that 1 is read where 0 is right.")
    one_to_zero: float = Field(0.0, ge=0, le=0.5, description="Probability that 0 is read where 1 is right.")

    @model_validator(mode="before")
    @classmethod
    def _from_number(cls, given: Any) -> Any:
        return {"zero_to_one": given, "one_to_zero": given} if _is_number(given) else given


class AllReadout(Readout):
    """The same, with exceptions for single qubits."""

    qubits: dict[Qubit, Readout] = Field(default={}, description="By qubit, in place of what holds for all.")


_FIELDS = {
    "depolarizing": "Depolarizing",
    "amplitude_damping": "AmplitudeDamping",
    "phase_damping": "PhaseDamping",
    "bit_flip": "BitFlip",
}


class NoiseModel(_Part):
    """Noise of gates and of the measurement.

    Channels follow each gate in the order of the fields below. Depolarising after a gate on two qubits is that of the
    pair, with the larger of the two qubits' probabilities; all else acts on each of the gate's qubits.

    Example:
        >>> noise = NoiseModel(depolarizing={"one_qubit": 0.001, "two_qubit": 0.01}, readout=0.02)
        >>> len(noise.attach(Circuit(2, [Gate("H", 0), Gate("CNOT", (0, 1))])).body)
        4
    """

    depolarizing: Rates = Field(
        default=Rates(), description="Probability p that a Pauli error strikes, each as likely: at most 0.75."
    )
    amplitude_damping: Rates = Field(default=Rates(), description="Probability γ of decay from 1 to 0.")
    phase_damping: Rates = Field(default=Rates(), description="Probability γ of losing the phase.")
    bit_flip: Rates = Field(default=Rates(), description="Probability p of an X: at most 0.5.")
    readout: AllReadout = Field(default=AllReadout(), description="Probability of reading the other outcome.")
    encoder: bool = Field(
        False, strict=True, description="Whether rotations by inputs have noise too; not under amplitude encoding."
    )

    @model_validator(mode="after")
    def _in_range(self) -> NoiseModel:
        for field, name in _FIELDS.items():
            rates: Rates = getattr(self, field)
            most = CHANNELS[name].most
            for part in (rates, *rates.qubits.values()):
                for rate in (part.one_qubit, part.two_qubit, *part.gates.values()):
                    if rate is not None and rate > most:
                        raise ValueError(
                            f"{field} is at most {most:g}, not {rate:g}: beyond, an error is likelier than none"
                        )
        return self

    @property
    def named_qubits(self) -> list[int]:
        """The qubits that exceptions are made for."""
        return sorted({qubit for field in (*_FIELDS, "readout") for qubit in getattr(self, field).qubits})

    def attach(self, circuit: Circuit) -> Circuit:
        """Return the circuit with the noise on its gates and its measurement.

        Args:
            circuit: Without noise; with the gates that are meant, not those that a backend makes of them.

        Raises:
            CircuitError: The circuit has noise already; a qubit that is named is not in it; or :attr:`encoder` is set,
                and the circuit has an amplitude encoding: that is no gate, and its preparation differs by sample.
        """
        if circuit.noisy:
            raise CircuitError("the circuit has noise already; attach a noise model once")
        if self.encoder and circuit.encoding is not None:
            raise CircuitError(
                "noise.encoder: amplitude encoding has no fixed gates that noise could follow; use an angle encoding, "
                "or encoder: false"
            )
        outside = [qubit for qubit in self.named_qubits if qubit >= circuit.num_qubits]
        if outside:
            raise CircuitError(f"noise names qubit {outside[0]}: qubits run from 0 to {circuit.num_qubits - 1}")
        operations: list[Any] = []
        for operation in circuit.operations:
            operations.append(operation)
            if isinstance(operation, Gate) and (self.encoder or not _encodes(operation)):
                operations += self.after(operation)
        return Circuit(circuit.num_qubits, tuple(operations), self._readout(circuit.num_qubits))

    def after(self, gate: Gate) -> list[Channel]:
        """Return the channels that follow a gate."""
        channels = []
        for field, name in _FIELDS.items():
            rates = [getattr(self, field).at(gate, qubit) for qubit in gate.qubits]
            if field == "depolarizing" and len(rates) == 2:
                channels.append(Channel("TwoQubitDepolarizing", gate.qubits, max(rates)))
            else:
                channels += [Channel(name, qubit, rate) for qubit, rate in zip(gate.qubits, rates, strict=True)]
        return [channel for channel in channels if channel.probability]

    def _readout(self, num_qubits: int) -> tuple[ReadoutError, ...]:
        chosen = ((qubit, self.readout.qubits.get(qubit, self.readout)) for qubit in range(num_qubits))
        return tuple(
            ReadoutError(qubit, how.zero_to_one, how.one_to_zero)
            for qubit, how in chosen
            if how.zero_to_one or how.one_to_zero
        )


def _encodes(gate: Gate) -> bool:
    return any(isinstance(angle, Input) for angle in gate.angles)
