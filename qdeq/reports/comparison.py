"""A comparison of backends, for a terminal or a log."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from qdeq.compare.result import MEANINGS, QUANTITIES, BackendResult, Comparison, Difference
from qdeq.errors import plural
from qdeq.reports.tables import plain_table


def comparison_table(comparison: Comparison) -> RenderableType:
    """Return differences, costs, what failed and why, and the notes."""
    shots = "exact" if comparison.shots is None else f"{comparison.shots} shots"
    images = f"{comparison.samples} image{'' if comparison.samples == 1 else 's'}"
    head = Text.assemble(
        (comparison.name, "bold"), f": {comparison.qubits} qubits, {images}, float64, {shots}: ", _verdict(comparison)
    )
    parts: list[RenderableType] = [head, Text(""), _difference_table(comparison), Text("")]
    parts += [_failure(result, difference) for result in comparison.results for difference in result.failures]
    parts += [
        Text(f"{result.label}: {result.outcome}: {result.reason}", "red" if result.outcome == "failed" else "yellow")
        for result in comparison.results
        if result.reason
    ]
    if len(parts) > 4:
        parts.append(Text(""))
    parts += [_cost_table(comparison), Text("")]
    return Group(*parts, *(Text(note, "dim") for note in (_legend(), *comparison.notes, _versions(comparison))))


def _verdict(comparison: Comparison) -> Text:
    """Return what came of it, in a few words; a backend that was not run is neither right nor wrong."""
    asked = len(comparison.results) - 1
    failed = sum(result.outcome == "failed" for result in comparison.results)
    rest = "; the others are within tolerance" if comparison.compared else ""
    return {
        "same": Text("all within tolerance", "bold green"),
        "different": Text("NOT within tolerance", "bold red"),
        "failed": Text(f"{failed} of {plural(asked, 'backend')} failed{rest}", "bold red"),
        "incomplete": Text(
            f"{len(comparison.missing)} of {plural(asked, 'backend')} not compared{rest}", "bold yellow"
        ),
        "nothing compared": Text("nothing was compared", "bold yellow"),
    }[comparison.verdict]


def _difference_table(comparison: Comparison) -> Table:
    unit = "" if comparison.shots is None else ", in standard errors"
    table = plain_table(f"largest difference from native{unit}", gap=1)
    table.add_column("backend", overflow="fold")
    for name in QUANTITIES.values():
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("", no_wrap=True)
    for name, differences in tolerance_rows(comparison):
        table.add_row(Text(name, "dim"), *(Text(_short(each.tolerance, each), "dim") for each in differences), "")
    table.add_section()
    for result in comparison.results[1:]:
        if not result.differences:
            table.add_row(result.label, *[Text("-", "dim")] * len(QUANTITIES), Text(result.outcome, "yellow"))
            continue
        cells = [_cell(difference) for difference in result.differences]
        table.add_row(result.label, *cells, Text("pass", "green") if result.passed else Text("FAIL", "bold red"))
    return table


def tolerance_rows(comparison: Comparison) -> list[tuple[str, Sequence[Difference]]]:
    """Return the tolerances of each precision, as the differences of the first backend that has it."""
    found: dict[str, Sequence[Difference]] = {}
    for result in comparison.compared:
        found.setdefault(
            f"tolerance, {result.precision}" if comparison.shots is None else "tolerance", result.differences
        )
    return list(found.items())


def _cell(difference: Difference) -> Text:
    text = _short(difference.value, difference)
    return Text(text) if difference.passed else Text(f"{text}!", "bold red")


def _short(value: float, difference: Difference) -> str:
    if difference.unit == "standard errors":
        return f"{value:.1f}"
    return "0" if value == 0 else f"{value:.0e}"


def _failure(result: BackendResult, difference: Difference) -> Text:
    unit = "" if difference.unit == "absolute" else " standard errors"
    names = {"gradient_weights": ("weight",), "losses": ("step",)}.get(
        difference.quantity, ("sample", "entry", "column")
    )
    where = ", ".join(f"{name} {index}" for name, index in zip(names, difference.where, strict=False))
    return Text.assemble(
        (f"{result.label}: {QUANTITIES[difference.quantity]}", "bold red"),
        f" ({MEANINGS[difference.quantity]}) differs by {difference.value:.2g}{unit} at {where}; "
        f"the tolerance is {difference.tolerance:.2g}.",
    )


def _cost_table(comparison: Comparison) -> Table:
    table = plain_table("cost", gap=1)
    for name, justify in (
        ("backend", "left"),
        ("converged", "right"),
        ("steps", "right"),
        ("evals", "right"),
        ("residual", "right"),
        ("runs: f", "right"),
        ("solve", "right"),
        ("step", "right"),
        ("s/step", "right"),
    ):
        table.add_column(name, justify=justify, no_wrap=justify == "right", overflow="fold")  # type: ignore[arg-type]
    if comparison.shots is not None:
        table.add_column("same shots", justify="right")
    for result in comparison.results:
        cost = result.cost
        if cost is None:
            continue
        converged = "fixed" if cost.converged is None else f"{cost.converged}/{comparison.samples}"
        if cost.noise_limited:
            converged += f", noise {cost.noise_limited}"
        runs = (f"{cost.executions[key]:,}" for key in ("function", "solve", "training_step"))
        row = [
            result.label + (" (native)" if result.outcome == "native" else ""),
            converged,
            f"{cost.steps:.1f}",
            f"{cost.evaluations:.1f}",
            f"{cost.residual:.0e}",
            *runs,
            f"{cost.seconds:.3f}",
        ]
        if comparison.shots is not None:
            row.append({None: "", True: "yes", False: "no"}[result.same_shots])
        table.add_row(*row)
    return table


def _legend() -> str:
    return (
        "y0 = 0, y random; L: loss; y*: equilibrium from y0 (∂f/∂y at y, dL at the native y*). Steps and evaluations "
        "(evals): mean of a sample's solve; residual: the worst sample's. Runs: circuits for f of all samples, for the "
        "solve, for a training step (and its seconds); a compiled f runs its circuits once per step and none in the "
        "solve, and the native one counts none of its own."
    )


def _versions(comparison: Comparison) -> str:
    found = {result.version.partition("+")[0]: None for result in comparison.results if result.version}
    return f"Ran: {', '.join(found)}."
