"""A right backend, small, on the native simulator; and one backend for each mistake that the kit has to find."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import torch
from pydantic.dataclasses import dataclass

from qdeq.backends import Capabilities, ShotKey
from qdeq.backends.adapter import ADAPTER_CONFIG, CircuitBackend
from qdeq.backends.function import FrozenFunction
from qdeq.backends.torch.simulator import Simulation
from qdeq.circuit import AmplitudeEncoding, Circuit, Gate, Input
from qdeq.errors import UnsupportedError
from qdeq.observables import Z

options = dataclass(frozen=True, kw_only=True, config=ADAPTER_CONFIG)


@options
class Good(CircuitBackend):
    """Gives amplitudes."""

    version = "1"
    gives = "amplitudes"
    capabilities = Capabilities(shots=True, seedable=True, precision="float64")

    @property
    def name(self):
        return type(self).__name__

    def run(self, circuits):
        nothing = torch.zeros(1, 0, dtype=torch.float64)
        return np.concatenate([Simulation(circuit, nothing[0], (Z(0),)).state(nothing).numpy() for circuit in circuits])


@options
class GoodProbabilities(Good):
    """Gives probabilities only, has no shots, and lacks most gates."""

    gives = "probabilities"
    capabilities = Capabilities(precision="float64", max_qubits=12)
    lacks = frozenset({"CRX", "CRY", "CRZ", "RXX", "RYY", "RZZ", "U3", "Toffoli", "SX", "SWAP", "CY", "CZ"})

    def run(self, circuits):
        return np.abs(super().run(circuits)) ** 2


@options
class FewGates(Good):
    """Refuses a gate; that is allowed."""

    def check(self, circuit, weights, observables, **given):
        super().check(circuit, weights, observables, **given)
        if any(gate.name == "Toffoli" for gate in circuit.gates):
            raise UnsupportedError("no Toffoli here; use torch")


class _Rewriting(Good):
    """Runs another circuit than the one it was given."""

    def rewrite(self, gate):
        raise NotImplementedError

    def run(self, circuits):
        return super().run([self.rewritten(circuit) for circuit in circuits])

    def rewritten(self, circuit):
        first = circuit.operations[:1] if circuit.encoding else ()
        return Circuit(circuit.num_qubits, (*first, *(part for gate in circuit.gates for part in self.rewrite(gate))))


@options
class ReversedQubits(Good):
    def run(self, circuits):
        states = super().run(circuits)
        size = circuits[0].num_qubits
        return states.reshape(-1, *(2,) * size).transpose(0, *range(size, 0, -1)).reshape(states.shape)


@options
class DroppedControl(_Rewriting):
    def rewrite(self, gate):
        return (Gate("RX", gate.qubits[1], gate.angles),) if gate.name == "CRX" else (gate,)


@options
class PhaseOnControl(_Rewriting):
    """Takes CX**(θ/π) for CRX: right on the target, with a phase of θ/2 on the control."""

    def rewrite(self, gate):
        return (gate, Gate("PhaseShift", gate.qubits[0], gate.angles[0] / 2)) if gate.name == "CRX" else (gate,)


@options
class LostTPhase(_Rewriting):
    def rewrite(self, gate):
        return () if gate.name == "T" else (gate,)


@options
class WrongSignRY(_Rewriting):
    def rewrite(self, gate):
        return (Gate("RY", gate.qubits, -gate.angles[0]),) if gate.name == "RY" else (gate,)


@options
class WrongSignRZ(_Rewriting):
    def rewrite(self, gate):
        return (Gate("RZ", gate.qubits, -gate.angles[0]),) if gate.name == "RZ" else (gate,)


@options
class LostIdleQubits(Good):
    """Compresses the register to the qubits in use, as some packages do, and fills up behind."""

    def run(self, circuits):
        return np.concatenate([self.compressed(circuit) for circuit in circuits])

    def compressed(self, circuit):
        if circuit.encoding:
            return super().run([circuit])
        used = sorted({qubit for gate in circuit.gates for qubit in gate.qubits}) or [0]
        small = Circuit(
            len(used), tuple(Gate(g.name, [used.index(q) for q in g.qubits], g.angles) for g in circuit.gates)
        )
        rest = np.zeros(2 ** (circuit.num_qubits - len(used)))
        rest[0] = 1
        return np.kron(super().run([small]), rest[None])


@options
class LosesLongCircuits(_Rewriting):
    """Forgets every gate after the fourth."""

    def rewritten(self, circuit):
        return Circuit(circuit.num_qubits, circuit.operations[:4])


@options
class UnsignedAmplitudes(_Rewriting):
    def rewritten(self, circuit):
        if not circuit.encoding:
            return circuit
        values = tuple(abs(value) for value in circuit.encoding.values)
        return Circuit(circuit.num_qubits, (AmplitudeEncoding(len(values), values), *circuit.gates))


@options
class ZeroVectorAtTheEnd(_Rewriting):
    def rewritten(self, circuit):
        if circuit.encoding is None or any(circuit.encoding.values):
            return circuit
        values = (*circuit.encoding.values[1:], 1.0)
        return Circuit(circuit.num_qubits, (AmplitudeEncoding(len(values), values), *circuit.gates))


@options
class ForgetsOffsets(Good):
    def evaluate(self, circuits, *args, **options):
        def bare(angle):
            return replace(angle, offset=0.0) if isinstance(angle, Input) else angle

        return super().evaluate([circuit.map_angles(bare) for circuit in circuits], *args, **options)


@options
class GlobalPhase(Good):
    def run(self, circuits):
        return super().run(circuits) * 1j ** np.array([len(circuit.gates) for circuit in circuits])[:, None]


class _Evaluating(Good):
    """Spoils what comes out."""

    def spoil(self, values, shots):
        raise NotImplementedError

    def evaluate(self, circuits, inputs, weights, observables, *, shots=None, key=None, part=0):
        values, errors = super().evaluate(circuits, inputs, weights, observables, shots=shots, key=key, part=part)
        return self.spoil(values, shots), errors


@options
class SwappedObservables(_Evaluating):
    def spoil(self, values, shots):
        return values.flip(2)


@options
class BatchDependent(_Evaluating):
    """A little of the batch's mean leaks into every sample."""

    def spoil(self, values, shots):
        return values + 1e-3 * (values.mean(1, keepdim=True) - values)


