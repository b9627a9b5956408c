"""One experiment on several backends, each measured like the native one."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from qdeq._version import __version__
from qdeq.backends import Backend, get_backend
from qdeq.compare import tolerances
from qdeq.compare.judge import ExactJudge, Native, ShotJudge
from qdeq.compare.measure import Subject, measure
from qdeq.compare.result import BackendResult, Comparison
from qdeq.errors import BackendError, BudgetError, PluginError, QdeqError, SpecError, UnsupportedError, plural
from qdeq.numbers import whole
from qdeq.plugins import BACKENDS, install_command
from qdeq.spec import ExperimentSpec

NATIVE = "torch"
"""The reference, with its default options."""

Choice = str | Mapping[str, Any] | Backend


def compare(
    spec: ExperimentSpec,
    backends: Sequence[Choice],
    *,
    samples: int = 8,
    steps: int = 3,
    tolerance: float | None = None,
    progress: Callable[[str], None] | None = None,
) -> Comparison:
    """Compare backends with the native one on the same samples, weights and solver, in float64.

    Args:
        spec: The experiment; its own backend does not matter.
        backends: Names, or mappings with options. The native backend is measured in any case.
        samples: Training images to measure on.
        steps: Steps of the short training.
        tolerance: One for every quantity, absolute (under shots in standard errors), in place of those that follow from
            precision, solver and shots.
        progress: Told what is measured.

    Raises:
        BackendError: No backend but the native one can be used, or an option that a backend does not have.
        PluginError: There is no backend of a name.
        SpecError: Samples or steps are no whole number.
        QdeqError: The data or the circuit cannot be had.
    """
    samples, steps = (
        whole(count, what, 1, error=SpecError) for count, what in ((samples, "samples"), (steps, "steps"))
    )
    tell = progress or (lambda message: None)
    rows = [_built(choice) for choice in _distinct(backends)]
    usable = [made for made in rows if isinstance(made, Backend)]
    if not usable:
        reasons = "; ".join(f"{row.label}: {row.reason}" for row in rows if isinstance(row, BackendResult))
        raise BackendError(
            f"there is nothing to compare the native backend ({NATIVE}) with: {reasons}"
            if reasons
            else f"there is nothing to compare the native backend ({NATIVE}) with; name others: --backends cirq,qsim"
        )
    subject = Subject.of(spec, samples)
    tell(f"{NATIVE} (native)")
    native = Native.of(subject, steps)
    if spec.shots is None:
        judge: ExactJudge | ShotJudge = ExactJudge(native, tolerance)
    else:
        tell(f"standard errors, by {tolerances.REPEATS} native runs")
        judge = ShotJudge.of(native, spec.shots, len(usable), tolerance, steps)
    reference = get_backend(NATIVE)
    results = [BackendResult(NATIVE, "native", reference.version, _precision(reference), cost=native.measured.cost)]
    for made in rows:
        if isinstance(made, Backend):
            tell(label(made))
        results.append(_judged(made, native, judge, steps) if isinstance(made, Backend) else made)
    return Comparison(
        name=spec.name,
        spec_hash=subject.spec.model_copy(update={"backend": {"name": NATIVE}}).content_hash,
        qdeq_version=__version__,
        samples=len(subject.labels),
        shots=spec.shots,
        qubits=spec.model.qubits,
        solver=spec.solver.choice(),
        fixed_steps=spec.solver.fixed_steps if spec.model.layers is None else None,
        layers=spec.model.layers,
        amplification=native.amplification,
        results=tuple(results),
        notes=_notes(spec, judge, results),
    )


def label(backend: Backend) -> str:
    """Return a backend's name, with the options that differ from their defaults."""
    fields = dataclasses.fields(backend)
    changed = [
        f"{field.name}={getattr(backend, field.name)}"
        for field in fields
        if field.default is not dataclasses.MISSING
        and getattr(backend, field.name) != field.default
        and f":{getattr(backend, field.name)}" not in backend.name
    ]
    return f"{backend.name} ({', '.join(changed)})" if changed else backend.name


def _distinct(backends: Sequence[Choice]) -> list[Choice]:
    """Drop the native backend and repetitions."""
    found: list[Choice] = []
    for choice in backends:
        if choice not in (NATIVE, {"name": NATIVE}) and choice not in found:
            found.append(choice)
    return found


