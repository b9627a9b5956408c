"""The readers of text: the experiment, assignments to it, and circuits."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from hypothesis import strategies as st

from benchmarks.fuzz.mutations import JSON_RAW, YAML_RAW, Draw, altered, as_tree, damaged, places, scalars, write
from benchmarks.fuzz.target import Target
from qdeq.circuit import Circuit
from qdeq.errors import SpecError
from qdeq.library import angle_encoder, hardware_efficient, paper_ansatz
from qdeq.operations import AmplitudeEncoding, Channel, Gate, Input, ReadoutError, Weight
from qdeq.spec import load_spec, parse_yaml

CONFIGS = Path(__file__).parents[2] / "configs"
SECTIONS = (
    """name: sections
data: {dataset: {name: npz, path: good.npz}, classes: [0, 1], features: pool, normalise: [0.1, 0.3], limit: 9}
model: {qubits: 4, encoding: angle, ansatz: hardware-efficient, ansatz_layers: 2, state_scale: 0.5, dropout: 0.1}
""",
    """backend: {name: torch}
model: {encoding: angle}
noise:
  depolarizing: {one_qubit: 0.001, gates: {H: 0.0}, qubits: {0: 0.02, 3: {gates: {CNOT: 0.1}}}}
  readout: {zero_to_one: 0.01, qubits: {1: 0.05}}
""",
    """seed: 3
solver: {name: anderson, memory: 4, on_failure: fallback, fallback: [naive, {name: broyden, max_steps: 9}]}
adjoint: {name: phantom, steps: 2}
training: {epochs: 2, learning_rate: 0.01, clip: null, threads: 1, precision: float64}
""",
    """shots: 100
