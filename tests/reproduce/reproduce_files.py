"""A table of the paper on scikit-learn's digits, which need no download, and cells that nobody trained."""

import re
from dataclasses import replace
from pathlib import Path

from qdeq.training import Metrics, RunSummary

ON_DIGITS = {"data.dataset": "digits", "data.features": "pool", "data.limit": 60, "training.batch_size": 20}
"""60 images in batches of 20: 3 steps an epoch."""

OPTIONS = [word for key, value in ON_DIGITS.items() for word in ("--set", f"{key}={value}")]


def documented_keys(command):
    """Return the keys of a command's JSON as the guide has them."""
    guide = (Path(__file__).parents[2] / "docs/guides/command-line.md").read_text(encoding="utf-8")
    (row,) = [line for line in guide.splitlines() if line.startswith(f"| `{command}` |")]
    return re.findall(r"`(\w+)`", row)


def finish(folder, cell, **test):
    """Leave in a sweep's folder what a finished cell leaves there; keywords are figures of the test split."""
    metrics = Metrics(samples=10, loss=0.5, accuracy=0.9, residual_mean=1e-4, evaluations=6.0)
    run = folder.run(cell)
    run.mkdir(parents=True, exist_ok=True)
    RunSummary(
        name="made-up", spec_hash=cell.spec.content_hash, qdeq_version="0", seed=cell.seed, backend="torch", epochs=1,
        steps=3, best_epoch=1, best_step=3, parameters=108, train=metrics, validation=metrics,
        test=replace(metrics, **test), solves=60, failed={}, adjoint_failed=0, device="cpu", processes=1, seconds=1.0,
        samples_per_second=60.0, memory={"process_mib": 300.0}, folder=run,
    ).write(run / "summary.json")  # fmt: skip
