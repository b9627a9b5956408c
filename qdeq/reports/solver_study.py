"""A study of solvers, for a terminal or a log, as Markdown and as CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, Literal

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from qdeq.reports.tables import markdown_table, percent, plain_table
from qdeq.solvers import Status
from qdeq.study.result import Reached, SolverResult, SolverStudy

NEVER = "–"
"""Stands where too few samples ever reached the tolerance."""

SOLVE_COLUMNS = ("converged", "mean", "median", "95 %", "most", "Jacobians", "worst residual", "ms", "failures")


def study_table(study: SolverStudy) -> RenderableType:
    """Return both tables, what failed and why, and the notes."""
    solves = _table(_solve_title(study), SOLVE_COLUMNS)
    counts = _table(_count_title(), [f"{tolerance:g}" for tolerance in study.tolerances])
    for result in study.studied:
        complete = result.solve is not None and result.solve.converged == study.samples
        first, *others = solve_cells(result, study.samples)
        solves.add_row(result.label, Text(first, "green" if complete else "yellow"), *others)
        counts.add_row(result.label, *(reached_cell(entry) for entry in result.reached))
    failed = [Text(f"{result.label}: {result.reason}", "red") for result in study.results if result.reason]
    seen = {status for result in study.studied if result.solve for status in result.solve.failures}
    explained = [
        Text(f"{status.name.lower()}: {status.message}.", "dim") for status in Status if status.name.lower() in seen
    ]
    parts: list[RenderableType] = [Text.assemble((study.name, "bold"), f": {_subject(study)}"), Text("")]
    parts += [solves, Text(""), counts, Text("")]
    return Group(*parts, *failed, *explained, *(Text(note, "dim") for note in (_legend(), *study.notes)))


def study_markdown(study: SolverStudy) -> str:
    """Return the same as Markdown."""
    rows = [(result.label, *solve_cells(result, study.samples)) for result in study.studied]
    counts = [(result.label, *map(reached_cell, result.reached)) for result in study.studied]
    tolerances = [f"{tolerance:g}" for tolerance in study.tolerances]
    parts = [
        f"# Solvers on {study.name}",
        f"{_subject(study)[0].upper()}{_subject(study)[1:]}.",
        f"## {_solve_title(study)}",
        markdown_table(("solver", *SOLVE_COLUMNS), rows),
        f"## {_count_title()}",
        markdown_table(("solver", *tolerances), counts),
        *(f"{result.label}: {result.reason}" for result in study.results if result.reason),
        _legend(),
        *study.notes,
        f"qdeq {study.qdeq_version}, spec {study.spec_hash[:12]}.",
    ]
    return "\n\n".join(parts) + "\n"


def study_csv(study: SolverStudy) -> str:
    """Return one line for each solver; a number that does not exist is empty."""
    rows: list[dict[str, Any]] = []
    for result in study.studied:
        solve = result.solve
        assert solve is not None
        row: dict[str, Any] = {"solver": result.label, "samples": study.samples, "converged": solve.converged}
        row |= {f"failed_{status.name.lower()}": 0 for status in Status if status.failed}
        row |= {f"failed_{status}": number for status, number in solve.failures.items()}
        row |= {f"evaluations_{name}": number for name, number in asdict(solve.evaluations).items()}
        row |= {"jacobians_mean": solve.jacobians, "relative_residual_worst": solve.residual, "seconds": solve.seconds}
        for entry in result.reached:
            for name in ("share", "median", "p95"):
                row[f"{name}_to_{entry.tolerance:g}"] = getattr(entry, name)
        rows.append(row)
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(rows[0]) if rows else ["solver"], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def solve_cells(result: SolverResult, samples: int) -> tuple[str, ...]:
    """Return the cells of the experiment's solve, in the order of :data:`SOLVE_COLUMNS`."""
    solve = result.solve
    assert solve is not None
    evaluations = solve.evaluations
    return (
        percent(solve.converged / samples),
        f"{evaluations.mean:.1f}",
        *map(str, (evaluations.median, evaluations.p95, evaluations.largest)),
        f"{solve.jacobians:.1f}",
        "not finite" if solve.residual is None else f"{solve.residual:.0e}",
        f"{1e3 * solve.seconds:,.0f}" if solve.seconds > 0.01 else f"{1e3 * solve.seconds:.1f}",
        ", ".join(f"{number} {status}" for status, number in solve.failures.items()),
    )


def reached_cell(entry: Reached) -> str:
    """Return ``median/95 %``, with the share of the samples where it is not all of them."""
    counts = "/".join(NEVER if count is None else str(count) for count in (entry.median, entry.p95))
    return counts if entry.share == 1 else f"{counts} ({percent(entry.share)})"


def _subject(study: SolverStudy) -> str:
    return (
        f"{study.samples} {study.images}, {study.qubits} qubits, {study.encoding}, {study.backend}, {study.precision}; "
        f"weights: {study.weights}"
    )


def _solve_title(study: SolverStudy) -> str:
    return f"Evaluations of the experiment's solve: rtol {study.rtol:g}, atol {study.atol:g}, {study.max_steps} steps"


def _count_title() -> str:
    return "Evaluations to a relative residual: median/95 % (share of samples)"


def _legend() -> str:
    return (
        "A sample's evaluations of f, failed samples included; ms: the whole batch. Median and 95 %: within so many "
        f"had half, and 95 %, of all samples ended or got there; {NEVER}: fewer ever did. A Jacobian is free of "
        "circuits on a compiled backend, and costs n vector-Jacobian products on others."
    )


def _table(title: str, columns: Sequence[str]) -> Table:
    table = plain_table(title, gap=1)
    table.add_column("solver", overflow="fold")
    for column in columns:
        justify: Literal["left", "right"] = "left" if column == "failures" else "right"
        table.add_column(column, justify=justify, no_wrap=column != "failures")
    return table
