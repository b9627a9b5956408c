"""How the test images' solves ended, as histograms; and how they went, evaluation by evaluation."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from qdeq.reports.html.chart import Chart
from qdeq.reports.html.curves import run_style
from qdeq.reports.html.markup import Markup, tag
from qdeq.reports.html.material import RunMaterial
from qdeq.reports.html.scales import Scale, linear, logarithmic
from qdeq.reports.html.solves import LOWER, UPPER
from qdeq.solvers import CompositeSolver, get_solver
from qdeq.training.metrics import FloatArray

BINS = 28
DRAWN = 24
"""Solves that are drawn one by one."""
LEAST = 1e-9
"""A residual below this is drawn there: a logarithm has no zero."""


def residual_histograms(runs: Sequence[RunMaterial]) -> list[Markup]:
    """Return a histogram of the residuals for each run, all on the same axis."""
    values = [_usable(run, "residual", LEAST) for run in runs]
    if not any(map(len, values)):
        return []
    scale = logarithmic(value for each in values for value in (*each, *_tolerances(runs)))
    what = ("Residuals", "‖f(y) − y‖ / ‖f(y)‖ where the solve ended", ".1e")
    return [
        _histogram(_titled(what[0], run, runs), *what[1:], place, each, len(run.solves.labels) - len(each), scale,
                   next(((rtol, _named(rtol)) for rtol in _tolerances([run])), None))
        for place, (run, each) in enumerate(zip(runs, values, strict=True)) if run.solves is not None and len(each)
    ]  # fmt: skip


def radius_histograms(runs: Sequence[RunMaterial]) -> list[Markup]:
    """Return a histogram of the spectral radii for each run that has any, all on the same axis."""
    values = [_usable(run, "spectral_radius", 0.0) for run in runs]
    if not any(map(len, values)):
        return []
    scale = linear((value for each in values for value in each), include=(0.0, 1.05))
    if scale.high > 1.05:
        scale = Scale(0.0, scale.high)
    what = ("Spectral radii", "largest |eigenvalue| of ∂f/∂y", ".3f")
    return [
        _histogram(_titled(what[0], run, runs), *what[1:], place, each, len(run.solves.labels) - len(each), scale,
                   (1.0, "attracting below 1"))
        for place, (run, each) in enumerate(zip(runs, values, strict=True)) if run.solves is not None and len(each)
    ]  # fmt: skip


def _tolerances(runs: Sequence[RunMaterial]) -> list[float]:
    """Return the relative residuals that the solves of the runs were to reach, where they were to reach one."""
    solving = [run.spec.solver for run in runs if run.spec.model.mode == "implicit" and not run.spec.solver.fixed_steps]
    solvers = [get_solver(solver.choice()) for solver in solving]
    return [solver.rtol for solver in solvers if solver.rtol > 0 and not isinstance(solver, CompositeSolver)]


def _named(rtol: float) -> str:
    return f"rtol {rtol:.0e}"


def _usable(run: RunMaterial, key: str, least: float) -> FloatArray:
    """Return the figures that were measured and are finite."""
    if run.solves is None:
        return np.empty(0)
    values: FloatArray = getattr(run.solves.outcomes, key)
    return np.maximum(values[np.isfinite(values)], least)


def _histogram(
    title: str,
    label: str,
    form: str,
    place: int,
    values: FloatArray,
    lost: int,
    x: Scale,
    limit: tuple[float, str] | None,
) -> Markup:
    """Return the histogram of a run's values; those that are lost are told of."""
    edges = _edges(x, limit)
    heights, _ = np.histogram(np.clip(values, edges[0], edges[-1]), bins=edges)
    low, middle, high = values.min(), np.median(values), values.max()
    told = f"{len(values):,} test images, from {low:{form}} to {high:{form}}, median {middle:{form}}"
    if lost:
        told += f"; {lost:,} not finite are left out"
    y = linear([], include=(0.0, float(heights.max()) * 1.08))
    chart = Chart(title, x, y, label, "test images", f"{told}.")
    hover = [
        f"{count:,} from {left:{form}} to {right:{form}}"
        for count, left, right in zip(heights, edges[:-1], edges[1:], strict=True)
    ]
    chart.bars(edges, heights.tolist(), run_style(place), hover)
    if limit is not None:
        chart.mark(*limit)
    return chart.figure(tag("p", told, class_="aside"))


def _edges(x: Scale, limit: tuple[float, str] | None) -> list[float]:
    """Return the bins' edges, evenly over the axis; one is the limit, so that no bar lies on both sides of it."""
    shift = x.at(limit[0]) % (1 / BINS) if limit is not None else 0.0
    inner = [x.value(shift + k / BINS) for k in range(BINS)]
    return [x.low, *(edge for edge in inner if x.low < edge < x.high), x.high]


def _titled(title: str, run: RunMaterial, runs: Sequence[RunMaterial]) -> str:
    return f"{title}: {run.label}" if len(runs) > 1 else title


def trajectories(runs: Sequence[RunMaterial]) -> Markup | None:
    """Return how residuals fell: the median and a band for each run, and of a single run also some solves."""
    known = [(place, run, run.solves.trajectories) for place, run in enumerate(runs) if run.solves is not None]
    if not known:
        return None
    drawn = [(place, run, each.quantile(LOWER), each.quantile(0.5), each.quantile(UPPER)) for place, run, each in known]
    singles = known[0][2].residuals[:, :DRAWN] if len(runs) == 1 else np.empty((0, 0))
    finite = [np.maximum(row[np.isfinite(row)], LEAST) for item in drawn for row in item[2:]]
    every = np.concatenate([*finite, np.maximum(singles[np.isfinite(singles)], LEAST), _tolerances(runs)])
    y = logarithmic(every.tolist())
    longest = max(len(median) for *_, median, _ in drawn)
    x = Scale(1.0, max(2.0, float(longest)), wanted=8, whole=True)
    told = "; ".join(_told(run, median, len(runs) > 1) for _, run, _, median, _ in drawn)
    chart = Chart("Residual by evaluation", x, y, "evaluations of f", "relative residual", f"{told}.")
    for tolerance in sorted(set(_tolerances(runs))):
        chart.level(tolerance, _named(tolerance))
    for column, ended in zip(singles.T, known[0][2].ended, strict=False):
        if ended > 1:
            chart.line([(k + 1.0, _shown(column[k])) for k in range(int(ended))], f"{run_style(0)} hair")
    for place, run, low, median, high in drawn:
        at = [k + 1.0 for k in range(len(median))]
        lower, upper = (np.clip(row, y.low, y.high).tolist() for row in (low, high))
        chart.band(at, lower, upper, run_style(place))
        hover = [f"{run.label} after {k:g}: median {value:.1e}".strip() for k, value in zip(at, median, strict=True)]
        chart.line([(k, _shown(value)) for k, value in zip(at, median, strict=True)], run_style(place), hover)
    return chart.figure()


def _shown(value: float) -> float | None:
    return max(float(value), LEAST) if math.isfinite(value) else None


def _told(run: RunMaterial, median: FloatArray, named: bool) -> str:
    what = f"{run.label}: median" if named else "median"
    return f"{what} {median[0]:.1e} after one evaluation, {median[-1]:.1e} after {len(median)}"
