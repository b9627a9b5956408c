"""Time of the native density-matrix simulation by register: ``python -m benchmarks.noise``."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence

import torch

from benchmarks.tables import changed_since, describe, machine
from qdeq.backends import get_backend
from qdeq.library import amplitude_encoder, angle_encoder, hardware_efficient
from qdeq.noise import NoiseModel
from qdeq.observables import Z

NOISE = NoiseModel(
    depolarizing={"one_qubit": 0.001, "two_qubit": 0.01}, amplitude_damping=0.002, phase_damping=0.001, readout=0.02
)
HEAD = (
    "| qubits | encoding | gates | freeze | evaluation, compiled | evaluation, by circuits | forward and backward |\n"
    "| ---: | --- | ---: | ---: | ---: | ---: | ---: |"
)


def milliseconds(action: Callable[[], object], repeats: int) -> float:
    """Return the median time of an action, which has run once before."""
    action()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        action()
        times.append(time.perf_counter() - start)
    return sorted(times)[repeats // 2] * 1e3


def row(qubits: int, encoding: str, batch: int, repeats: int) -> str:
    """Return a line of the table: all times in milliseconds."""
    encoder = amplitude_encoder(qubits) if encoding == "amplitude" else angle_encoder(qubits, qubits)
    circuit = NOISE.attach(encoder + hardware_efficient(qubits, layers=2))
    torch.manual_seed(0)
    weights = torch.randn(circuit.num_weights, requires_grad=True)
    inputs, measured = torch.randn(batch, circuit.num_inputs), tuple(Z(qubit) for qubit in range(qubits))
    compiled, circuits = (get_backend({"name": "torch", "execution": how}) for how in ("compiled", "circuits"))

    def step() -> None:
        compiled.at(circuit, weights, measured)(inputs).sum().backward()

    with torch.no_grad():
        frozen, running = (backend.at(circuit, weights, measured) for backend in (compiled, circuits))
        times = [
            milliseconds(lambda: compiled.at(circuit, weights, measured), repeats),
            milliseconds(lambda: frozen(inputs), repeats),
            milliseconds(lambda: running(inputs), repeats),
        ]
    times.append(milliseconds(step, repeats))
    shown = [f"{value:.2g}" if value < 10 else f"{value:,.0f}" for value in times]
    return "| " + " | ".join([str(qubits), encoding, str(len(circuit.gates)), *shown]) + " |"


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print."""
    parse = argparse.ArgumentParser(prog="python -m benchmarks.noise", description=__doc__)
    parse.add_argument("--qubits", nargs="+", type=int, default=[2, 4, 6, 8, 10])
    parse.add_argument("--batch", type=int, default=32)
    parse.add_argument("--repeats", type=int, default=5, help="times are medians of so many")
    parse.add_argument("--threads", type=int, default=1)
    options = parse.parse_args(arguments)
    torch.set_num_threads(options.threads)
    facts = machine(options.threads)
    print(describe(facts), f"Milliseconds for a batch of {options.batch}, float32:", HEAD, sep="\n\n", flush=True)
    for qubits in options.qubits:
        for encoding in ("amplitude", "angle"):
            print(row(qubits, encoding, options.batch, options.repeats), flush=True)
    print(changed_since(facts))
    return 0


if __name__ == "__main__":
    sys.exit(main())
