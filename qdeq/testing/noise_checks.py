"""Checks of noise: every channel, where it stands among the gates, readout errors, derivatives, shots."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import product

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from qdeq.backends.analysis import analyse
from qdeq.channels import CHANNELS
from qdeq.circuit import AmplitudeEncoding, Channel, Circuit, Gate, Input, ReadoutError, Weight
from qdeq.gates import GATES
from qdeq.noise import NoiseModel
from qdeq.observables import Observable, PauliString, X, Y, Z
from qdeq.testing import gradient_checks, shot_checks
from qdeq.testing.cases import NUMBERS, Case, filled, parametrised, references
from qdeq.testing.comparison import Mismatch
from qdeq.testing.harness import check, exact, shots
from qdeq.testing.subject import Subject

Strategies = Mapping[str, SearchStrategy[Case]]

PAIRS = tuple(
    PauliString(tuple((qubit, letter) for qubit, letter in enumerate(letters) if letter != "I"))
    for letters in product("IXYZ", repeat=2)
)[1:]
"""All Pauli strings on two qubits: what they say of a density matrix is all of it."""
LARGEST_MISREADING = 0.5
"""Beyond it a readout error is no error of qdeq's: the outcome would be exchanged."""
_ANGLES = st.integers(4, 44).map(lambda k: k / 16)


def _with_channels(subject: Subject) -> str:
    return "" if subject.backend.capabilities.noise else "the backend has no noise"


def _exactly(subject: Subject) -> str:
    if subject.backend.capabilities.noise_needs_shots:
        return "the backend has noise with shots only"
    return _with_channels(subject) or exact(subject)


def _in_shots(subject: Subject) -> str:
    return _with_channels(subject) or shots(subject)


def _seeded(subject: Subject) -> str:
    return _in_shots(subject) or ("" if subject.backend.capabilities.seedable else "the backend is not seedable")


def _reading(subject: Subject) -> str:
    can = subject.backend.capabilities
    return exact(subject) if can.noise or can.readout else "the backend has no readout errors"


def _probabilities(most: float) -> SearchStrategy[float]:
    return st.integers(1, 16).map(lambda k: k / 16 * most)


def _turned(draw: st.DrawFn, names: Sequence[str], size: int = 2) -> list[Gate]:
    """Draw a state whose qubits differ, with all three Pauli expectations, entangled where there is a CNOT."""
    turns = [Gate(name, q, draw(_ANGLES)) for q in range(size) for name in ("RY", "RX") if name in names]
    return [*turns, Gate("CNOT", (0, 1))] if "CNOT" in names and draw(st.booleans()) else turns


def _agrees(subject: Subject, case: Case) -> None:
    """Compare as :meth:`Subject.agrees` does; a difference is told from noise that is left out, or applied twice."""
    try:
        subject.agrees(case, frozen=True)
    except Mismatch as wrong:
        found = subject.backend.expectation(case.circuit, *case.tensors(), case.observables).value
        _explain(wrong, case, lambda other: subject.compare("", subject.expected(other), found, subject.allowed(case)))
        raise


def _explain(wrong: Mismatch, case: Case, compare: Callable[[Case], None]) -> None:
    """Add to what is wrong which other noise would be right, if ``compare`` finds one."""
    for what, circuit in _otherwise(case.circuit).items():
        try:
            compare(replace(case, circuit=circuit))
        except Mismatch:
            continue
        wrong.args = (f"{wrong}\nthey are what they would be with {what}",)
        return


def _otherwise(circuit: Circuit) -> dict[str, Circuit]:
    """Return the circuit with its noise mistaken in the usual ways."""
    twice = [part for part in circuit.operations for _ in range(1 + isinstance(part, Channel))]
    gates = tuple(part for part in circuit.operations if not isinstance(part, Channel))
    found = {}
    if circuit.channels:
        found = {
            "the noise on gates left out": replace(circuit, operations=gates),
            "the noise on gates applied twice": replace(circuit, operations=tuple(twice)),
        }
    if circuit.readout:
        found["the readout errors left out"] = replace(circuit, readout=())
        pairs = [(error, 2 - error.zero_to_one - error.one_to_zero) for error in circuit.readout]
        if all(max(e.zero_to_one, e.one_to_zero) * times <= LARGEST_MISREADING for e, times in pairs):
            errors = [ReadoutError(e.qubit, e.zero_to_one * times, e.one_to_zero * times) for e, times in pairs]
            found["the readout errors applied twice"] = replace(circuit, readout=tuple(errors))
    return found


