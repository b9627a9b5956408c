"""A tiny experiment on a device that costs money, and the command line that runs it."""

import json
import multiprocessing
import os
from multiprocessing.context import ForkServerProcess
from pathlib import Path

import numpy as np
from typer.testing import CliRunner

from qdeq.cli.commands import app

EXPERIMENT = """\
name: tiny
seed: 5  # a read-out that is not dead: every image has a gradient
data: {{dataset: {{name: npz, path: {images}}}}}
model: {{qubits: 2, encoding: angle, ansatz: hardware-efficient}}
solver: {{name: broyden, max_steps: 20}}
training: {{epochs: 2, batch_size: 3, precision: float64, threads: 1}}
"""
_PROCESSES = multiprocessing.get_context("forkserver")
_PROCESSES.set_forkserver_preload(
    ["qdeq.cli", "qdeq.training", "qdeq.billing.estimate", "qdeq.backends.braket_remote.client"]
)
QUICK = {"name": "braket-sv1", "creates_per_second": 1000.0}
"""The service of the tests needs no sparing."""


def write_experiment(folder: Path, images: int = 8) -> Path:
    """Write a few images of two classes that differ, and the experiment; return its file."""
    draw = np.random.default_rng(7)
    np.savez(folder / "few.npz", images=draw.random((images, 6, 6)).astype("float32"), labels=np.arange(images) % 2)
    file = folder / "tiny.yaml"
    file.write_text(EXPERIMENT.format(images=folder / "few.npz"))
    return file


def sets(**values) -> list[str]:
    """Return ``--set`` options; a double underscore is a dot."""
    return [
        part for key, value in values.items() for part in ("--set", f"{key.replace('__', '.')}={json.dumps(value)}")
    ]


def run(*arguments, code: int = 0):
    """Run the command line here, and return its result."""
    result = CliRunner().invoke(app, [str(argument) for argument in arguments], prog_name="qdeq")
    assert result.exit_code == code, (result.output, result.exception)
    return result


def commanded(
    arguments: list[str], environment: dict[str, str], stderr: str | None, longest_wait: float | None
) -> None:
    """Run the command line as a process of its own does."""
    from qdeq.backends.braket_remote import retries

    os.environ.update(environment)
    if longest_wait is not None:
        retries.LONGEST_WAIT = longest_wait
    if stderr is not None:
        os.dup2(os.open(stderr, os.O_WRONLY | os.O_CREAT), 2)
    app(arguments, prog_name="qdeq")


def started(*arguments, service, stderr: Path | None = None, longest_wait: float | None = None) -> ForkServerProcess:
    """Start the command line in a process of its own, forked from one that has imported everything."""
    texts = [str(argument) for argument in arguments]
    told = None if stderr is None else str(stderr)
    process = _PROCESSES.Process(target=commanded, args=(texts, service.env, told, longest_wait))
    process.start()
    return process


def summary(folder: Path) -> dict:
    return json.loads((folder / "summary.json").read_text())


def figures(folder: Path) -> list[float]:
    """Return the numbers that two equal runs have in common: losses and residuals of every step, epoch and split."""
    found = []
    for line in (folder / "metrics.jsonl").read_text().splitlines():
        record = json.loads(line)
        parts = [record, record.get("train"), record.get("validation")]
        found += [
            part[key] for part in parts if part for key in ("loss", "residual_mean", "gradient_norm") if key in part
        ]
    final = summary(folder)
    return found + [final[split][key] for split in ("train", "validation", "test") for key in ("loss", "residual_mean")]
