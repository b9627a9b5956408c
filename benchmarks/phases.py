"""Where a step's time goes: timers around its phases, and PyTorch's own profile of its calls."""

from __future__ import annotations

import contextlib
import functools
import statistics
import time
from collections.abc import Callable, Iterator
from typing import Any

import torch

import qdeq.backends.torch as torch_backend
import qdeq.equilibrium
from benchmarks.contenders import Native
from benchmarks.problem import Cell
from qdeq.adjoints import DenseAdjoint
from qdeq.backends import compile as compiling
from qdeq.backends.product_form import ProductForm
from qdeq.backends.quadratic_form import QuadraticForm
from qdeq.backends.torch import fusion
from qdeq.models import QuantumFunction

REST = "rest (read-out, loss, Python)"
SOLVE = "solver iterations"
COMPILE = ("compile: other", "compile: columns", "compile: forms", "backward: columns", "backward: forms and the rest")
PLACES = (
    (QuantumFunction, "at", COMPILE[0]),
    (fusion.FusedCircuit, "apply", COMPILE[1]),
    (compiling, "_forms", COMPILE[2]),
    (fusion._Propagation, "backward", COMPILE[3]),
    (torch.Tensor, "backward", COMPILE[4]),
    (QuadraticForm, "inject", "inject x"),
    (ProductForm, "inject", "inject x"),
    (torch_backend.Simulation, "inject", "inject x"),
    (qdeq.equilibrium, "solve_in_turn", SOLVE),
    (qdeq.equilibrium, "attach", "recorded evaluation"),
    (DenseAdjoint, "solve", "adjoint solve"),
    (torch.optim.Adam, "step", "optimiser"),
)
"""What is timed: owner, attribute, phase. Each phase's time is its own: what it calls into counts for the other."""


class Phases:
    """A stack of stopwatches.

    Args:
        synchronise: Waits for the device, where it works by itself.
    """

    def __init__(self, synchronise: Callable[[], None] = lambda: None) -> None:
        self.seconds: dict[str, float] = {}
        self._stack: list[str] = []
        self._since = 0.0
        self._synchronise = synchronise

    def _switch(self) -> None:
        self._synchronise()
        now = time.perf_counter()
        if self._stack:
            self.seconds[self._stack[-1]] = self.seconds.get(self._stack[-1], 0.0) + now - self._since
        self._since = now

    @contextlib.contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Time a block; the phase around it stands still meanwhile."""
        self._switch()
        self._stack.append(name)
        try:
            yield
        finally:
            self._switch()
            self._stack.pop()

    @contextlib.contextmanager
    def watching(self) -> Iterator[None]:
        """Put timers around :data:`PLACES`; the time of a name that is no longer there is its caller's."""
        with contextlib.ExitStack() as stack:
            for owner, attribute, name in PLACES:
                # what a class merely inherits is set on it, and taken away again
                original = vars(owner).get(attribute)
                function = getattr(owner, attribute, None)
                if function is None:
                    continue
                timed = self._timed(function, name)
                setattr(owner, attribute, staticmethod(timed) if isinstance(original, staticmethod) else timed)
                if original is None:
                    stack.callback(delattr, owner, attribute)
                else:
                    stack.callback(setattr, owner, attribute, original)
            yield

    def _timed(self, function: Callable[..., Any], name: str) -> Callable[..., Any]:
        @functools.wraps(function)
        def timed(*args: Any, **kwargs: Any) -> Any:
            with self.phase(name):
                return function(*args, **kwargs)

        return timed


def phases_of(cell: Cell, repetitions: int) -> tuple[dict[str, float], int]:
    """Return the median time [s] of each phase of qdeq's step, and the evaluations of its longest solve."""
    contender = Native(cell)
    synchronise = torch.cuda.synchronize if cell.device == "cuda" else lambda: None
    runs = []
    for _ in range(repetitions + 2):  # two warm-ups
        phases = Phases(synchronise)
        with phases.watching(), phases.phase(REST):
            contender.step()
        runs.append(phases.seconds)
    names = [name for *_, name in PLACES if any(name in run for run in runs)]
    medians = {name: statistics.median(run.get(name, 0.0) for run in runs[2:]) for name in dict.fromkeys(names)}
    medians[REST] = statistics.median(run[REST] for run in runs[2:])
    return medians, contender.evaluations


def profile_table(cell: Cell, depths: tuple[int, ...], repetitions: int) -> str:
    """Return the phases of qdeq's step as a Markdown table, one column for each depth."""
    from dataclasses import replace

    columns = [phases_of(replace(cell, depth=depth), repetitions) for depth in depths]
    names = list(columns[0][0])
    lines = [
        f"{cell.qubits} qubits, {cell.encoding}, batch {cell.batch}, rtol {cell.rtol:g}: milliseconds (share of step)",
        "",
        "| phase | " + " | ".join(f"depth {depth}x" for depth in depths) + " |",
        "| --- |" + " ---: |" * len(depths),
    ]

    def row(name: str, pick: Callable[[dict[str, float]], float]) -> str:
        shares = [f"{pick(times) * 1e3:.2f} ({pick(times) / sum(times.values()) * 100:.0f} %)" for times, _ in columns]
        return f"| {name} | " + " | ".join(shares) + " |"

    lines += [row(name, lambda times, name=name: times.get(name, 0.0)) for name in names]
    lines.append(row("**step**", lambda times: sum(times.values())))
    lines.append(row("all but compile and backward", lambda t: sum(s for name, s in t.items() if name not in COMPILE)))
    lines.append("| evaluations, longest solve | " + " | ".join(str(count) for _, count in columns) + " |")
    return "\n".join(lines)


def calls_table(cell: Cell, rows: int = 15) -> str:
    """Return PyTorch's profile of one step: its dearest calls by their own time."""
    contender = Native(cell)
    for _ in range(3):
        contender.step()
    activities = [torch.profiler.ProfilerActivity.CPU]
    if cell.device == "cuda":
        activities.append(torch.profiler.ProfilerActivity.CUDA)
    with torch.profiler.profile(activities=activities) as profile:
        contender.step()
    key = "self_cuda_time_total" if cell.device == "cuda" else "self_cpu_time_total"
    return str(profile.key_averages().table(sort_by=key, row_limit=rows, max_name_column_width=40))
