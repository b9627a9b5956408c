"""Training on every adapter goes the native way: its losses are the native ones."""

import json

import pytest

from qdeq.backends import get_backend
from qdeq.compare.measure import Subject, short_training
from qdeq.plugins import BACKENDS
from qdeq.spec import parse_spec
from qdeq.training import train

SAME_LOSSES = {"float64": 1e-9, "float32": 1e-4}
"""Losses [nats] of an epoch in float64. Rounding of 1e-15 (1e-7 in qsim) grows by the solve, by Adam (which divides a
gradient by its own size, down to 1e-8) and over a dozen steps; solves stop at the same step, or agree to rtol."""

STATE_VECTOR = {"cirq": "float64", "qsim": "float32", "braket-local": "float64", "pennylane": "float64"}
DENSITY_MATRIX = ("cirq-dm", "braket-local-dm")


def spec_of(backend, **model):
    return parse_spec(
        {
            "data": {"dataset": "digits", "classes": [0, 3, 6, 9]},
            "backend": backend,
            "solver": {"name": "broyden", "rtol": 1e-6, "atol": 1e-8},
            "training": {"epochs": 1, "batch_size": 32, "precision": "float64"},
            "model": model,
        },
        "epoch",
    )


def needs(backend):
    if backend not in BACKENDS.names():
        pytest.fail(f"backend {backend} is not registered here: reinstall qdeq (pip install -e .)")


@pytest.fixture(scope="module")
def epoch(tmp_path_factory):
    """Train one epoch: ``epoch(backend)`` returns the losses of its steps, then of its validation."""
    found = {}

    def run(backend):
        if backend not in found:
            folder = tmp_path_factory.mktemp(backend) / "run"
            train(spec_of(backend), folder)
            records = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
            steps = [record["loss"] for record in records if record["kind"] == "step"]
            found[backend] = [*steps, records[-1]["validation"]["loss"]]
        return found[backend]

    return run


@pytest.mark.slow
@pytest.mark.parametrize("backend", STATE_VECTOR)
def test_one_epoch_on_a_state_vector_simulator(epoch, backend):
    needs(backend)
    native = epoch("torch")
    assert len(native) > 10
    assert native[-1] < native[0]
    assert epoch(backend) == pytest.approx(native, rel=0, abs=SAME_LOSSES[STATE_VECTOR[backend]])


@pytest.mark.slow
@pytest.mark.parametrize("backend", DENSITY_MATRIX)
def test_two_steps_on_a_density_matrix_simulator(backend):
    needs(backend)
    subject = Subject.of(spec_of("torch", ansatz="hardware-efficient"), 8)  # a circuit takes 10 ms on these
    native, found = (
        short_training(subject.model(get_backend(name)), subject, 2, "test")[0].tolist() for name in ("torch", backend)
    )
    assert found == pytest.approx(native, rel=0, abs=SAME_LOSSES["float64"])
    assert found[1] < found[0]
