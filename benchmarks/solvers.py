"""Solvers on 1 000 QDEQ instances, TorchDEQ's beside ours: ``python -m benchmarks.solvers --out runs/solvers``."""

from __future__ import annotations

import argparse
import dataclasses
import importlib.util
import json
import sys
import warnings
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks.instances import CONFIGS, Group, draw, spec_of
from benchmarks.tables import changed_since, describe, machine
from benchmarks.torchdeq_solvers import PEERS, Peer, first_hit
from qdeq.errors import ConvergenceWarning, QdeqError
from qdeq.plugins import SOLVERS
from qdeq.solvers import Solver, get_solver, solve
from qdeq.spec import load_spec

RTOL, ATOL, STEPS = 1e-5, 1e-6, 50
PRECISIONS = ("float32", "float64")
ROUNDING = {"float32": 2e-6, "float64": 1e-13}
"""How far ``||f(y) - y||`` of four expectations may be off in a precision: some tens of roundings of numbers near 1."""
WANTED = 0.995
"""Share of the instances that the solver of the shipped experiments has to converge on."""
PAIRS = {
    "broyden": ("torchdeq broyden, memory 20", "torchdeq broyden, as it comes"),
    "anderson": ("torchdeq anderson, λ 1e-10", "torchdeq anderson, as it comes"),
}
"""Ours has to take no more evaluations than the first, which has the same settings; the second is for information."""


@dataclass(frozen=True, eq=False)
class Outcome:
    """A contender on all instances of a group.

    Attributes:
        evaluations: ``[B]`` int64; the budget, or more, where it failed.
        converged: ``[B]`` bool, as it says itself.
        false: ``[B]`` bool, whether that contradicts the residual of the same point in float64.
        failures: Number of instances by status.
    """

    evaluations: Tensor
    converged: Tensor
    false: Tensor
    failures: dict[str, int]

    @classmethod
    def join(cls, parts: Sequence[Outcome]) -> Outcome:
        """Put groups together."""
        failures: dict[str, int] = {}
        for part in parts:
            for status, number in part.failures.items():
                failures[status] = failures.get(status, 0) + number
        tensors = (torch.cat([getattr(part, name) for part in parts]) for name in ("evaluations", "converged", "false"))
        return cls(*tensors, failures)

    def figures(self) -> dict[str, Any]:
        """Return what the table shows."""
        spent = self.evaluations.double()
        return {
            "instances": len(spent),
            "converged": int(self.converged.sum()),
            "failures": self.failures,
            "false": int(self.false.sum()),
            "mean": spent.mean().item(),
            "median": spent.median().item(),
            "p95": spent.quantile(0.95, interpolation="higher").item(),
            "largest": int(spent.max()),
        }


def contenders() -> dict[str, Solver | Peer]:
    """Return the shipped experiments' solvers, all of ours that need no options, and TorchDEQ's; at one tolerance."""
    found: dict[str, Solver | Peer] = {}
    for file in sorted(CONFIGS.glob("*.yaml")):
        choice = load_spec(file).solver.choice()
        solver = get_solver({**choice, "rtol": RTOL, "atol": ATOL})
        if solver not in found.values():
            found[f"shipped: {choice['name']}, {solver.max_steps} steps"] = solver
    for name in SOLVERS.names():
        try:
            found[name] = get_solver({"name": name, "rtol": RTOL, "atol": ATOL, "max_steps": STEPS})
        except QdeqError as error:
            print(f"left out: {error}", file=sys.stderr)
    return {**found, **PEERS}


def run(contender: Solver | Peer, group: Group, precision: str) -> Outcome:
    """Solve the instances of a group; one at a time where they would not be independent."""
    parts = []
    for problem, exact in zip(list(group.problems(precision)), list(group.problems("float64")), strict=True):
        f, y0, rows = problem
        if isinstance(contender, Peer):
            singles = zip(y0.split(1), *(row.split(1) for row in rows), strict=True)
            limits = {"rtol": RTOL, "atol": ATOL, "budget": STEPS + 1}
            found = [first_hit(contender, f, start, tuple(row), **limits) for start, *row in singles]
            spent = torch.tensor([evaluations for evaluations, _, _ in found])
            value, converged = torch.cat([point for _, point, _ in found]), torch.tensor([met for *_, met in found])
            failed = int((~converged).sum())
            failures = {"failed": failed} if failed else {}
        else:
            solution = solve(contender, f, y0, rows)
            spent, value, converged = solution.evaluations, solution.value, solution.converged
            failures = {status.name.lower(): n for status, n in solution.counts().items() if n and status.failed}
        parts.append(Outcome(spent, converged, _false(exact, value, converged, ROUNDING[precision]), failures))
    return Outcome.join(parts)


