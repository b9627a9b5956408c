"""Random circuits, named by their seed: plain data for the dense simulator, and the same data built as circuits.

Encoders, noise and angles of every kind take turns, so that any few dozen seeds in a row meet each gate and channel.
"""

from dataclasses import dataclass, replace
from functools import cache, cached_property

import numpy as np
from dense_simulator import KRAUS, NUM_ANGLES, WIDTH, Plan, plan_expectations

from qdeq.circuit import AmplitudeEncoding, Channel, Circuit, Gate, Input, ReadoutError, Weight
from qdeq.noise import NoiseModel
from qdeq.observables import PauliString, PauliSum

COUNT = 300
BATCH = 2
LARGEST = {"Depolarizing": 3 / 4, "TwoQubitDepolarizing": 15 / 16, "BitFlip": 1 / 2}  # 1 for the others
FIELDS = ("depolarizing", "amplitude_damping", "phase_damping", "bit_flip")
CHANNEL_OF = dict(zip(FIELDS, ("Depolarizing", "AmplitudeDamping", "PhaseDamping", "BitFlip"), strict=True))
ENCODERS = ("amplitude", "angles", "anywhere", "amplitude and angles", "fixed amplitudes")
NOISE = ("none", "readout", "channels", "model")
STEP = 1e-5


@dataclass(frozen=True)
class Case:
    """A circuit, its inputs ``[B, I]`` and weights ``[P]``, and observables; with noise, where ``plan`` has any."""

    seed: int
    encoder: str
    plan: Plan
    model: dict | None  # of noise, to be placed on the plan's gates
    observables: tuple
    inputs: np.ndarray
    weights: np.ndarray

    @cached_property
    def noisy_plan(self):
        return self.plan if self.model is None else placed(self.plan, self.model)

    @property
    def has_channels(self):
        return any(name in KRAUS for name, _, _ in self.noisy_plan.operations)

    @property
    def names(self):
        """The gates and channels that occur."""
        return {name for name, _, _ in self.noisy_plan.operations}

    @cached_property
    def circuit(self):
        built = circuit_of(self.plan)
        return built if self.model is None else NoiseModel(**self.model).attach(built)

    @cached_property
    def paulis(self):
        return tuple(PauliSum(tuple((c, PauliString(factors)) for c, factors in terms)) for terms in self.observables)

    def dense(self, inputs, weights):
        """``[N, O]`` for inputs ``[N, I]`` and weights ``[N, P]``."""
        return self.values_of(self.observables, inputs, weights)

    def values_of(self, observables, inputs, weights):
        return plan_expectations(self.noisy_plan, inputs, weights, observables)

    @cached_property
    def values(self):
        """``[B, O]``."""
        return self.dense(self.inputs, np.tile(self.weights, (BATCH, 1)))

    @cached_property
    def derivatives(self):
        """Central differences ``[B, O, I]`` in the inputs and ``[B, O, P]`` in the weights."""
        size, rows = self.inputs.shape[1], np.tile(self.weights, (BATCH, 1))
        point = np.concatenate([self.inputs, rows], axis=1)
        steps = np.full_like(point, STEP)
        if isinstance(self.plan.encoded, int):  # the curvature of v / |v| goes with its length
            lengths = np.linalg.norm(self.inputs[:, : self.plan.encoded], axis=1, keepdims=True)
            steps[:, : self.plan.encoded] *= np.clip(lengths, None, 1.0)
        moves = np.eye(point.shape[1])[:, None] * steps  # [I + P, B, I + P]
        both = np.stack([point + moves, point - moves])
        flat = both.reshape(-1, point.shape[1])
        values = self.dense(flat[:, :size], flat[:, size:]).reshape(*both.shape[:3], -1)
        lengths = np.einsum("kbk->kb", both[0] - both[1])[..., None]
        slopes = ((values[0] - values[1]) / lengths).transpose(1, 2, 0)
        return slopes[..., :size], slopes[..., size:]