def _channel_cases(subject: Subject) -> Strategies:
    @st.composite
    def case(draw: st.DrawFn, name: str) -> Case:
        row = CHANNELS[name]
        qubits = draw(st.permutations((0, 1)))[: row.num_qubits]
        channel = Channel(name, qubits, draw(_probabilities(row.most)))
        return Case(Circuit(2, (*_turned(draw, subject.gates), channel)), PAIRS)

    return {name: case(name) for name in CHANNELS} if {"RY", "RX"} & set(subject.gates) else {}


@check("noise-channels", _channel_cases, needs=_exactly)
def noise_channels(subject: Subject, case: Case) -> None:
    """Every channel acts as its Kraus operators in the table do, on either qubit of two, seen by all Pauli strings."""
    _agrees(subject, case)


@st.composite
def _models(draw: st.DrawFn, kinds: Sequence[str], names: Sequence[str], encoder: bool) -> NoiseModel:
    """Draw a model whose channels follow gates by size (``one_qubit``, ``two_qubit``), by name or on one qubit."""
    fields = draw(st.lists(st.sampled_from(_FIELDS), min_size=1, max_size=2, unique=True))
    chosen = {}
    for field in fields:
        rate = draw(_probabilities(0.25))
        chosen[field] = {
            "one_qubit": {"one_qubit": rate},
            "two_qubit": {"two_qubit": rate},
            "gates": {"gates": dict.fromkeys(names, rate)},
            "qubits": {"one_qubit": rate, "two_qubit": rate / 2, "qubits": {draw(st.integers(0, 1)): rate * 2}},
        }[draw(st.sampled_from(kinds))]
    return NoiseModel(**chosen, encoder=encoder)


_FIELDS = ("depolarizing", "amplitude_damping", "phase_damping", "bit_flip")


@st.composite
def _noisy(draw: st.DrawFn, subject: Subject, about: str) -> Circuit:
    """Draw a circuit on two or three qubits with the noise of a model: encoder, then gates with weights and others."""
    size = draw(st.integers(2, 3))
    about_size = {"gates on one qubit": (1,), "gates on two qubits": (2,)}.get(about, (1, 2, 3)[:size])
    wanted = [name for name in subject.gates if GATES[name].num_qubits in about_size]
    weighted = [name for name in subject.gates_with_angles if name in wanted] or list(subject.gates_with_angles)
    drawn = [draw(parametrised(size, weighted, (Weight,), numbers=False))]
    for name in draw(st.lists(st.sampled_from(wanted), max_size=2)) if wanted else []:
        qubits = draw(st.permutations(range(size)))[: GATES[name].num_qubits]
        drawn.append(Gate(name, qubits, [draw(NUMBERS) for _ in GATES[name].parameters]))
    encoder: list[Gate | AmplitudeEncoding]
    if about == "amplitude encoding":
        encoder = [AmplitudeEncoding(draw(st.integers(2, 2**size)))]
    else:
        turned = draw(st.lists(st.sampled_from(_axes(subject)), min_size=1, max_size=2))
        encoder = [Gate(name, draw(st.integers(0, size - 1)), draw(references((Input,)))) for name in turned]
    kinds = {"gates on one qubit": ["one_qubit"], "gates on two qubits": ["two_qubit"]}.get(about, ["gates", "qubits"])
    model = draw(_models(kinds, [gate.name for gate in drawn], about == "noisy encoder"))
    return model.attach(Circuit(size, (*encoder, *drawn)))


def _axes(subject: Subject) -> list[str]:
    return [name for name in ("RY", "RX") if name in subject.gates]


def _model_cases(subject: Subject) -> Strategies:
    abouts = ["gates on one qubit", "gates on two qubits", "names and qubits", "noisy encoder", "amplitude encoding"]
    if not _axes(subject):
        return {}
    return {about: filled(_noisy(subject, about), surplus=0, rows=(1, 2)) for about in abouts}


@check("noise-model", _model_cases, needs=_exactly)
def noise_model(subject: Subject, case: Case) -> None:
    """Noise follows the gates that it was attached to, decomposed or not, by size, name and qubit; encoders too."""
    _agrees(subject, case)
    if analyse(case.circuit) is None:
        return
    inputs, weights = case.tensors()
    for execution in ("compiled", "circuits"):
        backend = replace(subject.backend, execution=execution)
        found = backend.at(case.circuit, weights, case.observables)(inputs)
        subject.compare(f"the values of execution: {execution}", subject.expected(case), found, subject.allowed(case))


def _differentiable(subject: Subject) -> Strategies:
    cases = _model_cases(subject)
    chosen = {about: cases[about] for about in ("noisy encoder", "amplitude encoding") if about in cases}
    return {about: drawn.filter(gradient_checks.well_conditioned) for about, drawn in chosen.items()}


