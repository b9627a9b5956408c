"""A whole experiment under noise, from the command line: the same figures on two density-matrix simulators."""

import importlib.util
import json
from pathlib import Path

import pytest

from qdeq.compare.tolerances import FUNCTION, TRAINING_GROWTH

DIGITS = Path(__file__).resolve().parents[2] / "configs/digits.yaml"
STEPS = 2
FEW = {
    "model.qubits": 2,
    "model.ansatz": "hardware-efficient",
    "data.limit": 8 * STEPS,
    "training.epochs": 1,
    "training.batch_size": 8,
    "training.precision": "float64",
    "solver.rtol": 1e-10,
}
NOISE = {"noise.depolarizing.two_qubit": 0.3, "noise.amplitude_damping": 0.2, "noise.readout": 0.1}
SAME = FUNCTION["float64"] * TRAINING_GROWTH**STEPS
"""That of a comparison: a function's tolerance, which each training step may double."""


def run(qdeq, tmp_path, name, changes, backend="torch"):
    options = [part for key, value in changes.items() for part in ("--set", f"{key}={value}")]
    qdeq("train", DIGITS, "--backend", backend, *options, "--quiet", "--out", name)
    lines = map(json.loads, (tmp_path / name / "metrics.jsonl").read_text().splitlines())
    summary = json.loads((tmp_path / name / "summary.json").read_text())
    losses = [line["loss"] for line in lines if line["kind"] == "step"]
    return losses, [summary[split][key] for split in ("train", "validation", "test") for key in ("loss", "accuracy")]


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("cirq") is None, reason="cirq is not installed")
def test_two_backends_train_alike_under_noise(qdeq, tmp_path, monkeypatch):
    monkeypatch.delenv("QDEQ_DATA", raising=False)
    losses, figures = run(qdeq, tmp_path, "torch", FEW | NOISE)
    theirs, their_figures = run(qdeq, tmp_path, "cirq-dm", FEW | NOISE, backend="cirq-dm")
    assert len(losses) == STEPS
    assert theirs == pytest.approx(losses, rel=0, abs=SAME)
    assert their_figures == pytest.approx(figures, rel=0, abs=SAME)
    quiet, _ = run(qdeq, tmp_path, "quiet", FEW)
    assert min(abs(ours - other) for ours, other in zip(losses, quiet, strict=True)) > 1e-3
