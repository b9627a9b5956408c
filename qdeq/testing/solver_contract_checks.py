"""Checks of how a solver behaves as an object: purity, precision, devices, options."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import torch

from qdeq.solvers import Solution, solve
from qdeq.testing.comparison import Mismatch
from qdeq.testing.problems import linear
from qdeq.testing.solve_checks import TABLE, with_jacobian
from qdeq.testing.solver_harness import check
from qdeq.testing.solver_subject import ATOL, PATIENCE, RTOL, NotTried, SolverSubject
from qdeq.testing.surroundings import changed_since, surroundings, unusual_generators

UNIQUE = 9
"""Length of a state that nothing else in the kit has."""
SHORT = 25
"""Steps that show whether a solver is pure, and where its tensors are; memories of 20 have restarted by then."""
FINEST = 1e-12
"""Relative tolerance that float64 can meet on a contraction: rounding is 1e-16 an operation."""
SINGLE = 1e-5
"""The same in float32: rounding is 6e-8 an operation."""
SAME_ON_DEVICE = 1e-5
"""Two devices sum in other orders, so a solve to rtol 1e-6 may end a step earlier on one; conditioning 2, and room."""


def _precisions(subject: SolverSubject) -> Mapping[str, tuple[str, torch.dtype, float]]:
    return {
        f"{name}, {str(dtype).removeprefix('torch.')}": (name, dtype, rtol)
        for name in ("contraction", "cosine")
        for dtype, rtol in ((torch.float64, FINEST), (torch.float32, SINGLE))
    }


@check("precision", _precisions)
def precision(subject: SolverSubject, case: tuple[str, torch.dtype, float]) -> None:
    """float32 and float64 go in, are computed in and come out; float64 is as fine as it can be."""
    name, dtype, rtol = case
    if not subject.solved(TABLE[name]).solution.all_converged:
        raise NotTried("converges")
    run = subject.solve(TABLE[name].make().to(dtype), rtol=rtol, atol=0.0, max_steps=PATIENCE)
    for what in ("value", "residual", "relative_residual"):
        found = getattr(run.solution, what).dtype
        if found != dtype:
            raise Mismatch(f"{what} has another type than y0", dtype, found)
    asked = {call.dtype for call in run.witness.calls}
    if asked != {dtype}:
        raise Mismatch("f was asked in another type than y0", dtype, ", ".join(map(str, asked)))
    coarser = [other for other in run.witness.dtypes if torch.finfo(other).bits < torch.finfo(dtype).bits]
    if coarser:
        raise Mismatch("the state holds numbers of a coarser type than y", dtype, coarser[0])
    if not run.solution.all_converged:
        raise Mismatch(f"no convergence to rtol {rtol:g} in {dtype}", rtol, run.solution.relative_residual)


def _devices(subject: SolverSubject) -> Mapping[str, str]:
    return {"tensors made by init and step": "cpu", **({"cuda": "cuda"} if torch.cuda.is_available() else {})}


@check("device", _devices)
def device(subject: SolverSubject, where: str) -> None:
    """Whatever init and step make is on y's device: nothing on the host meets it, and results come back there."""
    subject.solved(TABLE["contraction"])
    for instance in (TABLE["contraction"].make(), with_jacobian(TABLE["slow-contraction"].make())):
        run = subject.solve(instance.to(device=where), max_steps=SHORT, closely=where == "cpu")
        if where == "cpu" and run.witness.host:
            raise Mismatch(f"fails on another device: {run.witness.host[0]}", "device=y.device", "the host")
        if where != "cpu":
            if run.solution.value.device.type != where:
                raise Mismatch("the value is on another device than y0", where, run.solution.value.device)
            host = subject.solve(instance, max_steps=SHORT).solution.value
            subject.compare("the values there and on the CPU", host, run.solution.value, SAME_ON_DEVICE)


def _arguments(subject: SolverSubject) -> None:
    """Nothing that init, step and f are given is changed."""
    for name in ("contraction", "no-root", "mixed-difficulty"):
        instance = TABLE[name].make()
        run = subject.solve(instance, max_steps=SHORT, closely=True)
        if run.witness.changed:
            raise Mismatch(f"changed in place: {run.witness.changed[0]}", "a new tensor", "another content")
        for old, new in zip((instance.y0, *instance.args), run.given, strict=True):
            if not torch.equal(old, new):
                raise Mismatch("y0 or an argument of f was changed in place", old, new)


def _repeated(subject: SolverSubject) -> None:
    """A second solve gives the same, with other solves in between."""
    solver = replace(subject.solver, max_steps=SHORT, rtol=RTOL, atol=ATOL)
    problems = {name: TABLE[name].make() for name in ("contraction", "rotation-1.05", "several-roots")}
    # of a shape that no other solve has: what is kept by shape is empty before, and of another problem in between
    problems |= {f"{rate:g} y + b": linear(rate * torch.eye(UNIQUE), batch=UNIQUE - 2) for rate in (0.7, -0.4)}

    def all_of_them() -> dict[str, Solution]:
        return {name: solve(solver, case.f, case.y0, case.args) for name, case in problems.items()}

    options = repr(solver)
    first, second = all_of_them(), all_of_them()
    if repr(solver) != options:
        raise Mismatch("the solver's own options changed", options, solver)
    for name in problems:
        for what in ("value", "status", "steps", "evaluations"):
            one, two = getattr(first[name], what), getattr(second[name], what)
            if not torch.equal(one, two):
                raise Mismatch(f"a second solve of {name} gives another {what}", one, two)


def _shared(subject: SolverSubject) -> None:
    """What the whole process shares stays as it is: global random generators, defaults of PyTorch, warnings."""
    for instance in (TABLE["contraction"].make(), with_jacobian(TABLE["slow-contraction"].make())):
        with unusual_generators():
            before = surroundings()
            run = subject.solve(instance, max_steps=SHORT, closely=True)
            left = [*run.witness.left, *changed_since(before)]
        if left:
            raise Mismatch(
                f"the solver changes {left[0]}, for everybody",
                "a torch.Generator with a seed of its own, or a context manager that puts the setting back",
                f"changed: {', '.join(dict.fromkeys(left))}",
            )


PURITY = {"arguments": _arguments, "a second solve": _repeated, "what the process shares": _shared}


@check("purity", lambda subject: PURITY)
def purity(subject: SolverSubject, part: Callable[[SolverSubject], None]) -> None:
    """The same inputs give the same results, and leave arguments, solver, random generators and settings alone."""
    subject.solved(TABLE["contraction"])
    part(subject)
