"""What the conformance kits found out of a plug-in, for a terminal; and the problems that solvers are tried on."""

from __future__ import annotations

import json
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from qdeq.reports.tables import plain_table
from qdeq.testing.kits import kit_checks
from qdeq.testing.problems import PROBLEMS
from qdeq.testing.report import Report, SolverReport

STYLES = {
    "passed": "green",
    "failed": "bold red",
    "skipped": "dim",
    "solved": "green",
    "dishonest": "bold red",
    "raised": "bold red",
}
_NUMBERS = ("examples", "difference", "tolerance", "converged", "evaluations")


def conformance_report(report: Report) -> RenderableType:
    """Return the verdicts, and for each failed check the smallest case that fails."""
    parts: list[RenderableType] = [Text(report.headline()), _check_table(report)]
    if isinstance(report, SolverReport):
        parts += [Text(""), _problem_table(report)]
    for text in report.explanations():  # with JSON in it, to be copied: never wrapped
        parts += [Text(""), Text(text, no_wrap=True, overflow="ignore")]
    return Group(*parts)


def kit_report(kit: str) -> RenderableType:
    """Return what each check of ``backends``, ``solvers`` or ``datasets`` proves; of solvers, the problems as well."""
    checks = Table(box=None, show_header=False, pad_edge=False)
    for name, proves in kit_checks(kit).items():
        checks.add_row(Text(name, "bold"), Text(proves))
    if kit != "solvers":
        return checks
    table = _table("problem", "f(y)", "answer", "what it asks", "must converge")
    for problem in PROBLEMS:
        must = "yes" if problem.required else ""
        table.add_row(*map(Text, (problem.name, problem.equation, problem.answer, problem.asks, must)))
    return Group(table, Text(""), checks)


def kit_json(kit: str) -> str:
    """Return the same as JSON."""
    found: dict[str, Any] = {"format_version": 1, "checks": kit_checks(kit)}
    if kit == "solvers":
        columns = ("name", "equation", "answer", "asks", "required")
        found["problems"] = [{column: getattr(problem, column) for column in columns} for problem in PROBLEMS]
    return json.dumps(found, indent=2, ensure_ascii=False)


def _table(*columns: str) -> Table:
    table = plain_table()
    for position, column in enumerate(columns):
        numeric = column in _NUMBERS
        table.add_column(column, justify="right" if numeric else "left", no_wrap=numeric or position < 1)
    return table


def _check_table(report: Report) -> Table:
    table = _table("check", "verdict", "examples", "difference", "tolerance", "remark")
    for result in report.results:
        numbers = ["" if value is None else f"{value:.1e}" for value in (result.difference, result.tolerance)]
        count = str(result.examples) if result.examples else ""
        verdict = Text(result.status, STYLES[result.status])
        table.add_row(result.name, verdict, count, *numbers, Text(result.reason))
    return table


def _problem_table(report: SolverReport) -> Table:
    table = _table("problem", "verdict", "converged", "evaluations", "remark")
    for row in report.problems:
        spent = "" if row.evaluations is None else f"{row.evaluations:.1f}"
        verdict = Text(row.verdict, STYLES.get(row.verdict, ""))
        table.add_row(row.problem, verdict, f"{row.converged} of {row.samples}", spent, Text(row.remark))
    return table
