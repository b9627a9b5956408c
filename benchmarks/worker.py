"""One contender of one cell in a process of its own, so that its memory is its own and its death harms no other.

Reads a JSON request a line from stdin and answers each by one JSON line: the methods of :class:`Worker`, or ``stop``.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from benchmarks.contenders import CONTENDERS, Contender, Native, PennyLane, Unfit
from benchmarks.floor import floor_of
from benchmarks.memory_meter import Meter, limit_memory
from benchmarks.problem import Cell

WARM_UP = Cell(4, "amplitude", batch=2)
TURN_SECONDS = 0.5
"""A step of a few milliseconds right after another process's work would be timed with cold caches."""
PROBE_SAMPLES = {"lightning": (1, 3)}


class Worker:
    """Holds the contender between requests."""

    contender: Contender
    meter: Meter

    def prepare(
        self, name: str, cell: dict[str, Any], budget_bytes: float, budget_seconds: float, evaluations: int
    ) -> dict[str, Any]:
        """Predict what a step needs, and build the contender if that fits."""
        chosen, kind = Cell(**cell), CONTENDERS[name]
        needed = kind.needed_bytes(chosen)
        if needed > budget_bytes:
            raise Unfit(f"a step needs at least {readable(needed)}, and {readable(budget_bytes)} are free")
        # loads kernels, libraries and thread pools, which are no part of a step's memory
        kind(replace(WARM_UP, device=chosen.device)).step()
        if chosen.device == "cpu":
            limit_memory(budget_bytes)
        self.contender = kind(chosen)
        if isinstance(self.contender, PennyLane):
            self._predict(name, self.contender, budget_seconds, evaluations)
        self.meter = Meter(chosen.device)
        return {}

    def _predict(self, name: str, contender: PennyLane, budget: float, evaluations: int) -> None:
        """Refuse a cell of which two steps, extrapolated from a few samples, would take longer than the budget."""
        few, some = PROBE_SAMPLES.get(name, (2, 8))
        times = []
        for samples in (few, few, some):  # the first is a warm-up
            begin = time.perf_counter()
            contender.probe(samples)
            times.append(time.perf_counter() - begin)
        slope = max(times[2] - times[1], 0.0) / (some - few)
        evaluation = times[2] + slope * max(contender.cell.batch - some, 0)
        # a forward costs about half of a probe; the backward solve about as much as the forward one
        step = evaluation if name == "reference" else evaluation * max(evaluations, 4)
        if 2 * step > budget:
            raise Unfit(f"a step would take about {step:.2g} s; the limit for all its steps is {budget:.3g} s")

    def check(self, folder: str, made_by: bool) -> dict[str, Any]:
        """Return loss and gradient from the equilibrium that the maker stored; ``made_by`` is the maker."""
        path = os.path.join(folder, "equilibrium.safetensors")
        if made_by:
            assert isinstance(self.contender, Native)
            zeros = self.contender.x.new_zeros(len(self.contender.x), self.contender.cell.qubits)
            self.contender.equilibrium(zeros)
            found = self.contender.found
            save_file({"y0": found.value.detach().cpu(), "counted": (found.status == 0).cpu()}, path)
        stored = load_file(path)
        y0, counted = stored["y0"], stored["counted"]
        loss, gradient = self.contender.check(y0, counted)
        return {"loss": loss, "gradient": gradient.tolist(), "counted": int(counted.sum())}

    def turn(self) -> dict[str, Any]:
        """Train from the first weights, step after step as training does, for at least :data:`TURN_SECONDS`."""
        self.contender.reset()
        seconds: list[float] = []
        while sum(seconds) < TURN_SECONDS:
            self.meter.synchronise()
            begin = time.perf_counter()
            loss = self.contender.step()
            self.meter.synchronise()
            seconds.append(time.perf_counter() - begin)
        return {
            "seconds": seconds,
            "loss": loss,
            "peak_bytes": self.meter.peak(),
            "evaluations": self.contender.evaluations,
            "failed": self.contender.failed,
        }

    def floor(self) -> dict[str, Any]:
        """Count one step and measure what its operations cost by themselves."""
        return dict(floor_of(self.contender.step, self.contender.cell.device, self.meter.synchronise))


def answer(action: Callable[..., dict[str, Any]], request: dict[str, Any]) -> dict[str, Any]:
    """Run a request; what went wrong becomes a reason."""
    try:
        return action(**request)
    except Unfit as reason:
        return {"unfit": str(reason)}
    except (MemoryError, torch.OutOfMemoryError) as error:
        return {"unfit": f"out of memory: {first_line(error)}"}
    except Exception as error:
        text = first_line(error)
        short = "DefaultCPUAllocator" in text or "not enough memory" in text or "alloc" in text
        return {"unfit": "out of memory" if short else f"{type(error).__name__}: {text}"}


def first_line(error: BaseException) -> str:
    """Return the beginning of an error's message."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:160]


def readable(size: float) -> str:
    """Return a number of bytes as text."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size < 1024:
            return f"{size:.3g} {unit}"
        size /= 1024
    return f"{size:.3g} TiB"


def main() -> None:
    replies = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever a library prints must not end up among the answers
    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    worker = Worker()
    for line in sys.stdin:
        request = json.loads(line)
        action = request.pop("do")
        if action == "stop":
            break
        print(json.dumps(answer(getattr(worker, action), request)), file=replies, flush=True)


if __name__ == "__main__":
    main()