def _false(exact: tuple[Any, Tensor, tuple[Tensor, ...]], value: Tensor, converged: Tensor, rounding: float) -> Tensor:
    """Return where the criterion, recomputed in float64 at the returned point, says otherwise by more than rounding."""
    f, _, rows = exact
    y = value.double()
    fy = f(y, *rows)
    excess = torch.linalg.vector_norm(fy - y, dim=1) - (ATOL + RTOL * torch.linalg.vector_norm(fy, dim=1))
    return torch.where(converged, excess > rounding, excess <= -rounding) | ~fy.isfinite().all(dim=1)


@dataclass(frozen=True)
class Verdict:
    """Whether something that has to be reached is (None: nothing has to be), and the figures."""

    text: str
    met: bool | None

    def __str__(self) -> str:
        """Return a line."""
        return self.text + {True: ": met", False: ": NOT met", None: ""}[self.met]


def verdicts(found: dict[str, Outcome], precision: str) -> list[Verdict]:
    """Return one for the shipped solvers, one for all statuses, and one for each pair of :data:`PAIRS`."""
    results = []
    for name, outcome in found.items():
        if name.startswith("shipped"):
            share = outcome.converged.double().mean().item()
            results.append(Verdict(f"{name}: {share:.2%} converged, at least {WANTED:.1%} wanted", share >= WANTED))
    false = {name: int(outcome.false.sum()) for name, outcome in found.items() if name not in PEERS}
    results.append(
        Verdict(f"statuses of ours that float64 contradicts: {sum(false.values())}", not any(false.values()))
    )
    for ours, others in PAIRS.items():
        for number, theirs in enumerate(others):
            if ours in found and theirs in found:
                verdict = _compared(ours, found[ours], theirs, found[theirs])
                results.append(verdict if number == 0 else dataclasses.replace(verdict, met=None))
    return [dataclasses.replace(verdict, text=f"{precision}: {verdict.text}") for verdict in results]


def _compared(ours: str, a: Outcome, theirs: str, b: Outcome) -> Verdict:
    """Compare mean evaluations where both converge, and over all instances, failures at what they spent."""
    both = a.converged & b.converged
    means = [[outcome.evaluations[rows].double().mean().item() for outcome in (a, b)] for rows in (both, both | True)]
    text = (
        f"{ours} against {theirs}: {means[0][0]:.3f} and {means[0][1]:.3f} evaluations where both converge "
        f"({int(both.sum())}), {means[1][0]:.3f} and {means[1][1]:.3f} with failures at the budget; fewer on "
        f"{int((a.evaluations < b.evaluations).sum())}, more on {int((a.evaluations > b.evaluations).sum())}"
    )
    return Verdict(text, all(first <= second for first, second in means))


def table(figures: dict[str, dict[str, dict[str, Any]]], groups: Sequence[str]) -> str:
    """Return the table of ``figures[precision][contender]``; last the mean evaluations in each of the groups."""
    head = ("solver", "precision", "converged", "failures", "false", "mean", "median", "95 %", "most", *groups)
    lines = [head, ("---", "---", *["---:"] * (len(head) - 2))]
    for name in next(iter(figures.values())):
        for precision, rows in figures.items():
            row = rows[name]
            failures = ", ".join(f"{number} {status}" for status, number in row["failures"].items())
            spent = (f"{row['mean']:.2f}", *(f"{row[key]:g}" for key in ("median", "p95", "largest")))
            parts = [f"{row['groups'][group]['mean']:.2f}" for group in groups]
            share = f"{row['converged']} of {row['instances']}"
            lines.append((name, precision, share, failures, str(row["false"]), *spent, *parts))
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def plot(path: Path, found: dict[str, dict[str, Outcome]], title: str) -> None:
    """Plot the share of instances not converged yet against evaluations: ours solid, TorchDEQ's dashed on top."""
    from matplotlib.figure import Figure

    from qdeq.reports.plots.style import FAINT, INK

    shown = {
        "naive": ("#999999", "-", 1.8),
        "newton": ("#009e73", "-", 1.8),
        "broyden": ("#0072b2", "-", 3.2),
        "torchdeq broyden, memory 20": ("#8cc8ee", (0, (3, 2)), 1.6),
        "anderson": ("#d55e00", "-", 3.2),
        "torchdeq anderson, λ 1e-10": ("#e69f00", (0, (3, 2)), 1.6),
        "torchdeq anderson, as it comes": ("#e69f00", (0, (1, 1)), 1.6),
    }
    figure = Figure(figsize=(11, 4.8), layout="constrained")
    for axes, (precision, outcomes) in zip(
        figure.subplots(1, len(found), sharey=True, squeeze=False)[0], found.items(), strict=True
    ):
        for name, (colour, style, width) in shown.items():
            if name not in outcomes:
                continue
            outcome = outcomes[name]
            counts = torch.arange(1, STEPS + 2)
            done = outcome.converged & (outcome.evaluations <= counts[:, None])
            left = 100 * (1 - done.double().mean(dim=1)).clamp_min(1e-9)
            axes.step(counts, left, where="post", color=colour, linestyle=style, linewidth=width, label=name)
        axes.set(xscale="log", yscale="log", xlim=(3, STEPS + 1), ylim=(0.07, 130), xlabel="evaluations of f")
        axes.set_xticks([3, 5, 10, 20, 50], ["3", "5", "10", "20", "50"])
        axes.minorticks_off()
        axes.set_title(precision, loc="left", fontsize=11, fontweight="bold", color=INK)
        axes.grid(color=FAINT, linewidth=0.6)
        axes.spines[["top", "right"]].set_visible(False)
    first = figure.axes[0]
    first.set_ylabel(f"instances not yet at rtol {RTOL:g} [%]", color=INK)
    first.set_yticks([0.1, 1, 10, 100], ["0.1", "1", "10", "100"])
    handles, names = first.get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=4, frameon=False, fontsize=9)
    figure.suptitle(title, fontsize=8, color=INK)
    figure.savefig(path, dpi=150)


