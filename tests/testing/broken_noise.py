"""A right backend with noise, and one backend for each mistake in noise that the kit has to find."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import torch
from broken import Good, _Doubled, options

from qdeq.backends import Capabilities, ShotKey
from qdeq.backends.torch.density import DensitySimulation
from qdeq.circuit import Channel, Circuit, Gate, Input, ReadoutError
from qdeq.errors import UnsupportedError
from qdeq.observables import Z


@options
class GoodNoise(Good):
    """Gives the probabilities of a density matrix."""

    gives = "probabilities"
    capabilities = Capabilities(shots=True, noise=True, readout=True, seedable=True, precision="float64", max_qubits=12)

    def run(self, circuits):
        return np.concatenate([self.outcomes(circuit) for circuit in circuits])

    def outcomes(self, circuit):
        nothing = torch.zeros(1, 0, dtype=torch.float64)
        matrix = DensitySimulation(circuit, nothing[0], (Z(0),)).matrix(nothing)
        return matrix.reshape(2**circuit.num_qubits, -1).diagonal().real.clamp(min=0.0).numpy()[None]


@options
class GoodReadout(Good):
    """Gives amplitudes; readout errors are added to their probabilities."""

    capabilities = Capabilities(shots=True, readout=True, seedable=True, precision="float64")


class _OtherChannels(GoodNoise):
    """Runs other operations in place of one channel."""

    channel = ""

    def instead(self, channel):
        raise NotImplementedError

    def outcomes(self, circuit):
        def parts(operation):
            return self.instead(operation) if getattr(operation, "name", "") == self.channel else (operation,)

        operations = tuple(part for operation in circuit.operations for part in parts(operation))
        return super().outcomes(replace(circuit, operations=operations))


@options
class DepolarizesByMixing(_OtherChannels):
    """Mixes with the maximally mixed state with probability p, which is 3/4 p of Pauli errors."""

    channel = "Depolarizing"

    def instead(self, channel):
        return (Channel("Depolarizing", channel.qubits, 0.75 * channel.probability),)


@options
class DepolarizesQubitByQubit(_OtherChannels):
    channel = "TwoQubitDepolarizing"

    def instead(self, channel):
        return tuple(Channel("Depolarizing", qubit, 0.75 * channel.probability) for qubit in channel.qubits)


@options
class DampsUpwards(_OtherChannels):
    channel = "AmplitudeDamping"

    def instead(self, channel):
        return Gate("X", channel.qubits), channel, Gate("X", channel.qubits)


@options
class DampsPhaseAsFlips(_OtherChannels):
    """Takes γ for the probability of a Z: coherence 1 - 2γ in place of √(1 - γ)."""

    channel = "PhaseDamping"

    def instead(self, channel):
        return (Channel("PhaseDamping", channel.qubits, 1 - (1 - 2 * channel.probability) ** 2),)


@options
class FlipsThePhase(_OtherChannels):
    channel = "BitFlip"

    def instead(self, channel):
        return Gate("H", channel.qubits), channel, Gate("H", channel.qubits)


@options
class NoiseAtTheEnd(GoodNoise):
    """Runs all gates first."""

    def outcomes(self, circuit):
        return super().outcomes(
            replace(circuit, operations=tuple(sorted(circuit.operations, key=lambda o: isinstance(o, Channel))))
        )


@options
class NoNoiseAfterPairs(GoodNoise):
    """Forgets the noise that follows gates on two qubits."""

    def outcomes(self, circuit):
        kept, gate = [], None
        for operation in circuit.operations:
            gate = operation if isinstance(operation, Gate) else gate
            if not (isinstance(operation, Channel) and gate is not None and len(gate.qubits) == 2):
                kept.append(operation)
        return super().outcomes(replace(circuit, operations=tuple(kept)))


@options
class NoiselessEncoder(GoodNoise):
    """Forgets the noise of rotations by inputs."""

    def evaluate(self, circuits, *args, **given):
        return super().evaluate([self.quiet(circuit) for circuit in circuits], *args, **given)

    def quiet(self, circuit):
        kept, encodes = [], False
        for operation in circuit.operations:
            if isinstance(operation, Gate):
                encodes = any(isinstance(angle, Input) for angle in operation.angles)
            if not (encodes and isinstance(operation, Channel)):
                kept.append(operation)
        return replace(circuit, operations=tuple(kept))


@options
class WrongGradientUnderNoise(GoodNoise):
    def at(self, circuit, weights, observables, **given):
        frozen = super().at(circuit, weights, observables, **given)
        return _Doubled(frozen) if circuit.channels else frozen


@options
class SwappedReadout(GoodReadout):
    """Takes 0 for 1 where 1 for 0 is meant."""

    def evaluate(self, circuits, *args, **given):
        def swapped(circuit):
            errors = [ReadoutError(e.qubit, e.one_to_zero, e.zero_to_one) for e in circuit.readout]
            return replace(circuit, readout=tuple(errors))

        return super().evaluate([swapped(circuit) for circuit in circuits], *args, **given)


@options
class ReadsTheNeighbour(GoodReadout):
    """Counts qubits from the other end."""

    def evaluate(self, circuits, *args, **given):
        def moved(circuit):
            last = circuit.num_qubits - 1
            return replace(circuit, readout=tuple(replace(e, qubit=last - e.qubit) for e in circuit.readout))

        return super().evaluate([moved(circuit) for circuit in circuits], *args, **given)


@options
class CompilesWithoutReadout(GoodReadout):
    """Right where it runs circuits."""

    def at(self, circuit, weights, observables, *, shots=None, key=None):
        right = self.execution == "circuits" or shots is not None
        return super().at(
            circuit if right else replace(circuit, readout=()), weights, observables, shots=shots, key=key
        )


@options
class QuietShots(GoodNoise):
    """Measures the circuit without noise."""

    def evaluate(self, circuits, *args, shots=None, **given):
        if shots is not None:
            circuits = [
                Circuit(c.num_qubits, tuple(o for o in c.operations if not isinstance(o, Channel))) for c in circuits
            ]
        return super().evaluate(circuits, *args, shots=shots, **given)


@options
class RepeatsItsTrajectories(GoodNoise):
    """Takes ten shots from each trajectory, and counts them as independent."""

    def evaluate(self, circuits, *args, shots=None, **given):
        if shots is None or not circuits[0].channels:
            return super().evaluate(circuits, *args, shots=shots, **given)
        values, errors = super().evaluate(circuits, *args, shots=max(1, shots // 10), **given)
        return values, errors / 10**0.5


_FRESH = itertools.count(10**6)


@options
class UnseededTrajectories(GoodNoise):
    def evaluate(self, circuits, *args, key=None, **given):
        key = ShotKey(seed=next(_FRESH)) if key is not None and circuits[0].channels else key
        return super().evaluate(circuits, *args, key=key, **given)


@options
class IgnoresNoise(Good):
    """Has no noise, and runs circuits that have it without."""

    def check(self, circuit, *args, **given):
        super().check(
            Circuit(circuit.num_qubits, tuple(o for o in circuit.operations if not isinstance(o, Channel))),
            *args,
            **given,
        )


@options
class IgnoresReadout(Good):
    """Has no readout errors, and runs circuits that have them without."""

    def check(self, circuit, *args, **given):
        super().check(replace(circuit, readout=()), *args, **given)


@options
class ExactTrajectories(GoodNoise):
    """Says that noise needs shots, and gives an average over a few trajectories for exact."""

    capabilities = replace(GoodNoise.capabilities, noise_needs_shots=True)

    def check(self, circuit, weights, observables, *, inputs=None, shots=None):
        super().check(circuit, weights, observables, inputs=inputs, shots=10 if shots is None else shots)


@options
class RefusesItsNoise(GoodNoise):
    def check(self, circuit, *args, **given):
        super().check(circuit, *args, **given)
        if circuit.channels:
            raise UnsupportedError("no noise after all")


class _OtherNoise(GoodNoise):
    """Runs another circuit than the one it was given."""

    def outcomes(self, circuit):
        return super().outcomes(replace(circuit, operations=tuple(self.operations(circuit))))

    def operations(self, circuit):
        raise NotImplementedError


@options
class NoNoiseAtAll(_OtherNoise):
    def operations(self, circuit):
        return [part for part in circuit.operations if not isinstance(part, Channel)]


@options
class NoiseTwice(_OtherNoise):
    """Adds to a circuit what its simulator adds as well."""

    def operations(self, circuit):
        return [part for part in circuit.operations for _ in range(1 + isinstance(part, Channel))]


@options
class ReadoutTwice(GoodReadout):
    """Misreads in its own run, and has it done again afterwards."""

    gives = "probabilities"

    def run(self, circuits):
        probabilities = np.abs(super().run(circuits)) ** 2
        size = circuits[0].num_qubits
        for number, circuit in enumerate(circuits):
            cube = probabilities[number].reshape((2,) * size)
            for error in circuit.readout:
                a, b = error.zero_to_one, error.one_to_zero
                moved = np.tensordot(np.array([[1 - a, b], [a, 1 - b]]), cube, (1, error.qubit))
                cube = np.moveaxis(moved, 0, error.qubit)
            probabilities[number] = cube.reshape(-1)
        return probabilities


@options
class NoReadout(GoodReadout):
    def evaluate(self, circuits, *args, **given):
        return super().evaluate([replace(circuit, readout=()) for circuit in circuits], *args, **given)


BROKEN_NOISE = {
    NoNoiseAtAll: "noise-channels",
    NoiseTwice: "noise-channels",
    ReadoutTwice: "readout",
    NoReadout: "readout",
    DepolarizesByMixing: "noise-channels",
    DepolarizesQubitByQubit: "noise-channels",
    DampsUpwards: "noise-channels",
    DampsPhaseAsFlips: "noise-channels",
    FlipsThePhase: "noise-channels",
    NoiseAtTheEnd: "noise-model",
    NoNoiseAfterPairs: "noise-model",
    NoiselessEncoder: "noise-model",
    WrongGradientUnderNoise: "noise-gradients",
    SwappedReadout: "readout",
    ReadsTheNeighbour: "readout",
    CompilesWithoutReadout: "readout",
    QuietShots: "noise-shots",
    UnseededTrajectories: "noise-seed",
    RepeatsItsTrajectories: "noise-standard-error",
    IgnoresNoise: "unsupported",
    IgnoresReadout: "unsupported",
    ExactTrajectories: "unsupported",
    RefusesItsNoise: "capabilities",
}
"""Each broken backend, and the check named for its mistake."""

EXPLAINED = {
    (NoNoiseAtAll, "noise-channels"): "the noise on gates left out",
    (NoNoiseAtAll, "noise-shots"): "the noise on gates left out",
    (NoiseTwice, "noise-channels"): "the noise on gates applied twice",
    (NoiseTwice, "noise-shots"): "the noise on gates applied twice",
    (ReadoutTwice, "readout"): "the readout errors applied twice",
    (NoReadout, "readout"): "the readout errors left out",
}
"""What is said of a broken backend's values."""
