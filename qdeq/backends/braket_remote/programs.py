"""The OpenQASM programs that are sent.

A program holds gates that the device lists, and at the end what is asked of it: expectations of Pauli strings, the
gradient of one weighted sum of them, or a measurement of every qubit. There are no modifiers, no global
phases and no gate definitions, which Braket's on-demand simulators refuse. ``i``, or what stands for it, is put on idle
qubits, which Braket would leave out.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal

import numpy as np

from qdeq.backends.adapter import measured_in
from qdeq.backends.braket_remote.lowering import lower
from qdeq.backends.braket_remote.target import Target
from qdeq.billing.execution import Term
from qdeq.circuit import Circuit
from qdeq.observables import Observable, PauliString, as_sum, measurement_groups
from qdeq.operations import Channel, Gate, Input, Weight
from qdeq.qasm import BRAKET_CHANNELS, BRAKET_NAMES, channel_pragma, statement


def sampling_program(circuit: Circuit, target: Target) -> str:
    """Return the program of a bound circuit that measures every qubit; readout errors are no part of it."""
    size = circuit.num_qubits
    measured = (f"b[{qubit}] = measure q[{qubit}];" for qubit in range(size))
    return _text([f"bit[{size}] b;", *_numbered(_gates(circuit, target))], measured)


def expectation_program(circuit: Circuit, strings: Sequence[PauliString], target: Target) -> str:
    """Return the program of a bound circuit that asks for the exact expectation of each string."""
    target.check_result("Expectation", strings, "Set shots, or use braket-sv1.")
    asked = (f"#pragma braket result expectation {_product(string)}" for string in strings)
    return _text(_numbered(_gates(circuit, target)), asked)


@dataclass(frozen=True)
class GradientProgram:
    """A program that asks for the gradient of one expectation.

    Attributes:
        text: The program, in which every angle of an input or a weight is a parameter of its own.
        inputs: Names and values of the parameters.
        angles: The input or weight behind each parameter.
        terms: The weighted sum, without a constant.
    """

    text: str
    inputs: tuple[tuple[str, float], ...]
    angles: tuple[Input | Weight, ...]
    terms: tuple[Term, ...]


def gradient_program(
    circuit: Circuit, row: Sequence[float], weights: Sequence[float], observable: Observable, target: Target
) -> GradientProgram | None:
    """Return the program for one sample, or None where no angle or no term depends on anything.

    Args:
        circuit: Not bound.
        row: The sample's inputs ``[I]``.
        weights: ``[P]``.
        observable: The weighted sum to be differentiated.
        target: What it is written for.
    """
    terms = [
        (coefficient, string) for coefficient, string in as_sum(observable).terms if string.factors and coefficient
    ]
    target.check_result("AdjointGradient", (string for _, string in terms), "Set backend.gradient: parameter-shift.")
    lowered = _gates(_with_state(circuit, row), target)
    names: list[str] = []
    values: list[float] = []
    angles: list[Input | Weight] = []

    def written(gate: Gate) -> str:
        texts = []
        for angle in gate.angles:
            if isinstance(angle, float):
                texts.append(repr(angle))
                continue
            names.append(f"g{len(names)}")
            values.append(angle.value(row if isinstance(angle, Input) else weights))
            angles.append(angle)
            texts.append(names[-1])
        return statement(BRAKET_NAMES[gate.name], gate.qubits, texts)

    lines = [f"qubit[{lowered.num_qubits}] q;", *map(written, lowered.gates)]
    if not terms or not angles:
        return None
    total = "".join(f"{' - ' if c < 0 else ' + '}{_plain(abs(c))} * {_product(string)}" for c, string in terms)
    total = f"-{total[3:]}" if total.startswith(" - ") else total[3:]
    asked = f"#pragma braket result adjoint_gradient expectation({total}) {', '.join(names)}"
    text = _text([*(f"input float {name};" for name in names), *lines], [asked])
    inputs, factors = tuple(zip(names, values, strict=True)), tuple((c, string.factors) for c, string in terms)
    return GradientProgram(text, inputs, tuple(angles), factors)


def write_trials(
    circuit: Circuit, observables: Sequence[Observable], shots: int | None, target: Target, *, native: bool
) -> None:
    """Write a program of each kind that a circuit will need, to see that the device takes them.

    Args:
        circuit: Its values may be free.
        observables: What is to be measured.
        shots: None for exact.
        target: What is written for.
        native: Whether AdjointGradient will be asked for.

    Raises:
        UnsupportedError: The device does not list what is needed.
    """
    row, weights = [1.0] * circuit.num_inputs, [1.0] * circuit.num_weights
    bound = circuit.bind(inputs=row, weights=weights)
    if shots is None:
        terms = [string for each in observables for _, string in as_sum(each).terms if string.factors]
        expectation_program(bound, terms, target)
    else:
        for group in measurement_groups(observables):
            sampling_program(bound + measured_in(group, circuit.num_qubits), target)
    if native:
        for observable in observables:
            gradient_program(circuit, row, weights, observable, target)


def outcome_signs(outcomes: Iterable[str], strings: Sequence[PauliString]) -> np.ndarray:
    """Return the eigenvalue ``[M, K]`` of each string for each outcome, in the basis that was measured."""
    ones = [{qubit for qubit, bit in enumerate(outcome) if bit == "1"} for outcome in outcomes]
    parities = [[sum(qubit in up for qubit, _ in string.factors) % 2 for string in strings] for up in ones]
    return 1.0 - 2.0 * np.array(parities, dtype=np.float64).reshape(len(ones), len(strings))


def _with_state(circuit: Circuit, row: Sequence[float]) -> Circuit:
    """Return the circuit with its amplitude encoding bound to the sample, the angles left free."""
    if circuit.encoding is None or circuit.encoding.values is not None:
        return circuit
    encoding = replace(circuit.encoding, values=tuple(row[: circuit.encoding.num_features]))
    return Circuit(circuit.num_qubits, (encoding, *circuit.gates))


def _gates(circuit: Circuit, target: Target) -> Circuit:
    """Return the circuit in the device's gates, every qubit touched by one."""
    prepared = circuit.prepared()
    used = {qubit for gate in prepared.gates for qubit in gate.qubits}
    for channel in prepared.body:
        if isinstance(channel, Channel):
            target.check_noise(BRAKET_CHANNELS[channel.name])
    idle = (Gate("I", qubit) for qubit in range(circuit.num_qubits) if qubit not in used)
    return lower(replace(prepared, operations=(*idle, *prepared.body)), target.operations, target.name)


def _numbered(circuit: Circuit) -> Iterator[str]:
    yield f"qubit[{circuit.num_qubits}] q;"
    for operation in circuit.body:
        if isinstance(operation, Channel):
            yield channel_pragma(operation)
        else:
            yield statement(BRAKET_NAMES[operation.name], operation.qubits, [repr(a) for a in operation.angles])


def _text(lines: Iterable[str], asked: Iterable[str]) -> str:
    return "\n".join(["OPENQASM 3.0;", *lines, *asked]) + "\n"


def _plain(value: float) -> str:
    """Return all digits, without an exponent: not every reader of OpenQASM has learnt to read one."""
    return format(Decimal(repr(value)), "f")


def _product(string: PauliString) -> str:
    return " @ ".join(f"{letter.lower()}(q[{qubit}])" for qubit, letter in string.factors)