_LAST = {}


@options
class StaleState(_Evaluating):
    """Gives the result of the call before, where the shape fits."""

    def spoil(self, values, shots):
        stale, _LAST["values"] = _LAST.get("values"), values
        return values if stale is None or stale.shape != values.shape else stale


@options
class ReadoutError(Good):
    """Under shots, every qubit is read wrongly with probability 5 %."""

    def evaluate(self, circuits, inputs, weights, observables, *, shots=None, key=None, part=0):
        backend = self if shots is None else _NoisyReadout()
        return Good.evaluate(backend, circuits, inputs, weights, observables, shots=shots, key=key, part=part)


class _NoisyReadout(Good):
    gives = "probabilities"

    def execute(self, circuits):
        probabilities = np.abs(super().execute(circuits)) ** 2
        flip = np.array([[0.95, 0.05], [0.05, 0.95]])
        for qubit in range(circuits[0].num_qubits):
            cube = probabilities.reshape(len(circuits), 2**qubit, 2, -1)
            probabilities = np.einsum("ij,nljr->nlir", flip, cube).reshape(len(circuits), -1)
        return probabilities


_FRESH = itertools.count(10**6)


@options
class IgnoredSeed(Good):
    """Draws anew at each call."""

    def evaluate(self, circuits, inputs, weights, observables, *, shots=None, key=None, part=0):
        key = None if key is None else ShotKey(seed=next(_FRESH))
        return super().evaluate(circuits, inputs, weights, observables, shots=shots, key=key, part=part)


@options
class OneSeedForAll(Good):
    """Always draws the same."""

    def evaluate(self, circuits, inputs, weights, observables, *, shots=None, key=None, part=0):
        key = None if key is None else ShotKey(seed=0)
        return super().evaluate(circuits, inputs, weights, observables, shots=shots, key=key, part=part)


class _OneEvaluation(FrozenFunction):
    """Does not hand on the number of the evaluation."""

    def __init__(self, inner):
        self.inner, self.shots = inner, inner.shots

    def __call__(self, inputs):
        return self.inner(inputs)

    def measure(self, inputs):
        return self.inner.measure(inputs)

    def at_shots(self, shots):
        return _OneEvaluation(self.inner.at_shots(shots))


@options
class OneEvaluationForAll(Good):
    def at(self, circuit, weights, observables, **given):
        return _OneEvaluation(super().at(circuit, weights, observables, **given))


@options
class SmallErrors(Good):
    def evaluate(self, circuits, inputs, weights, observables, *, shots=None, key=None, part=0):
        values, errors = super().evaluate(circuits, inputs, weights, observables, shots=shots, key=key, part=part)
        return values, errors if errors is None else errors / 2