budget: {max_usd: 1.5, max_tasks: 9, ledger: shared.sqlite, prices: {braket-sv1: {per_task: 0.1, per_shot: 0.01}}}
""",
)
ASSIGNMENTS = (
    "training.epochs=5", "solver=anderson", "solver.memory=3", "model.mode=direct", "model.layers=5", "seed=7",
    "backend={name: torch}", "noise.readout=0.1", "data.dataset={name: npz, path: good.npz}", "name=x", "a.b.c.d=1",
)  # fmt: skip
CIRCUITS = (
    angle_encoder(3) + hardware_efficient(3),
    paper_ansatz(4),
    Circuit(2, [AmplitudeEncoding(4, (0.1, 0.2, 0.3, 0.4)), Gate("CRX", (0, 1), Weight(0, 2.0, 0.1))]),
    Circuit(
        3,
        [Gate("RX", 0, Input(1, 0.5)), Channel("BitFlip", 0, 0.1), Channel("TwoQubitDepolarizing", (0, 2), 0.1)],
        (ReadoutError(1, 0.1, 0.2),),
    ),
)


@cache
def _experiments() -> tuple[list[bytes], list[tuple[Any, Any]]]:
    texts = [*SECTIONS, *(path.read_text() for path in sorted(CONFIGS.glob("*.yaml")))]
    trees = [as_tree(yaml.safe_load(text)) for text in texts]
    return [text.encode() for text in texts], [(tree, places(tree)) for tree in trees]


@st.composite
def experiments(draw: Draw) -> bytes:
    """Draw an experiment file."""
    texts, trees = _experiments()
    which = draw(st.integers(0, len(texts) - 1))
    if draw(st.integers(0, 5)) == 0:
        return draw(damaged(texts[which]))
    raw = YAML_RAW if draw(st.integers(0, 2)) == 0 else ()
    return draw(altered(*trees[which], scalars(raw))).encode(errors="surrogatepass")


@st.composite
def assignments(draw: Draw) -> bytes:
    """Draw lines of ``KEY=VALUE``, as they follow ``--set``."""
    lines = []
    for line in draw(st.lists(st.sampled_from(ASSIGNMENTS), min_size=1, max_size=3)):
        key, _, value = line.partition("=")
        how = draw(st.integers(0, 9))
        if how == 0:
            line = draw(damaged(line.encode())).decode(errors="replace")
        elif how == 1:
            line = f"{draw(scalars(YAML_RAW).map(str))}={value}"
        elif how == 2:
            line = f"{key}.{'a.' * draw(st.sampled_from([1, 18, 5000]))}b={value}"
        elif how < 7:
            line = f"{key}={write(draw(scalars(YAML_RAW)))}"
        lines.append(line.replace("\n", " "))
    return "\n".join(lines).encode(errors="surrogatepass")


def read_experiment(path: Path, out: Path) -> None:
    """Load an experiment, and write it as a run does: what is saved is the same experiment."""
    _check_experiment(load_spec(path), out)


def read_assignments(path: Path, out: Path) -> None:
    """Load an experiment with assignments."""
    base = path.with_name("base.yaml")
    lines = path.read_bytes().decode(errors="surrogateescape").split("\n")
    _check_experiment(load_spec(base, lines), out)


def _check_experiment(spec: Any, out: Path) -> None:
    saved = out / "spec.yaml"
    saved.write_text(spec.to_yaml(), encoding="utf-8")
    again = load_spec(saved)
    assert again.content_hash == spec.content_hash, "the saved experiment has another hash"
    assert again == spec, "the saved experiment is another"
    json.dumps(spec.model_dump(mode="json"), allow_nan=False)
    runs = out / "runs"
    assert (runs / spec.name).parent == runs, "the run's folder"
    assert spec.name not in (".", ".."), "the run's folder"
    if spec.budget is not None:
        assert spec.budget.limits.cost >= 0, "the limits"
        assert all(price.cost(100, 60.0) >= 0 for price in spec.budget.prices.values()), "the prices"
        assert ".." not in Path(spec.budget.ledger or "").parts, "the ledger's place"


@cache
def _circuits() -> tuple[list[bytes], list[tuple[Any, Any]]]:
    texts = [circuit.to_json() for circuit in CIRCUITS]
    trees = [as_tree(json.loads(text)) for text in texts]
    return [text.encode() for text in texts], [(tree, places(tree)) for tree in trees]


@st.composite
def circuits(draw: Draw) -> bytes:
    """Draw a circuit's JSON."""
    texts, trees = _circuits()
    which = draw(st.integers(0, len(texts) - 1))
    if draw(st.integers(0, 3)) == 0:
        return draw(damaged(texts[which]))
    gates = ["CRX", "AmplitudeEncoding", "BitFlip", "H", ["weight", 2**20, 1, 0], ["input", 0, 1e308, 1e308]]
    text = draw(altered(*trees[which], scalars(JSON_RAW, gates)))
    if draw(st.integers(0, 99)) == 0:  # many gates
        text = text.replace('"operations": [', '"operations": [' + '["X", [0], []], ' * 2_000, 1)
    return text.encode(errors="surrogatepass")


def read_circuit(path: Path, out: Path) -> None:
    """Read a circuit, and write it: it is the same one."""
    circuit = Circuit.from_json(path.read_bytes().decode(errors="replace"))
    again = Circuit.from_json(circuit.to_json())
    assert again.content_hash == circuit.content_hash, "the circuit written has another hash"
    assert again == circuit, "the circuit written is another"
    assert circuit.depth() <= len(circuit.operations), "depth"
    assert circuit.num_inputs <= 2**20 >= circuit.num_weights, "sizes"


def _is_yaml(content: bytes) -> bool:
    try:
        parse_yaml(content.decode(), "")
    except (SpecError, UnicodeDecodeError):
        return False
    return True


def _are_assignments(content: bytes) -> bool:
    lines = content.decode(errors="replace").split("\n")
    return all(line.partition("=")[1] and _is_yaml(line.partition("=")[2].encode()) for line in lines)


def _is_json(content: bytes) -> bool:
    try:
        json.loads(content.decode(errors="replace"))
    except (ValueError, RecursionError):
        return False
    return True


TARGETS = (
    Target(name="experiment", file="x.yaml", inputs=experiments(), parses=_is_yaml, read=read_experiment),
    Target(name="assignments", file="x.txt", inputs=assignments(), parses=_are_assignments, read=read_assignments),
    Target(name="circuit", file="x.json", inputs=circuits(), parses=_is_json, read=read_circuit),
)
