"""A sweep whose cells train in a second."""

from dataclasses import replace

import yaml

from qdeq.sweeps import Sweep, SweepSpec, expand
from qdeq.training import Metrics, RunSummary

BASE = {
    "name": "tiny",
    "data": {"dataset": "digits", "classes": [0, 3, 6, 9], "limit": 60},
    "solver": {"name": "broyden", "rtol": 1e-3},
    "training": {"epochs": 2, "batch_size": 16, "learning_rate": 0.03},
}
MODES = {"implicit": {}, "direct-1": {"model.mode": "direct", "model.layers": 1}}


def sweep_data(**changes) -> dict:
    return {"name": "tiny-sweep", "base": "base.yaml", "seeds": [0, 1], "list": MODES} | changes


def tiny_sweep(**changes) -> Sweep:
    return expand(SweepSpec.model_validate(sweep_data(**changes)), BASE, "sweep.yaml")


def write_sweep(folder, **changes):
    """Write base.yaml and sweep.yaml, and return the latter."""
    (folder / "base.yaml").write_text(yaml.safe_dump(BASE, sort_keys=False))
    file = folder / "sweep.yaml"
    file.write_text(yaml.safe_dump(sweep_data(**changes), sort_keys=False))
    return file


def made_up(folder, cell, **test) -> RunSummary:
    """Return figures that nobody measured; keywords are those of the test split."""
    metrics = Metrics(samples=10, loss=0.5, accuracy=0.9, residual_mean=1e-4, evaluations=6.0)
    return RunSummary(
        name="tiny", spec_hash=cell.spec.content_hash, qdeq_version="0", seed=cell.seed, backend="torch", epochs=2,
        steps=8, best_epoch=2, best_step=8, parameters=50, train=metrics, validation=metrics,
        test=replace(metrics, **test), solves=80, failed={}, adjoint_failed=0, device="cpu", processes=1, seconds=1.0,
        samples_per_second=60.0, memory={"process_mib": 300.0}, folder=folder,
    )  # fmt: skip


def finish(folder, cell, **test):
    """Leave in the sweep's folder what a finished cell leaves there, as far as a sweep looks at it."""
    run = folder.run(cell)
    run.mkdir(parents=True, exist_ok=True)
    made_up(run, cell, **test).write(run / "summary.json")
