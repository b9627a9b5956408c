"""Reading the OpenQASM that Braket's devices take, refusing what they refuse.

AWS's devices read much less than Braket's local simulators ("What OpenQASM features does Braket support?" in the
developer guide), so this is a reader of its own: header, inputs, one register, gates, measurements and pragmas. It
hands them to the local simulators' own program context. The texts of refusals are the service's where they are known;
README.md says which are.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

from braket.default_simulator.gate_operations import BRAKET_GATES
from braket.default_simulator.openqasm.program_context import ProgramContext

from .angles import Angle, read_angle
from .observables import read_gradient
from .programs import Gate, Program
from .wire import ServiceError

_GATE = re.compile(r"(\w+)\s*(?:\((.*)\))?\s*([^()]*)", re.DOTALL)
_MODIFIER = re.compile(r"(ctrl|negctrl|pow|inv)\b[^@]*@")
_MEASURE = re.compile(r"(?:\w+(?:\[(\d+)\])?\s*=\s*)?measure\s+(.+)")
_INPUT = re.compile(r"input\s+\w+(?:\[\d+\])?\s+(\w+)")
_REGISTER = re.compile(r"(qubit|bit)(?:\[(\d+)\])?\s+(\w+)")
_OPERAND = re.compile(r"(?:(\w+)(?:\[(\d+)\])?|\$(\d+))")
_RESULT_NAMES = {
    "sample": "Sample",
    "expectation": "Expectation",
    "variance": "Variance",
    "probability": "Probability",
    "amplitude": "Amplitude",
    "state_vector": "StateVector",
    "density_matrix": "DensityMatrix",
    "adjoint_gradient": "AdjointGradient",
}


def read(source: str, inputs: dict[str, float], shots: int, device: dict[str, Any]) -> Program:
    """Read a program for a device.

    Raises:
        ServiceError: A ValidationException, if the device does not run it.
    """
    return _Reader(inputs, shots, device["capabilities"], device.get("maximumGates")).read(source)


def _invalid(message: str) -> ServiceError:
    return ServiceError("ValidationException", message)


def statements(source: str) -> Iterator[tuple[int, str]]:
    """Yield every statement and pragma with the number of the line that it begins on."""
    pending, first = "", 1
    for number, line in enumerate(source.splitlines(), 1):
        line = line.split("//")[0]
        if line.lstrip().startswith(("#pragma", "pragma")) and not pending.strip():
            yield number, line.strip()
            continue
        for piece in re.split(r"(?<=;)", line):
            if not pending.strip():
                pending, first = "", number
            pending += piece + " "
            if piece.endswith(";"):
                yield first, pending.strip().removesuffix(";").strip()
                pending = ""
    if pending.strip():
        raise _invalid(f"[line {first}] unexpected end of the program.")


@lru_cache(maxsize=1000)
def _parsed_result(body: str, register: tuple[str, int | None] | None) -> Any:
    """Read a result pragma, which takes milliseconds, and is the same one for all samples."""
    context = ProgramContext()
    if register is not None:
        context.add_qubits(register[0], register[1] or 1)
    return context.parse_pragma(f"braket result {body}")


class _Reader:
    def __init__(
        self, inputs: dict[str, float], shots: int, capabilities: dict[str, Any], maximum_gates: int | None
    ) -> None:
        self.program = Program()
        self._values, self._shots, self._maximum_gates = inputs, shots, maximum_gates
        self._action = capabilities["action"]["braket.ir.openqasm.program"]
        self._qubits = capabilities["paradigm"]["qubitCount"]
        self._register: tuple[str, int | None] | None = None
        self._has_bits = False
        self._physical: set[int] = set()
        self._used: set[int] = set()
        self._measured: list[tuple[int, int]] = []
        self._results = 0
        self._has_matrices = False

    def read(self, source: str) -> Program:
        pragmas = []
        for line, text in statements(source):
            if text.startswith(("#pragma", "pragma")):
                pragmas.append((line, text))
                if "braket result" in text:
                    continue  # results come last: they may name qubits that no gate acts on
                self._pragma(line, text)
            else:
                self._statement(line, text)
        for line, text in pragmas:
            if "braket result" in text:
                self._result(line, text.partition("braket result")[2].strip())
        self._finish()
        return self.program

    def _statement(self, line: int, text: str) -> None:
        if text.startswith("OPENQASM"):
            return
        if text.startswith("include"):
            raise _invalid(f"No terminal matches '\"' in the current parser context, at line {line} col 9.")
        if found := _MODIFIER.match(text):
            raise _invalid(f"[line {line}] uses an unsupported GateModifer: '{found[1]}'")
        if found := _INPUT.fullmatch(text):
            self._input(found[1])
        elif found := _REGISTER.fullmatch(text):
            self._declare(line, found[1], found[2], found[3])
        elif found := _MEASURE.fullmatch(text):
            for qubit in self._operand(line, found[2]):
                index = len(self._measured) if found[1] is None else int(found[1])
                self._measured.append((index, qubit))
        elif found := _GATE.fullmatch(text):
            self._gate(line, found[1], found[2], found[3])
        else:
            raise _invalid(f"[line {line}] uses Stmt. Stmt is not supported")

    def _input(self, name: str) -> None:
        if name not in self._values:
            raise _invalid(f"Missing input variable '{name}'.")
        self.program.inputs[name] = Angle(float(self._values[name]), {name: 1.0})

    def _declare(self, line: int, kind: str, size: str | None, name: str) -> None:
        if kind == "bit":
            if self._has_bits:
                raise _invalid(
                    f"[line {line}] cannot declare a classical register. Only 1 classical register is supported."
                )
            self._has_bits = True
            return
        if self._register is not None:
            raise _invalid(f"[line {line}] cannot declare a qubit register. Only 1 qubit register is supported.")
        self._register = (name, None if size is None else int(size))
        count = self._register[1] or 1
        if count > self._qubits:
            raise _invalid(f"Device supports at most {self._qubits} qubits, but the program has {count}.")
        self.program.qubit_count = count
        self.program.context.add_qubits(name, count)

    def _operand(self, line: int, text: str) -> tuple[int, ...]:
        found = _OPERAND.fullmatch(text.strip())
        if found is None:
            raise _invalid(f"[line {line}] cannot read the qubit {text.strip()!r}.")
        name, index, physical = found.groups()
        if physical is not None:
            qubits: tuple[int, ...] = (int(physical),)
            self._physical.update(qubits)
        elif self._register is None or name != self._register[0]:
            raise _invalid(f"[line {line}] {name} is not a qubit register.")
        elif index is None:
            qubits = tuple(range(self._register[1] or 1))
        elif self._register[1] is None:
            raise _invalid(f"[line {line}] single qubit cannot be indexed.")
        else:
            qubits = (int(index),)
            if qubits[0] >= self._register[1]:
                raise _invalid(f"[line {line}] qubit index {index} is out of range.")
        if self._physical and self._register is not None:
            raise _invalid(f"[line {line}] mixes physical qubits and qubits registers.")
        if self._physical and not self._action["supportPhysicalQubits"]:
            raise _invalid(f"[line {line}] uses physical qubits, which the device does not support.")
        self._used.update(qubits)
        return qubits

    def _gate(self, line: int, name: str, angles: str | None, operands: str) -> None:
        if name in ("U", "gphase") or name not in BRAKET_GATES:
            raise _invalid(f"[line {line}] uses Stmt. Stmt is not supported")
        if name not in self._action["supportedOperations"]:
            raise _invalid(f"[line {line}] uses the gate {name}, which the device does not support.")
        targets = [self._operand(line, operand) for operand in operands.split(",")]
        if again := {qubit for _, qubit in self._measured} & {qubit for each in targets for qubit in each}:
            raise _invalid(
                f"[line {line}] qubit q[{min(again)}] is already measured or captured. Cannot perform a new operation "
                "on it"
            )
        try:
            values = tuple(read_angle(text, self.program.inputs) for text in (angles or "").split(",") if text.strip())
        except (ValueError, ZeroDivisionError) as error:
            raise _invalid(f"[line {line}] {error}.") from error
        wires = [tuple(qubit for (qubit,) in targets)] if all(len(t) == 1 for t in targets) else []
        if len(targets) == 1:
            wires = [(qubit,) for qubit in targets[0]]
        if not wires or any(len(set(each)) != len(each) for each in wires):
            raise _invalid(f"[line {line}] {name} cannot act on {operands.strip()}.")
        for each in wires:
            try:
                self.program.context.add_gate_instruction(name, each, [angle.value for angle in values], [], 1)
                size = len(self.program.context.circuit.instructions[-1].matrix)
            except (TypeError, ValueError):
                size = 0
            if size != 2 ** len(each):
                raise _invalid(f"[line {line}] {name} does not take these angles and qubits.")
            self.program.gates.append(Gate(name, each, values))

    def _pragma(self, line: int, text: str) -> None:
        body = text.partition("pragma")[2].strip()
        kind = " ".join(body.split()[:2])
        named = "braket_unitary_matrix" if body.startswith("braket unitary") else ""
        if kind == "braket noise":
            named = f"braket_noise_{re.split(r'[ (]', body.removeprefix('braket noise').strip())[0]}"
        if named not in self._action["supportedPragmas"]:
            raise _invalid(f"[line {line}] uses the pragma '{body}', which the device does not support.")
        parsed = self.program.context.parse_pragma(body)
        if named == "braket_unitary_matrix":
            matrix, targets = parsed
            self.program.context.add_custom_unitary(matrix, targets)
        elif named == "braket_noise_kraus":
            matrices, targets = parsed
            self.program.context.add_kraus_instruction(matrices, targets)
        else:
            noise, targets, probabilities = parsed
            self.program.context.add_noise_instruction(noise, targets, probabilities)
        self._has_matrices = True
        self._used.update(targets)

    def _result(self, line: int, body: str) -> None:
        kind = body.split()[0].split("(")[0]
        name = _RESULT_NAMES.get(kind, kind)
        supported = {row["name"]: row for row in self._action["supportedResultTypes"]}
        if name not in supported:
            raise _invalid(f"[line {line}] uses the result type {kind}, which the device does not support.")
        row = supported[name]
        if not row["minShots"] <= self._shots <= row["maxShots"]:
            raise _invalid(
                f"Result type {kind} takes {row['minShots']} to {row['maxShots']} shots, but found {self._shots}."
            )
        if self._measured:
            raise _invalid("Qubits should not be explicitly measured when result types are requested.")
        self._results += 1
        if kind == "adjoint_gradient":
            try:
                self.program.gradient = read_gradient(body, list(self.program.inputs))
            except ValueError as error:
                raise _invalid(f"[line {line}] {error}.") from error
            self._used |= self.program.gradient.qubits
            return
        try:
            result = _parsed_result(body, self._register)
        except Exception as error:  # the parser raises anything, a plain attribute error on a sum of observables
            raise _invalid(f"[line {line}] cannot read the result '{body}'.") from error
        self.program.context.add_result(result)
        self._used.update(getattr(result, "targets", None) or ())

    def _finish(self) -> None:
        context, register = self.program.context, self._register
        if not self._used:
            raise _invalid("The program has no instructions.")
        if not self._shots and not self._results:
            raise _invalid("Result types must be specified in the IR when shots=0.")
        if not self._results and not self._measured:
            raise _invalid(
                "The program measures nothing and asks for no result. What a real device makes of it is not known: "
                "the SDK always measures, so does this service ask for it."
            )
        if self.program.gradient is not None and (self._results > 1 or self._has_matrices):
            raise _invalid("The result type adjoint_gradient takes no other results, noise or unitary pragmas.")
        if self._maximum_gates is not None and len(self.program.gates) > self._maximum_gates:
            raise _invalid(f"Device supports at most {self._maximum_gates} gates, found {len(self.program.gates)}.")
        unused = [qubit for qubit in range(self.program.qubit_count) if qubit not in self._used]
        if register is not None and unused and self._action["requiresContiguousQubitIndices"]:
            names = ", ".join(f"{register[0]}[{qubit}]" for qubit in unused)
            raise _invalid(
                f"Device requires contiguous qubits. Qubit register {register[0]} has unused qubits {names}."
            )
        for _, qubit in sorted(self._measured):
            context.add_measure((qubit,))
        if self._shots:
            try:
                _ = context.circuit.basis_rotation_instructions
            except ValueError as error:
                raise _invalid(f"{error}.") from error
