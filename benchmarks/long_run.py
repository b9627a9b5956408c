"""Memory and descriptors over a long run: ``python -m benchmarks.long_run --steps 10000 --out runs/long``."""

from __future__ import annotations

import argparse
import gc
import json
import math
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch

from benchmarks.tables import machine
from qdeq.builders import build_data
from qdeq.spec import load_spec
from qdeq.training import Progress, StepRecord, train

CONFIG = "configs/digits.yaml"
BETWEEN_CHECKPOINTS = 100
SAMPLES = 100
SETTLED = 0.1
"""Part of the run after which what libraries set up once is set up."""
MOST_GROWTH = 1.0
"""Most growth of the resident memory over the settled part, by a straight line through it [MiB]."""


@dataclass(frozen=True)
class Sample:
    """The process after so many steps: resident memory [MiB], open descriptors, objects that Python keeps track of."""

    step: int
    resident: float
    descriptors: int
    objects: int


class Watch(Progress):
    """Takes samples at equal distances."""

    def __init__(self, steps: int) -> None:
        self.samples: list[Sample] = []
        self._stride = max(1, steps // SAMPLES)

    def stepped(self, record: StepRecord) -> None:
        """Take a sample, if it is time."""
        step = record.step
        if step % self._stride:
            return
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        resident = pages * os.sysconf("SC_PAGE_SIZE") / 2**20
        self.samples.append(Sample(step, resident, len(os.listdir("/proc/self/fd")), len(gc.get_objects())))


def main(arguments: Sequence[str] | None = None) -> int:
    """Train, print the growth, draw the curve, and return 1 if something grew."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=10_000)
    parser.add_argument("--config", default=CONFIG)
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="change the experiment")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args(arguments)
    options.out.mkdir(parents=True, exist_ok=True)
    print(machine(torch.get_num_threads()))
    spec = load_spec(options.config, [*options.set, f"training.checkpoint_steps={BETWEEN_CHECKPOINTS}"])
    per_epoch = math.ceil(len(build_data(spec).train.labels) / spec.training.batch_size)
    training = spec.training.model_copy(update={"epochs": math.ceil(options.steps / per_epoch)})
    watch = Watch(training.epochs * per_epoch)
    summary = train(spec.model_copy(update={"training": training}), options.out / "run", force=True, progress=watch)
    (options.out / "samples.json").write_text(json.dumps([asdict(each) for each in watch.samples]), encoding="utf-8")
    settled = [each for each in watch.samples if each.step > SETTLED * summary.steps]
    growth = {name: _growth(settled, name) for name in ("resident", "descriptors", "objects")}
    first, last = settled[0], settled[-1]
    print(
        f"{summary.steps:,} steps in {summary.seconds:,.0f} s; checkpoints every {BETWEEN_CHECKPOINTS}, and every epoch"
    )
    print(f"resident memory: {first.resident:.1f} MiB after step {first.step:,}, {last.resident:.1f} at the end, "
          f"growth by a straight line {growth['resident']:+.2f} MiB")  # fmt: skip
    print(f"descriptors: {first.descriptors} to {last.descriptors}; objects: {first.objects:,} to {last.objects:,}")
    _draw(watch.samples, options.out / "memory.png")
    bad = growth["resident"] > MOST_GROWTH or last.descriptors > first.descriptors
    print("something grew" if bad else "flat")
    return 1 if bad else 0


def _growth(samples: Sequence[Sample], name: str) -> float:
    steps = [each.step for each in samples]
    slope = np.polyfit(steps, [getattr(each, name) for each in samples], 1)[0]
    return float(slope * (steps[-1] - steps[0]))


def _draw(samples: Sequence[Sample], path: Path) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 3.2), layout="constrained")
    axes = figure.subplots()
    axes.plot([each.step for each in samples], [each.resident for each in samples], color="#2f6f9f")
    axes.set(xlabel="step", ylabel="resident memory [MiB]")
    axes.set_ylim(0, 1.2 * max(each.resident for each in samples))  # from 0, so that growth is seen in proportion
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=130)


if __name__ == "__main__":
    sys.exit(main())
