"""All solvers on one subject."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

from qdeq._version import __version__
from qdeq.errors import PluginError, QdeqError, SolverError, plural
from qdeq.plugins import SOLVERS
from qdeq.solvers import Solver, get_solver
from qdeq.spec import ExperimentSpec
from qdeq.study.measure import measure
from qdeq.study.result import SolverResult, SolverStudy
from qdeq.study.subject import Subject
from qdeq.training.environment import cpu_threads

TOLERANCES = (1e-2, 1e-3, 1e-4, 1e-5, 1e-6)
"""Relative residuals that evaluations are counted to, unless others are named."""

SHARED = ("max_steps", "rtol", "atol")
"""What every solver takes from the experiment."""

FIXED = ("rtol", "atol")
"""What no solver may have of its own: they would not be asked for the same."""


def study_solvers(
    subject: Subject,
    solvers: Sequence[str | Mapping[str, Any]] | None = None,
    *,
    tolerances: Sequence[float] = TOLERANCES,
    progress: Callable[[str], None] | None = None,
) -> SolverStudy:
    """Solve a subject's samples with every solver.

    All have the tolerance and the step budget of the experiment's solver section, which also gives its own solver's
    other options; those of the others are their defaults.

    Args:
        subject: See :class:`~qdeq.study.subject.Subject`.
        solvers: Names, or mappings with options; by default the experiment's own solver and all registered ones that
            need no options.
        tolerances: Relative residuals to count evaluations to.
        progress: Told which solver is measured.

    Raises:
        PluginError: There is no solver of a name.
        SolverError: An option that a solver does not have, a tolerance that the precision cannot resolve, or no solver
            that did not fail.
    """
    tell = progress or (lambda message: None)
    spec = subject.spec
    asked = _checked(tolerances, spec.training.precision)
    built, notes = _usual(spec) if solvers is None else (_named(solvers, spec), [])
    results = []
    with cpu_threads(spec.training.threads, spec.model.qubits):  # as in training: so are the seconds
        for name, solver in built:
            tell(label(name, solver))
            results.append(_studied(subject, name, solver, asked))
    shared = {key: spec.solver.choice()[key] for key in SHARED}
    return SolverStudy(
        name=spec.name,
        spec_hash=spec.content_hash,
        qdeq_version=__version__,
        weights=subject.weights,
        images=subject.images,
        samples=len(subject.y0),
        qubits=spec.model.qubits,
        encoding=spec.model.encoding,
        backend=spec.backend["name"],
        precision=spec.training.precision,
        **shared,
        tolerances=asked,
        results=tuple(results),
        notes=(*notes, *_notes(spec)),
    )


def label(name: str, solver: Solver) -> str:
    """Return a solver's name, with those of its own options that differ from what it has without them."""
    shared = {key: getattr(solver, key) for key in SHARED}
    try:
        usual: Any = get_solver({"name": name, **shared})
    except SolverError:  # it has options that have to be given
        usual = None
    changed = [
        f"{field.name}={_short(getattr(solver, field.name))}"
        for field in dataclasses.fields(solver)
        if field.name not in SHARED and getattr(solver, field.name) != getattr(usual, field.name, None)
    ]
    return f"{name} ({', '.join(changed)})" if changed else name


def _short(value: Any) -> str:
    """Return an option's value for a label: of a solver among the options the name alone."""
    if isinstance(value, Mapping) and "name" in value:
        return str(value["name"])
    return "+".join(map(_short, value)) if isinstance(value, list | tuple) else str(value)


def _checked(tolerances: Sequence[float], precision: str) -> tuple[float, ...]:
    """Return them from the largest to the smallest."""
    unit = torch.finfo(getattr(torch, precision)).eps
    for tolerance in tolerances:
        if not (math.isfinite(tolerance) and 0 < tolerance < 1):
            raise SolverError(f"tolerance {tolerance:g}: a relative residual lies between 0 and 1, such as 1e-4")
        if tolerance < unit:
            other = "" if precision == "float64" else "; --set training.precision=float64"
            raise SolverError(f"tolerance {tolerance:g}: {precision} resolves no less than {unit:.1e}{other}")
    if not tolerances:
        raise SolverError("a study needs at least one tolerance, such as 1e-4")
    return tuple(sorted(set(tolerances), reverse=True))


def _named(solvers: Sequence[str | Mapping[str, Any]], spec: ExperimentSpec) -> list[tuple[str, Solver]]:
    """Build the solvers, each once; a bare name of the experiment's own one has the experiment's options."""
    own = spec.solver.choice()
    found: list[tuple[str, Solver]] = []
    for choice in solvers:
        options = {"name": choice} if isinstance(choice, str) else dict(choice)
        if fixed := [key for key in FIXED if key in options]:
            raise SolverError(
                f"solver {options.get('name')!r}: {fixed[0]} is the same for all solvers of a study; "
                f"--set solver.{fixed[0]}={options[fixed[0]]} sets it"
            )
        given = own if options == {"name": own["name"]} else {**{key: own[key] for key in SHARED}, **options}
        made = (str(options.get("name")), get_solver(given))
        if made not in found:
            found.append(made)
    if not found:
        raise SolverError("a study needs at least one solver; `qdeq solvers` lists them")
    return found


def _usual(spec: ExperimentSpec) -> tuple[list[tuple[str, Solver]], list[str]]:
    """Return the experiment's own solver, then all that need no options; and a note for each one left out."""
    own = spec.solver.name
    found, notes = _named([own], spec), []
    for name in SOLVERS.names():
        if name == own:
            continue
        try:
            found += _named([name], spec)
        except (SolverError, PluginError) as error:  # it needs options, or is a plug-in that is broken
            notes.append(f"Left out: {str(error).splitlines()[0]}")
    return found, notes


def _studied(subject: Subject, name: str, solver: Solver, tolerances: Sequence[float]) -> SolverResult:
    row = SolverResult(label(name, solver), {"name": name, **dataclasses.asdict(solver)}, "studied")
    try:
        solve, reached, curve = measure(subject, solver, tolerances)
    except Exception as error:  # a plug-in may fail in any way; it is named, and the others go on
        first = (str(error).splitlines() or [""])[0]
        reason = first if isinstance(error, QdeqError) else f"{type(error).__name__}: {first}"
        return dataclasses.replace(row, outcome="failed", reason=reason)
    return dataclasses.replace(row, solve=solve, reached=reached, curve=curve)


def _notes(spec: ExperimentSpec) -> list[str]:
    notes = []
    if spec.model.layers is not None:
        notes.append(
            f"The experiment is DIRECT ({plural(spec.model.layers, 'layer')}): here its fixed point is solved for."
        )
    if spec.solver.fixed_steps is not None:
        notes.append(
            f"The experiment takes {plural(spec.solver.fixed_steps, 'step')} without a test; here there is a test."
        )
    if spec.solver.fallback:
        notes.append("The experiment's fallback solvers are not tried: each row is one solver by itself.")
    return notes