def parser() -> argparse.ArgumentParser:
    parse = argparse.ArgumentParser(prog="python -m benchmarks.solvers", description=__doc__)
    parse.add_argument("--instances", type=int, default=1000, help="in all four groups together (%(default)s)")
    parse.add_argument(
        "--models", type=int, nargs=2, default=(25, 5), metavar="N", help="draws of weights, trainings (25 5)"
    )
    parse.add_argument("--seed", type=int, default=0, help="of weights, trainings and images (%(default)s)")
    parse.add_argument("--precisions", nargs="+", choices=PRECISIONS, default=list(PRECISIONS))
    parse.add_argument("--contenders", nargs="+", metavar="NAME", help="as in the table (default: all of them)")
    parse.add_argument("--threads", type=int, default=1, help="threads of PyTorch (%(default)s)")
    parse.add_argument("--out", type=Path, help="folder for solvers.json, solvers.md and solvers.png")
    return parse


def main(arguments: Sequence[str] | None = None) -> int:
    parse = parser()
    options = parse.parse_args(arguments)
    if options.instances < 4 or min(options.models) < 1:
        parse.error("there has to be one instance for each group, and one model of each kind")
    torch.set_num_threads(options.threads)
    warnings.simplefilter("ignore", ConvergenceWarning)  # of the trainings
    facts = machine(options.threads)
    print(describe(facts), end="\n\n", flush=True)
    asked = contenders()
    if options.contenders:
        if unknown := set(options.contenders) - set(asked):
            parse.error(f"--contenders {', '.join(sorted(unknown))}: there are {', '.join(asked)}")
        asked = {name: asked[name] for name in options.contenders}
    if importlib.util.find_spec("torchdeq") is None:
        print("left out: torchdeq is not installed (pip install --no-deps -r benchmarks/requirements.txt)", flush=True)
        asked = {name: contender for name, contender in asked.items() if not isinstance(contender, Peer)}
    groups = draw(options.instances, options.seed, models=tuple(options.models))
    data = "MNIST-4" if spec_of("amplitude", 0).data.dataset["name"] == "mnist" else "digits"

    found: dict[str, dict[str, Outcome]] = {}
    figures: dict[str, dict[str, dict[str, Any]]] = {}
    reached: list[Verdict] = []
    for precision in options.precisions:
        by_group = {}
        for name, contender in asked.items():
            print(f"{precision}: {name}", file=sys.stderr, flush=True)
            by_group[name] = [run(contender, group, precision) for group in groups]
        found[precision] = {name: Outcome.join(parts) for name, parts in by_group.items()}
        figures[precision] = {
            name: {
                **found[precision][name].figures(),
                "groups": {group.name: part.figures() for group, part in zip(groups, parts, strict=True)},
            }
            for name, parts in by_group.items()
        }
        reached += verdicts(found[precision], precision)

    about = f"{options.instances} instances of {data}, seed {options.seed}: rtol {RTOL:g}, atol {ATOL:g}, {STEPS} steps"
    lines = [f"- {verdict}" for verdict in reached]
    text = "\n\n".join([about, table(figures, [group.name for group in groups]), "\n".join(lines)])
    print(text, changed_since(facts), sep="\n\n")
    if options.out:
        options.out.mkdir(parents=True, exist_ok=True)
        raw = {
            "machine": facts,
            "about": about,
            "results": figures,
            "verdicts": [asdict(verdict) for verdict in reached],
        }
        (options.out / "solvers.json").write_text(json.dumps(raw, indent=1, ensure_ascii=False) + "\n")
        (options.out / "solvers.md").write_text(f"{describe(facts)}\n\n{text}\n\n{changed_since(facts)}\n")
        plot(options.out / "solvers.png", found, about)
    return 0


if __name__ == "__main__":
    sys.exit(main())
