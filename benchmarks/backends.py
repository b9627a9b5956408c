"""One implicit training step of MNIST-4 on every backend: compiled, by circuits, and PennyLane's TorchLayer as a peer.

    python -m benchmarks.backends
    QDEQ_DATA=/path/to/data python -m benchmarks.backends --out backends.json    # MNIST instead of random pixels

Model, solver and optimiser are those of configs/mnist4-amplitude.yaml and configs/mnist4-angle.yaml, without dropout:
every row computes the same loss. A step is forward solve, backward solve, clipping and Adam, in float32.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import platform
import statistics
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from benchmarks.torchlayer import PeerModel
from qdeq.backends import get_backend
from qdeq.backends.executions import count_executions
from qdeq.builders import build_data, build_model
from qdeq.errors import ConvergenceWarning, QdeqError
from qdeq.spec import ExperimentSpec, load_spec

CONFIGS = Path(__file__).parents[1] / "configs"
BACKENDS = ("torch", "qsim", "cirq", "braket-local", "pennylane")
ENCODINGS = ("amplitude", "angle")
CLASSES = 4
TARGET_SECONDS = 3.0
"""What a compiled step may take (issue 3)."""
DATA_SEED = 2222


@dataclass(frozen=True)
class Row:
    """One contender on one encoding.

    Attributes:
        contender: Backend, or the peer.
        encoding: ``"amplitude"`` or ``"angle"``.
        execution: How it ran.
        batch: Images in the measured step.
        seconds: Median of the measured steps.
        spread: Slowest less fastest.
        repeats: Number of measured steps.
        circuits: Circuits run in a step; None where they are not counted.
        loss: Of the first step, on the measured batch.
        estimate: Seconds for the whole batch, in proportion to a smaller measured one; None where it was measured.
    """

    contender: str
    encoding: str
    execution: str
    batch: int
    seconds: float
    spread: float
    repeats: int
    circuits: int | None
    loss: float
    estimate: float | None = None


def spec_of(encoding: str) -> ExperimentSpec:
    return load_spec(CONFIGS / f"mnist4-{encoding}.yaml", ["model.dropout=0"])


def images_of(spec: ExperimentSpec, batch: int) -> tuple[Tensor, Tensor, str]:
    """Return features ``[B, 16]``, labels ``[B]`` and what they are: MNIST where ``QDEQ_DATA`` is set."""
    if os.environ.get("QDEQ_DATA"):
        splits = build_data(spec)
        return splits.train.features[:batch], splits.train.labels[:batch], splits.name
    generator = torch.Generator().manual_seed(DATA_SEED)
    features = (torch.rand(batch, 16, generator=generator) - 0.1307) / 0.3081
    return features, torch.randint(CLASSES, (batch,), generator=generator), "random pixels"


def timed_steps(
    forward: Callable[[Tensor], Tensor],
    parameters: Sequence[torch.nn.Parameter],
    spec: ExperimentSpec,
    data: tuple[Tensor, Tensor],
    repeats: int,
    warm: int,
) -> tuple[list[float], int, float]:
    """Return seconds of each measured step, circuits of the last one, and the first loss."""
    features, labels = data
    optimizer = torch.optim.Adam(parameters, lr=spec.training.learning_rate)
    seconds, first = [], None
    for _ in range(warm + repeats):
        begin = time.perf_counter()
        with count_executions() as count:
            loss = F.cross_entropy(forward(features), labels)
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(parameters, spec.training.clip or float("inf"))
            optimizer.step()
        seconds.append(time.perf_counter() - begin)
        first = loss.item() if first is None else first
    assert first is not None
    return seconds[warm:], count.executed, first


def backend_row(
    name: str, encoding: str, execution: str, data: tuple[Tensor, Tensor], *, repeats: int, warm: int = 1
) -> Row:
    """Measure a backend of qdeq."""
    spec = spec_of(encoding)
    options = {"name": name, "execution": execution}
    if execution == "circuits" and name == "torch":
        options["gradient"] = "parameter-shift"  # else the native simulator propagates a whole batch at once
    model = build_model(spec.model_copy(update={"backend": get_backend(options)}), CLASSES).train()
    seconds, circuits, loss = timed_steps(
        lambda x: model(x).logits, list(model.parameters()), spec, data, repeats, warm
    )
    return _row(name, encoding, execution, data, seconds, circuits, loss)


def peer_row(encoding: str, data: tuple[Tensor, Tensor], *, repeats: int) -> Row:
    """Measure the peer, with the same first weights and the same tolerance."""
    spec = spec_of(encoding)
    peer = PeerModel(build_model(spec, CLASSES), rtol=spec.solver.choice()["rtol"])
    seconds, _, loss = timed_steps(peer, list(peer.parameters()), spec, data, repeats, 1)
    execution = f"hand-written loop, {peer.evaluations} evaluations, {peer.failed} not converged"
    return _row("PennyLane TorchLayer", encoding, execution, data, seconds, None, loss)


def _row(
    contender: str,
    encoding: str,
    execution: str,
    data: tuple[Tensor, Tensor],
    seconds: list[float],
    circuits: int | None,
    loss: float,
) -> Row:
    spread = max(seconds) - min(seconds)
    count = len(seconds)
    return Row(contender, encoding, execution, len(data[0]), statistics.median(seconds), spread, count, circuits, loss)


def circuits_row(name: str, encoding: str, data: tuple[Tensor, Tensor], small: int, limit: float) -> Row:
    """Measure a small batch, and the whole one where that is expected within ``limit`` seconds."""
    few = backend_row(name, encoding, "circuits", (data[0][:small], data[1][:small]), repeats=1, warm=0)
    estimate = few.seconds * len(data[0]) / small
    if estimate <= limit:
        return backend_row(name, encoding, "circuits", data, repeats=1, warm=0)
    return Row(**{**asdict(few), "estimate": estimate})


def markdown(rows: Sequence[Row], batch: int) -> str:
    """Return the table."""
    head = ("encoding", "contender", "execution", "images measured", "s/step", "spread", "steps measured",
            "circuits/step", "loss", f"s for {batch} images")  # fmt: skip
    lines = [head, ("---",) * 3 + ("--:",) * 7]
    for row in rows:
        whole = f"{row.seconds:.3g}" if row.estimate is None else f"~{row.estimate:.0f} (per image x {batch})"
        circuits = "-" if row.circuits is None else f"{row.circuits:,}"
        figures = (str(row.batch), f"{row.seconds:.3g}", f"{row.spread:.2g}", str(row.repeats), circuits)
        lines.append((row.encoding, row.contender, row.execution, *figures, f"{row.loss:.6f}", whole))
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def environment() -> dict[str, str]:
    """Return machine and versions."""
    packages = ("torch", "cirq-core", "qsimcirq", "amazon-braket-default-simulator", "pennylane", "pennylane-lightning")
    found = {}
    for package in packages:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            found[package] = "not installed"
    return {
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, torch threads {torch.get_num_threads()}",
        "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "unset"),
        "python": platform.python_version(),
        **found,
    }


def jobs_of(encoding: str, data: tuple[Tensor, Tensor], options: argparse.Namespace) -> Iterator[Callable[[], Row]]:
    """Return the measurements of one encoding, in the order of the table."""
    names = options.backends.split(",")
    for name in names:
        yield partial(backend_row, name, encoding, "compiled", data, repeats=options.repeats)
    yield partial(peer_row, encoding, data, repeats=options.repeats)
    if not options.skip_circuits:
        for name in names:
            yield partial(circuits_row, name, encoding, data, options.small, options.limit)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, default=256, help="images in a step (default %(default)s)")
    parser.add_argument("--small", type=int, default=8, help="images for the circuits path (default %(default)s)")
    parser.add_argument("--limit", type=float, default=60.0, help="seconds that a circuits step may take whole")
    parser.add_argument("--repeats", type=int, default=3, help="measured steps, after one that is not")
    parser.add_argument("--backends", default=",".join(BACKENDS), help="names, by commas (default %(default)s)")
    parser.add_argument("--encodings", default=",".join(ENCODINGS), help="names, by commas (default %(default)s)")
    parser.add_argument("--skip-circuits", action="store_true", help="only compiled functions and the peer")
    parser.add_argument("--out", type=Path, help="also write the rows to this file, as JSON")
    options = parser.parse_args()
    warnings.simplefilter("ignore", ConvergenceWarning)
    rows: list[Row] = []
    for encoding in options.encodings.split(","):
        features, labels, images = images_of(spec_of(encoding), options.batch)
        for job in jobs_of(encoding, (features, labels), options):
            try:
                rows.append(job())
            except (QdeqError, ImportError) as error:
                print(f"left out: {error}", flush=True)
            else:
                print(f"{rows[-1].contender}, {encoding}, {rows[-1].execution}: {rows[-1].seconds:.3g} s", flush=True)
    slow = [f"{r.contender} ({r.encoding})" for r in rows if r.execution == "compiled" and r.seconds > TARGET_SECONDS]
    about = {**environment(), "images": images}
    print("", *(f"- {key}: {value}" for key, value in about.items()), "", sep="\n")
    print(markdown(rows, options.batch))
    print(f"\ncompiled within {TARGET_SECONDS:g} s: {'all but ' + ', '.join(slow) if slow else 'all'}")
    if options.out:
        found = {"environment": about, "rows": [asdict(row) for row in rows]}
        options.out.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
