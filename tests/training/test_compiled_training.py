"""Compiled and circuit by circuit, a run trains to the same numbers: the whole of it, not one evaluation."""

import json

import pytest
import torch
from tiny_runs import tiny_spec

from qdeq.training import train
from qdeq.training.checkpoints import load_checkpoint
from qdeq.training.folder import RunFolder

DOUBLE = 1e-10
"""Two orders of the same sums in float64, carried through the steps of a run and its solves to rtol 1e-12."""


@pytest.mark.parametrize("encoding", ["amplitude", "angle"])
def test_a_run_has_the_same_metrics_and_weights_either_way(encoding, tmp_path):
    records, weights = {}, {}
    for execution in ("compiled", "circuits"):
        spec = tiny_spec(
            model={"encoding": encoding},
            backend={"name": "torch", "execution": execution},
            solver={"name": "broyden", "rtol": 1e-12, "atol": 1e-12},
            training={"precision": "float64"},
        )
        folder = tmp_path / execution
        train(spec, folder)
        lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
        records[execution] = [line for line in lines if line["kind"] == "step"]
        weights[execution] = load_checkpoint(RunFolder(folder).checkpoint("last")).tensors["model.weights"]
    assert len(records["compiled"]) > 3
    for one, other in zip(records["compiled"], records["circuits"], strict=True):
        for figure in ("loss", "accuracy", "gradient_norm", "converged"):
            assert one[figure] == pytest.approx(other[figure], abs=DOUBLE, rel=0), (one["step"], figure)
    assert torch.allclose(weights["compiled"], weights["circuits"], atol=DOUBLE, rtol=0)