@check("noise-gradients", _differentiable, needs=_exactly, share=0.25)
def noise_gradients(subject: Subject, case: Case) -> None:
    """Derivatives under noise equal finite differences, by circuits and compiled."""
    gradient_checks.gradients(subject, case)
    gradient_checks.compiled_equals_circuits(subject, case)


@st.composite
def _readout_errors(draw: st.DrawFn, size: int) -> tuple[ReadoutError, ...]:
    """Draw an error on at least one qubit, with two different probabilities."""
    qubits = draw(st.sets(st.integers(0, size - 1), min_size=1))
    pairs = [draw(st.lists(st.integers(0, 8), min_size=2, max_size=2, unique=True)) for _ in qubits]
    return tuple(ReadoutError(q, a / 16, b / 16) for q, (a, b) in zip(sorted(qubits), pairs, strict=True))


def _readout_cases(subject: Subject) -> Strategies:
    @st.composite
    def circuit(draw: st.DrawFn, amplitude: bool) -> Circuit:
        size = draw(st.integers(1, 3))
        encoder: list[Gate | AmplitudeEncoding] = [Gate(name, 0, Input(0)) for name in _axes(subject)]
        if amplitude:
            encoder = [AmplitudeEncoding(draw(st.integers(2, 2**size)))]
        gates = draw(st.lists(parametrised(size, subject.gates_with_angles, (Weight,)), max_size=3))
        return Circuit(size, (*encoder, *gates), draw(_readout_errors(size)))

    if not _axes(subject):
        return {}
    return {
        "rotations": filled(circuit(False), surplus=0),
        "amplitude encoding": filled(circuit(True), surplus=0).filter(gradient_checks.well_conditioned),
    }


@check("readout", _readout_cases, needs=_reading, share=0.5)
def readout(subject: Subject, case: Case) -> None:
    """Readout errors act on what is read, in any basis: values and derivatives, by circuits and compiled."""
    _agrees(subject, case)
    gradient_checks.gradients(subject, case)
    gradient_checks.compiled_equals_circuits(subject, case)


def _measured_cases(subject: Subject) -> Strategies:
    @st.composite
    def case(draw: st.DrawFn, name: str) -> Case:
        row = CHANNELS[name]
        channel = Channel(name, draw(st.permutations((0, 1)))[: row.num_qubits], draw(_probabilities(row.most)))
        operations: tuple[Gate | Channel, ...] = (*_turned(draw, subject.gates), channel)
        errors = draw(_readout_errors(2)) if draw(st.booleans()) else ()
        return Case(Circuit(2, operations, errors), draw(st.sampled_from([(Z(0), Z(1)), (X(0), Z(1)), (Y(1), X(0))])))

    return {name: case(name) for name in CHANNELS} if _axes(subject) else {}


@check("noise-shots", _measured_cases, needs=_in_shots, share=0.5)
def noise_shots(subject: Subject, case: Case) -> None:
    """Shots under noise are distributed as the noisy state says: the test of `shots-statistics`."""
    means = shot_checks.measured_means(subject, case)
    try:
        shot_checks.compare_means(subject, case, means)
    except Mismatch as wrong:
        _explain(wrong, case, lambda other: shot_checks.compare_means(subject, other, means))
        raise


def _damped(measured: tuple[Observable, ...], turn: float, probability: float) -> Case:
    """Return four samples of a state that a channel makes mixed, then turns: no trajectory is like another."""
    operations = (Gate("RY", 0, Input(0)), Gate("RY", 1, turn), Channel("BitFlip", 0, probability))
    return Case(Circuit(2, operations), measured, ((0.75,), (1.25,), (1.5,), (2.0,)))


def _streams(subject: Subject) -> Strategies:
    if "RY" not in subject.gates:
        return {}
    measured = st.sampled_from([(Z(0), Z(1)), (Z(0), X(0)), (X(0) + Z(0), 0.5 * Z(0) @ Z(1) - 1.5 * X(1))])
    angles = st.integers(12, 38).map(lambda k: k / 16)
    return {"any": st.builds(_damped, measured, angles, st.integers(4, 8).map(lambda k: k / 16))}


@check("noise-seed", _streams, needs=_seeded, share=0.1)
def noise_seed(subject: Subject, case: Case) -> None:
    """Under noise too the key names the shots, in any batch: the test of `shots-seed`."""
    shot_checks.shots_seed(subject, case)


@check("noise-standard-error", _streams, needs=_in_shots, share=0.1)
def noise_standard_error(subject: Subject, case: Case) -> None:
    """Standard errors count the spread that noise adds, shot by shot: the test of `standard-error`."""
    shot_checks.standard_error(subject, case)
