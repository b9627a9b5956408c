"""Solvers under shots on QDEQ instances, judged exactly: ``python -m benchmarks.shots --out runs/shots``."""

from __future__ import annotations

import argparse
import json
import sys
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
from pydantic.dataclasses import dataclass as solver_options
from torch import Tensor

from benchmarks.instances import Group, draw, spec_of
from benchmarks.tables import changed_since, describe, machine
from qdeq.backends import ShotKey
from qdeq.errors import ConvergenceWarning
from qdeq.solvers import (
    SOLVER_CONFIG,
    Anderson,
    Broyden,
    GrowingShots,
    Naive,
    Newton,
    Problem,
    Solution,
    Solver,
    Status,
    solve,
)

AVERAGED = 4
"""Values of f that are averaged from the end of a solve on, a plain step after each (Polyak and Ruppert's average)."""

Way = Callable[[Any, Tensor, tuple[Tensor, ...]], Solution]


class Steps(NamedTuple):
    """The number of steps taken."""

    taken: int


@solver_options(frozen=True, kw_only=True, config=SOLVER_CONFIG)
class Decreasing(Solver):
    """Plain steps, the k-th one damped by ``k^-0.7``: stochastic approximation (H. Robbins and S. Monro, 1951)."""

    def init(self, y0: Tensor, f0: Tensor) -> Steps:
        """Return that no step has been taken."""
        return Steps(0)

    def step(self, problem: Problem, state: Steps, y: Tensor, fy: Tensor) -> tuple[Tensor, Steps]:
        """Return the next iterate."""
        return torch.lerp(y, fy, (state.taken + 1) ** -0.7), Steps(state.taken + 1)


def ways(shots: int) -> dict[str, Way]:
    """Return what is compared: solvers, shots that grow, a fixed number of steps, and an average at the end."""
    solvers = {
        "broyden": Broyden(),
        "anderson": Anderson(),
        "newton": Newton(),
        "naive": Naive(),
        "naive, damping 0.5": Naive(damping=0.5),
        "naive, decreasing damping": Decreasing(),
        "broyden, 5 fixed steps": Broyden(max_steps=5, rtol=0.0, atol=0.0),
    }
    found: dict[str, Way] = {
        name: lambda f, y0, rows, solver=solver: solve(solver, f, y0, rows)  # type: ignore[misc]
        for name, solver in solvers.items()
    }
    for part in (4, 16):
        found[f"broyden, from shots / {part}"] = lambda f, y0, rows, first=shots // part: solve(  # type: ignore[misc]
            Broyden(), GrowingShots(f, first), y0, rows
        )
    found[f"broyden, then the mean of {AVERAGED}"] = averaged
    return found


def averaged(f: Any, y0: Tensor, rows: tuple[Tensor, ...]) -> Solution:
    """Solve, and then take the mean of f at the end and after each of some plain steps from there."""
    solution = solve(Broyden(), f, y0, rows)
    y, total = solution.value, torch.zeros_like(y0)
    for number in range(AVERAGED):
        y = f.at_evaluation(10_000 + number)(y, *rows)
        total += y
    more = {"evaluations": solution.evaluations + AVERAGED, "shots": solution.shots + AVERAGED * f.shots}
    return Solution(**{**vars(solution), **more, "value": total / AVERAGED})


@dataclass(frozen=True, eq=False)
class Outcome:
    """One way on some instances, each ``[B]``: what it took, how it ended, and what the exact f says of its value."""

    status: Tensor
    evaluations: Tensor
    shots: Tensor
    noise: Tensor
    residual: Tensor
    error: Tensor

    @classmethod
    def join(cls, parts: Sequence[Outcome]) -> Outcome:
        """Put groups together."""
        return cls(**{name: torch.cat([getattr(part, name) for part in parts]) for name in vars(parts[0])})

    def figures(self) -> dict[str, float]:
        """Return what the table shows."""
        size, known = len(self.status), self.error[~self.error.isnan()]
        return {
            "instances": size,
            "noise_limited": int((self.status == Status.NOISE_LIMITED).sum()) / size,
            "failed": int(sum((self.status == status).sum() for status in Status if status.failed)) / size,
            "evaluations": self.evaluations.double().mean().item(),
            "evaluations_p95": self.evaluations.double().quantile(0.95, interpolation="higher").item(),
            "shots": self.shots.double().mean().item(),
            "residual": self.residual.square().mean().sqrt().item(),
            "residual_in_noise": (self.residual / self.noise).square().mean().sqrt().item(),
            "error_median": known.median().item(),
        }