def _built(choice: Choice) -> Backend | BackendResult:
    """Return the backend, or a row that says what is missing; what is wrong with the choice itself is raised."""
    try:
        made = get_backend(choice)
        _ = made.version, made.capabilities  # an adapter may import its package only here
        return made
    except (PluginError, BackendError, ImportError) as error:
        name = str(choice["name"] if isinstance(choice, Mapping) else choice)
        installed = name in BACKENDS.names() or name.partition(":")[0] in BACKENDS.names()
        missing = isinstance(error, ImportError) or "pip install" in str(error)
        if not missing and not (installed and isinstance(error, PluginError)):
            raise
        return BackendResult(name, "unavailable", reason=_remedy(name, error))


def _remedy(name: str, error: Exception) -> str:
    named = re.search(r"pip install \S+", str(error))
    command = named.group().rstrip(".,;") if named else _first_line(error)
    return install_command(name) or command


def _judged(backend: Backend, native: Native, judge: ExactJudge | ShotJudge, steps: int) -> BackendResult:
    row = BackendResult(label(backend), "compared", backend.version, _precision(backend))
    try:
        found = measure(native.subject, backend, steps=steps, at=native.measured.state)
    except (UnsupportedError, BudgetError) as error:
        return dataclasses.replace(row, outcome="refused", reason=str(error))
    except Exception as error:  # an adapter may fail in any way; it is named, and the others go on
        reason = str(error) if isinstance(error, QdeqError) else f"{type(error).__name__}: {_first_line(error)}"
        return dataclasses.replace(row, outcome="failed", reason=reason)
    return dataclasses.replace(
        row,
        differences=judge.differences(found, _precision(backend)),
        cost=found.cost,
        same_shots=judge.same_shots(found) if isinstance(judge, ShotJudge) else None,
    )


def _precision(backend: Backend) -> str:
    """Return what a backend simulates in when it is given float64."""
    return "float32" if backend.capabilities.precision == "float32" else "float64"


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


def _notes(spec: ExperimentSpec, judge: ExactJudge | ShotJudge, results: Sequence[BackendResult]) -> tuple[str, ...]:
    notes = []
    steps = spec.solver.fixed_steps
    if spec.model.layers is not None:
        notes.append(
            f"Direct mode: y* stands for the output of {plural(spec.model.layers, 'layer')}, and nothing is solved."
        )
    elif steps is not None:
        notes.append(f"Here every solve takes {plural(steps, 'step')}, without a test of convergence.")
    elif spec.shots is not None:
        notes.append("Under shots a solve ends where its residual cannot be told from their noise (limited by noise).")
    native = judge.native.measured
    failed = 0 if native.cost.converged is None else len(native.state) - native.cost.converged
    if failed and spec.shots is None:
        notes.append(
            f"Natively, {failed} of {plural(len(native.state), 'solve')} did not converge: what follows from their "
            "equilibria (y*, losses) is compared no closer than they got, and says little."
        )
    if judge.override is not None:
        unit = "" if spec.shots is None else " standard errors"
        notes.append(f"Every quantity has the tolerance {judge.override:g}{unit} that was asked for.")
    elif isinstance(judge, ShotJudge):
        notes.append(
            f"Differences of two samples of {judge.shots} shots, in standard errors. Where nothing is wrong, one of "
            f"the {judge.values:,} values is beyond its tolerance with a probability of at most "
            f"{tolerances.FALSE_ALARM:g}: f by Bernstein's inequality at the exact expectations, the rest by Student's "
            "t with standard errors from "
            f"{tolerances.REPEATS} native runs (and values near enough to normal). Same "
            "shots: f is native's shot for shot; rounding in complex64 may move a shot."
        )
    else:
        used = [precision for precision in tolerances.FUNCTION if any(row.precision == precision for row in results)]
        notes.append(
            "f within "
            + ", ".join(f"{tolerances.FUNCTION[p]:g} ({p})" for p in used)
            + "; derivatives within "
            + ", ".join(f"{tolerances.GRADIENT[p]:g} ({p})" for p in used)
            + ", gradients times the factor of the next line."
        )
        notes.append(_state_note(spec, judge))
    return tuple(notes)


def _state_note(spec: ExperimentSpec, judge: ExactJudge) -> str:
    factor = judge.native.amplification
    growth = f"doubled at each of the {len(judge.native.measured.losses)} steps of the training"
    if spec.model.layers is not None:
        return (
            f"y*: a difference of f grows by at most {factor:.2f} over the layers; losses: that through the read-out."
        )
    return (
        f"y*: two solves agree to ||(1 - J)^-1|| = {factor:.2f} (measured, native J, worst sample) times twice the "
        f"residual {judge.native.solver_tolerance:.1e} at which the solver may stop; losses: that through the "
        f"read-out, {growth}."
    )