class _Doubled(FrozenFunction):
    def __init__(self, inner):
        self._inner = inner

    def __call__(self, inputs):
        value = self._inner(inputs)
        return 2 * value - value.detach()


@options
class WrongGradientFactor(Good):
    def at(self, circuit, weights, observables, **given):
        return _Doubled(super().at(circuit, weights, observables, **given))


@options
class RefusesItsShots(Good):
    def check(self, circuit, weights, observables, *, inputs=None, shots=None):
        super().check(circuit, weights, observables, inputs=inputs, shots=shots)
        if shots is not None:
            raise UnsupportedError("no shots after all")


@options
class ChecksNothing(Good):
    def check(self, circuit, weights, observables, *, inputs=None, shots=None):
        pass


@options
class Crashes(Good):
    """Dies in its own translation of a gate."""

    def run(self, circuits):
        for circuit in circuits:
            if any(gate.name == "RYY" for gate in circuit.gates):
                raise KeyError("RYY")
        return super().run(circuits)


# -- what is wrong everywhere: one cause, and one check that is named for it -------------------------------------------


@options
class SinglePrecision(Good):
    """Computes in complex64, as simulators do by default, and declares float64."""

    def run(self, circuits):
        return super().run(circuits).astype(np.complex64)


@options
class UnnormalisedStates(Good):
    def run(self, circuits):
        return 1.01 * super().run(circuits)


@options
class TooShortVectors(Good):
    """Forgets the last amplitude."""

    def run(self, circuits):
        return super().run(circuits)[:, :-1]


@options
class OneStateForAll(Good):
    """Returns the last circuit's state alone."""

    def run(self, circuits):
        return super().run(circuits)[-1]


@options
class SaysAmplitudes(Good):
    def run(self, circuits):
        return np.abs(super().run(circuits)) ** 2


@options
class SaysProbabilities(Good):
    gives = "probabilities"


_STATES = {}


@options
class RemembersWeights(Good):
    """Keeps what it made of a circuit, and does not ask for which weights."""

    def evaluate(self, circuits, inputs, weights, observables, **given):
        weights = _STATES.setdefault((circuits[0].content_hash, len(weights)), weights)
        return super().evaluate(circuits, inputs, weights, observables, **given)


_FUNCTIONS = {}


@options
class RemembersFunctions(Good):
    def at(self, circuit, weights, observables, **given):
        key = circuit.content_hash, tuple(map(str, observables)), tuple(given.items())
        return _FUNCTIONS.setdefault(key, super().at(circuit, weights, observables, **given))


@options
class SeedsTheProcess(Good):
    def run(self, circuits):
        np.random.seed(7)
        return super().run(circuits)


@options
class ForgetsAHelper(Good):
    """Fails by the same line whatever it is asked for."""

    def run(self, circuits):
        return super().run([circuit.transpiled() for circuit in circuits])


BROKEN = {
    ReversedQubits: "qubit-order",
    DroppedControl: "controlled-phases",
    PhaseOnControl: "controlled-phases",
    LostTPhase: "controlled-phases",
    WrongSignRY: "gates",
    WrongSignRZ: "gates",
    Crashes: "gates",
    LostIdleQubits: "idle-qubits",
    LosesLongCircuits: "random-circuits",
    UnsignedAmplitudes: "amplitude-encoding",
    ZeroVectorAtTheEnd: "amplitude-encoding",
    ForgetsOffsets: "inputs-and-weights",
    SwappedObservables: "observables",
    BatchDependent: "batch",
    ReadoutError: "shots-statistics",
    IgnoredSeed: "shots-seed",
    OneSeedForAll: "shots-seed",
    OneEvaluationForAll: "shots-evaluations",
    SmallErrors: "standard-error",
    WrongGradientFactor: "gradients",
    GlobalPhase: "compiled-equals-circuits",
    ChecksNothing: "unsupported",
    StaleState: "purity",
    RefusesItsShots: "capabilities",
    UnnormalisedStates: "run",
    TooShortVectors: "run",
    OneStateForAll: "run",
    SaysAmplitudes: "run",
    SaysProbabilities: "run",
    SinglePrecision: "precision",
    RemembersWeights: "purity",
    RemembersFunctions: "purity",
    SeedsTheProcess: "purity",
}
"""Each broken backend, and the check named for its mistake."""

ROOTS = (
    UnnormalisedStates,
    TooShortVectors,
    OneStateForAll,
    SaysAmplitudes,
    SaysProbabilities,
    SinglePrecision,
    RemembersWeights,
    RemembersFunctions,
)
"""Those whose mistake would fail most checks: it is told once."""