def run(way: Way, group: Group, shots: int, seed: int) -> Outcome:
    """Solve the instances of a group with so many shots, and look at the values with exact expectations."""
    parts = []
    for number, (exact, y0, exact_rows) in enumerate(group.problems("float64")):
        f_exact: Any = exact
        model, x = group.models[number], group.features[number]
        with torch.no_grad():
            measured = model.function.at(model.weights, shots=shots, key=ShotKey(seed, step=number))
            f, rows = measured.inject(x, model.state_scale, model.state_size)
            solution = way(f, y0, rows)
            goal = solve(Broyden(rtol=1e-10, max_steps=200), f_exact, y0, exact_rows)
            residual = torch.linalg.vector_norm(f_exact(solution.value, *exact_rows) - solution.value, dim=1)
        error = torch.linalg.vector_norm(solution.value - goal.value, dim=1).masked_fill(~goal.converged, torch.nan)
        assert solution.shots is not None
        assert solution.noise is not None
        spent = (solution.evaluations, solution.shots, solution.noise)
        parts.append(Outcome(solution.status, *spent, residual, error))
    return Outcome.join(parts)


HEADINGS = {
    "noise_limited": ("limited by noise", "{:.1%}"),
    "failed": ("failed", "{:.1%}"),
    "evaluations": ("evaluations", "{:.2f}"),
    "evaluations_p95": ("95 %", "{:.0f}"),
    "shots": ("shots", "{:,.0f}"),
    "residual": ("true residual", "{:.4f}"),
    "residual_in_noise": ("in units of the noise", "{:.2f}"),
    "error_median": ("error, median", "{:.4f}"),
}


def table(figures: dict[int, dict[str, dict[str, float]]]) -> str:
    """Return the Markdown table of ``figures[shots][way]``."""
    lines = ["| shots | way | " + " | ".join(head for head, _ in HEADINGS.values()) + " |"]
    lines.append("| ---: | --- |" + " ---: |" * len(HEADINGS))
    for shots, rows in figures.items():
        for way, row in rows.items():
            cells = (form.format(row[key]) for key, (_, form) in HEADINGS.items())
            lines.append(f"| {shots:,} | {way} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def parser() -> argparse.ArgumentParser:
    parse = argparse.ArgumentParser(prog="python -m benchmarks.shots", description=__doc__)
    parse.add_argument("--instances", type=int, default=400, help="in all four groups together (%(default)s)")
    parse.add_argument(
        "--models", type=int, nargs=2, default=(5, 2), metavar="N", help="draws of weights, trainings (5 2)"
    )
    parse.add_argument(
        "--shots", type=int, nargs="+", default=[100, 1000, 10_000], help="of an evaluation (%(default)s)"
    )
    parse.add_argument("--ways", nargs="+", metavar="NAME", help="as in the table (default: all of them)")
    parse.add_argument("--seed", type=int, default=0, help="of weights, trainings, images and shots (%(default)s)")
    parse.add_argument("--threads", type=int, default=1, help="threads of PyTorch (%(default)s)")
    parse.add_argument("--out", type=Path, help="folder for shots.json and shots.md")
    return parse


def main(arguments: Sequence[str] | None = None) -> int:
    parse = parser()
    options = parse.parse_args(arguments)
    if unknown := set(options.ways or ()) - set(ways(100)):
        parse.error(f"--ways {', '.join(sorted(unknown))}: there are {', '.join(ways(100))}")
    torch.set_num_threads(options.threads)
    warnings.simplefilter("ignore", ConvergenceWarning)  # of the trainings
    facts = machine(options.threads)
    print(describe(facts), end="\n\n", flush=True)
    groups = draw(options.instances, options.seed, models=tuple(options.models))
    data = "MNIST-4" if spec_of("amplitude", 0).data.dataset["name"] == "mnist" else "digits"
    figures: dict[int, dict[str, dict[str, float]]] = {}
    for shots in options.shots:
        figures[shots] = {}
        for name, way in ways(shots).items():
            if options.ways is None or name in options.ways:
                print(f"{shots} shots: {name}", file=sys.stderr, flush=True)
                parts = [run(way, group, shots, options.seed) for group in groups]
                figures[shots][name] = Outcome.join(parts).figures()
    about = f"{options.instances} instances of {data}, seed {options.seed}, 4 qubits, y0 = 0, rtol 1e-4, 50 steps"
    text = f"{about}\n\n{table(figures)}"
    print(text, changed_since(facts), sep="\n\n")
    if options.out:
        options.out.mkdir(parents=True, exist_ok=True)
        raw = {"machine": facts, "about": about, "results": figures}
        (options.out / "shots.json").write_text(json.dumps(raw, indent=1, ensure_ascii=False) + "\n")
        (options.out / "shots.md").write_text(f"{describe(facts)}\n\n{text}\n\n{changed_since(facts)}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
