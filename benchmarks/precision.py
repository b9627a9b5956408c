"""Errors of single precision by register, against runs in double precision: ``python -m benchmarks.precision``.

The same float32 numbers go into both runs, so that what is measured is the error of the computation alone.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

import torch
from torch import Tensor

from benchmarks.tables import changed_since, describe, machine
from qdeq.backends import get_backend
from qdeq.circuit import MAX_INDEX, Circuit, Gate, Input
from qdeq.library import amplitude_encoder, data_reuploading, hardware_efficient
from qdeq.noise import NoiseModel
from qdeq.observables import Observable, X, Y, Z

LAYERS = 2
BATCH = 2
FEATURES = 4
"""Features of the circuits that are compiled."""
MOST = {"torch": 24, "density": 11, "qsim": 22}
GRADIENTS_TO = 18
"""Largest register whose gradients are measured: autograd keeps a state for each gate with an input."""
NOISE = NoiseModel(depolarizing={"one_qubit": 0.001, "two_qubit": 0.01}, readout=0.02)
ROWS = ("states", "amplitudes", "quadratic form", "product form", "density", "qsim")


def circuit_of(row: str, num_qubits: int) -> Circuit:
    """Return a row's circuit; angles enter twice where it is not to be compiled."""
    if row == "quadratic form":
        return amplitude_encoder(num_qubits, FEATURES) + hardware_efficient(num_qubits, LAYERS)
    if row == "product form":
        encoder = Circuit(num_qubits, [Gate("RY", qubit, Input(qubit)) for qubit in range(FEATURES)])
        return encoder + hardware_efficient(num_qubits, LAYERS)
    if row == "amplitudes":
        return amplitude_encoder(num_qubits, min(2**num_qubits, MAX_INDEX)) + hardware_efficient(num_qubits, LAYERS)
    circuit = data_reuploading(num_qubits, LAYERS, num_features=num_qubits)
    return NOISE.attach(circuit) if row == "density" else circuit


def observables(num_qubits: int) -> tuple[Observable, ...]:
    """Return a string across the register, one in another basis, and Z on every qubit."""
    last = num_qubits - 1
    return (Z(0) @ Z(last), X(0) @ Y(last), *(Z(qubit) for qubit in range(num_qubits)))


def errors(row: str, num_qubits: int, batch: int = BATCH) -> tuple[float, float | None]:
    """Return the largest error of a value, and that of a derivative of the string across the register.

    Derivatives are those in inputs and weights, summed over the samples. Angles and weights are about 0.3, so that
    values and derivatives are of order one on any register.
    """
    circuit, measured = circuit_of(row, num_qubits), observables(num_qubits)
    generator = torch.Generator().manual_seed(num_qubits)
    x = 0.3 * torch.randn(batch, circuit.num_inputs, generator=generator).abs()
    weights = 0.3 * torch.randn(circuit.num_weights, generator=generator)
    differentiated = row != "qsim" and num_qubits <= GRADIENTS_TO
    execution = "auto" if row.endswith("form") else "circuits"

    def run(kind: torch.dtype, name: str) -> tuple[Tensor, ...]:
        inputs, angles = (part.to(kind).requires_grad_(differentiated) for part in (x, weights))
        value = get_backend({"name": name, "execution": execution}).at(circuit, angles, measured)(inputs)
        slopes = torch.autograd.grad(value[:, 0].sum(), (inputs, angles)) if differentiated else ()
        return value.detach().double(), *(slope.double() for slope in slopes)

    exact = run(torch.float64, "torch")
    found = run(torch.float32, "qsim" if row == "qsim" else "torch")
    value, *slopes = ((a - b).abs().max().item() for a, b in zip(found, exact, strict=True))
    return value, max(slopes) if slopes else None


def table_line(num_qubits: int) -> str:
    """Return the table's line for one register."""
    cells = []
    for row in ROWS:
        if num_qubits > MOST.get(row, MOST["torch"]):
            cells.append("-")
            continue
        value, slope = errors(row, num_qubits)
        cells.append(f"{value:.0e}" if slope is None else f"{value:.0e}, {slope:.0e}")
    return f"| {num_qubits} | " + " | ".join(cells) + " |"


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print."""
    parse = argparse.ArgumentParser(prog="python -m benchmarks.precision", description=__doc__)
    parse.add_argument("--qubits", nargs="+", type=int, default=[4, 7, 10, 13, 16, 18, 20, 22])
    parse.add_argument("--threads", type=int, default=1)
    options = parse.parse_args(arguments)
    torch.set_num_threads(options.threads)
    facts = machine(options.threads)
    print(describe(facts), "Largest error of values, and of derivatives after the comma:", sep="\n\n", end="\n\n")
    print(f"| qubits | {' | '.join(ROWS)} |\n| --: |{' --- |' * len(ROWS)}", flush=True)
    for num_qubits in options.qubits:
        print(table_line(num_qubits), flush=True)
    print(changed_since(facts))
    return 0


if __name__ == "__main__":
    sys.exit(main())