@cache
def case(seed):
    draw = np.random.default_rng([20241030, seed])
    n = int(draw.choice([1, 2, 2, 3, 3, 3, 4]))
    encoder = ENCODERS[seed % len(ENCODERS)]
    noise = NOISE[seed // len(ENCODERS) % len(NOISE)]
    encoded, free = None, 0
    if "amplitude" in encoder:
        features = int(draw.integers(1, min(2**n, 9) + 1))
        encoded = features if encoder != "fixed amplitudes" else tuple(draw.normal(size=features).tolist())
        free = features if encoder != "fixed amplitudes" else 0
    kinds = {"amplitude": ("weight",), "angles": ("weight",)}.get(encoder, ("input", "weight"))
    num_inputs, num_weights = max(free, int(draw.integers(1, 5))), int(draw.integers(1, 5))
    first = rotations(draw, n, num_inputs) if encoder == "angles" else []
    counts = {"input": num_inputs, "weight": num_weights}
    operations = [gate(draw, n, kinds, counts) for _ in range(draw.integers(3, 13))]
    if noise == "channels":
        operations = [part for operation in operations for part in (operation, *channels(draw, n))]
    plan = Plan(n, (*first, *operations), encoded, readout(draw, n) if noise in ("readout", "channels") else {})
    inputs = np.array([[size_of_angle(draw) for _ in range(num_inputs)] for _ in range(BATCH)])
    if free:
        inputs[:, :free] = draw.normal(size=(BATCH, free)) * draw.choice([1e-3, 1.0, 1.0, 200.0])
    return Case(
        seed,
        encoder,
        plan,
        noise_model(draw, n, encoded is None) if noise == "model" else None,
        tuple(observable(draw, n) for _ in range(draw.integers(1, 3))),
        inputs,
        np.array([size_of_angle(draw) for _ in range(num_weights)]),
    )


def size_of_angle(draw):
    """Mostly a few turns at most; now and then zero, tiny, a multiple of π/4, or up to 1000."""
    return float(
        draw.choice(
            [
                draw.uniform(-7, 7),
                draw.uniform(-7, 7),
                draw.uniform(-7, 7),
                np.pi / 4 * draw.integers(-8, 9),
                draw.normal() * 10.0 ** -draw.integers(3, 13),
                draw.choice([-1, 1]) * 10.0 ** draw.uniform(1, 3),
            ]
        )
    )


def reference(draw, kind, counts):
    """An angle ``scale * vector[index] + offset``; indices come back, so that weights are shared."""
    scale = float(draw.choice([1.0, 1.0, -1.0, 0.5, -2.25]))
    return kind, int(draw.integers(counts[kind])), scale, float(draw.choice([0.0, 0.0, 0.1, -1.5, np.pi]))


def rotations(draw, n, num_inputs):
    """Rotations by inputs before everything else, up to three on a qubit."""
    turns = [(str(draw.choice(["RX", "RY", "RZ"])), qubit) for qubit in range(n) for _ in range(draw.integers(0, 4))]
    return [(name, (qubit,), (reference(draw, "input", {"input": num_inputs}),)) for name, qubit in turns]


def gate(draw, n, kinds, counts):
    name = str(draw.choice([name for name, width in WIDTH.items() if width <= n]))
    qubits = tuple(draw.permutation(n)[: WIDTH[name]].tolist())
    chosen = [str(draw.choice(["number", *kinds])) for _ in range(NUM_ANGLES[name])]
    angles = [size_of_angle(draw) if kind == "number" else reference(draw, kind, counts) for kind in chosen]
    return name, qubits, tuple(angles)


def channels(draw, n):
    if draw.random() < 0.5:
        return []
    name = str(draw.choice([name for name in KRAUS if n > 1 or name != "TwoQubitDepolarizing"]))
    qubits = tuple(draw.permutation(n)[: 2 if name == "TwoQubitDepolarizing" else 1].tolist())
    most = LARGEST.get(name, 1.0)
    share = float(draw.choice([0.0, draw.uniform(0, 0.3), draw.uniform(0, 0.3), draw.uniform(0, 1), 1.0]))
    return [(name, qubits, (share * most,))]


def readout(draw, n):
    return {qubit: tuple(draw.uniform(0, 0.3, 2).tolist()) for qubit in range(n) if draw.random() < 0.7}


def observable(draw, n):
    """A sum of one to three Pauli strings; a string may be the identity."""
    strings = {tuple(zip(range(n), map(str, draw.choice(list("IXYZZ"), n)), strict=True)) for _ in range(3)}
    kept = sorted(strings)[: draw.choice([1, 1, 2, 3])]
    lone = len(kept) == 1 and draw.random() < 0.5
    return tuple(
        (
            1.0 if lone else float(draw.uniform(-2, 2)),
            tuple((qubit, letter) for qubit, letter in string if letter != "I"),
        )
        for string in kept
    )


def noise_model(draw, n, may_encode):
    def rates(with_qubits=True):
        given = {"one_qubit": float(draw.uniform(0, 0.2))} if draw.random() < 0.7 else {}
        if draw.random() < 0.7:
            given["two_qubit"] = float(draw.uniform(0, 0.2))
        named = draw.choice(list(WIDTH), 4, replace=False)
        given["gates"] = {str(name): float(draw.uniform(0, 0.2)) for name in named}
        if with_qubits and draw.random() < 0.5:
            given["qubits"] = {int(draw.integers(n)): rates(with_qubits=False)}
        return given

    def pair():
        return dict(zip(("zero_to_one", "one_to_zero"), draw.uniform(0, 0.3, 2).tolist(), strict=True))

    model = {name: rates() for name in FIELDS if draw.random() < 0.6}
    if draw.random() < 0.6:
        model["readout"] = pair() | {"qubits": {int(draw.integers(n)): pair()}}
    return model | ({"encoder": True} if may_encode and draw.random() < 0.5 else {})


def placed(plan, model):
    """The plan with the model's channels after its gates, in the order of FIELDS, as docs/guides/noise.md says."""
    operations = []
    for operation in plan.operations:
        operations.append(operation)
        if model.get("encoder") or not any(isinstance(a, tuple) and a[0] == "input" for a in operation[2]):
            operations += after(operation, model)
    readout = model.get("readout", {})
    errors = {q: readout.get("qubits", {}).get(q, readout) for q in range(plan.num_qubits)}
    flips = {q: (e.get("zero_to_one", 0.0), e.get("one_to_zero", 0.0)) for q, e in errors.items()}
    return replace(plan, operations=tuple(operations), readout={q: pair for q, pair in flips.items() if any(pair)})


def after(operation, model):
    name, qubits, _ = operation
    width = "one_qubit" if len(qubits) == 1 else "two_qubit"

    def rate(field, qubit):
        for part in (model[field].get("qubits", {}).get(qubit, {}), model[field]):
            for given in (part.get("gates", {}).get(name), part.get(width)):
                if given is not None:
                    return given
        return 0.0

    channels = []
    for field in (field for field in FIELDS if field in model):
        found = [rate(field, qubit) for qubit in qubits]
        if field == "depolarizing" and len(qubits) == 2:
            channels.append(("TwoQubitDepolarizing", qubits, (max(found),)))
        else:
            channels += [(CHANNEL_OF[field], (qubit,), (p,)) for qubit, p in zip(qubits, found, strict=True)]
    return [channel for channel in channels if channel[2] != (0.0,)]


def circuit_of(plan):
    """The package's circuit, without the noise of a model."""
    operations = [] if plan.encoded is None else [encoding_of(plan.encoded)]
    for name, qubits, numbers in plan.operations:
        if name in KRAUS:
            operations.append(Channel(name, qubits, *numbers))
        else:
            operations.append(Gate(name, qubits, [angle_of(number) for number in numbers]))
    return Circuit(
        plan.num_qubits, tuple(operations), tuple(ReadoutError(q, a, b) for q, (a, b) in plan.readout.items())
    )


def encoding_of(encoded):
    return AmplitudeEncoding(encoded) if isinstance(encoded, int) else AmplitudeEncoding(len(encoded), encoded)


def angle_of(angle):
    return {"input": Input, "weight": Weight}[angle[0]](*angle[1:]) if isinstance(angle, tuple) else angle
