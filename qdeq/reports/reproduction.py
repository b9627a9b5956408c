"""A table of the paper for a terminal, as Markdown and as CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import asdict, fields

from rich.console import Group, RenderableType
from rich.text import Text

from qdeq.reports.tables import ABSENT, MINUS, Block
from qdeq.reproduce.costs import Costs
from qdeq.reproduce.result import FIGURES, Line, Reproduction
from qdeq.sweeps import Spread


def blocks(found: Reproduction) -> list[Block]:
    """Return the tables: accuracy, equilibria, training, circuits, and the paired differences."""
    accuracy = ("seeds", "test accuracy [%]", "95 % interval", "validation [%]")
    solves = ("residual, mean", "worst sample", "converged [%]", "evaluations")
    took = ("peak memory [MiB]", "runtime [s]", "trained parameters")
    asks = ("depth", "with preparation", "circuits a training step", "compiled")
    return [
        Block("Accuracy", ("row", *accuracy), [(line.name, *_accuracy(line)) for line in found.lines]),
        Block(
            "Equilibria, on the test images",
            ("row", *solves),
            [(line.name, *_solves(line)) for line in found.lines[:-1]],
        ),
        Block("Training", ("row", *took), [(line.name, *_took(line)) for line in found.lines]),
        Block("Circuits", ("row", *asks), [(line.name, *_asks(line.costs)) for line in found.lines if line.costs]),
        Block(
            "Test accuracy, paired differences [percentage points]",
            ("difference", "seeds", "mean", "95 % interval"),
            [(f"{each.first} {MINUS} {each.second}", *_difference(each.accuracy)) for each in found.differences],
        ),
    ]


def reproduction_table(found: Reproduction) -> RenderableType:
    """Return the tables for a terminal."""
    parts: list[RenderableType] = [Text(_heading(found), "bold"), Text("")]
    for block in blocks(found):
        parts += [block.table(), Text("")]
    for title, lines in _remarks(found):
        parts += [Text(title, "bold"), *(Text(f"- {line}") for line in lines), Text("")]
    return Group(*parts)


def reproduction_markdown(found: Reproduction) -> str:
    """Return the same as Markdown."""
    parts = [f"# {_heading(found)}", *(block.markdown() for block in blocks(found))]
    for title, remarks in _remarks(found):
        parts += [f"## {title}", "\n".join(f"- {remark}" for remark in remarks)]
    return "\n\n".join(parts) + "\n"


def reproduction_csv(found: Reproduction) -> str:
    """Return a line for each row and figure, for each of its costs, and for each difference; with all digits."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("figure", "row", "less", "seeds", "mean", "standard_deviation", "low_95", "high_95"))
    for line in found.lines:
        for figure in FIGURES:
            writer.writerow((figure, line.name, None, *_spread(line[figure])))
        costs = {field.name: None for field in fields(Costs)} if line.costs is None else asdict(line.costs)
        for name, value in costs.items():
            writer.writerow((name, line.name, None, None, value, None, None, None))
    for each in found.differences:
        writer.writerow(("accuracy", each.first, each.second, *_spread(each.accuracy)))
    return text.getvalue()


def _spread(found: Spread | None) -> tuple[float | None, ...]:
    return (0, *(None,) * 4) if found is None else (found.n, found.mean, found.deviation, found.low, found.high)


def _heading(found: Reproduction) -> str:
    return f"{found.table.title}, {found.mode}"


def _remarks(found: Reproduction) -> Iterator[tuple[str, Sequence[str]]]:
    table = found.table
    if table.claims:
        yield f"What the paper claims ({table.paper})", table.claims
    if table.measured:
        yield "What was measured elsewhere", table.measured
    if found.mode == "reference":
        yield "Of the published code, this mode has", table.reproduced
        yield "Of the published code, this mode has not", table.not_reproduced
    yield "How to read it", found.notes


def _accuracy(line: Line) -> tuple[str, ...]:
    found = line["accuracy"]
    if found is None:
        return ("0", ABSENT, ABSENT, ABSENT)
    ends = ABSENT
    if found.low is not None and found.high is not None:
        ends = f"{100 * found.low:.2f} to {100 * found.high:.2f}"
    return str(found.n), _mean(found, ".2f", 100), ends, _mean(line["validation_accuracy"], ".2f", 100)


def _solves(line: Line) -> tuple[str, ...]:
    return (
        _mean(line["residual"], ".1e", deviation=False),
        _mean(line["worst_residual"], ".1e", deviation=False),
        _mean(line["converged"], ".2f", 100, deviation=False),
        _mean(line["evaluations"], ".2f", deviation=False),
    )


def _took(line: Line) -> tuple[str, ...]:
    return (
        _mean(line["memory_mib"], ",.0f", deviation=False),
        _mean(line["seconds"], ",.1f"),
        _mean(line["parameters"], ",.0f", deviation=False),
    )


def _asks(costs: Costs) -> tuple[str, ...]:
    counts = (costs.depth, costs.prepared_depth, costs.step_circuits, costs.compiled_circuits)
    return tuple(ABSENT if count is None else f"{count:,}" for count in counts)


def _difference(found: Spread | None) -> tuple[str, ...]:
    if found is None:
        return ("0", ABSENT, ABSENT)
    ends = ABSENT
    if found.low is not None and found.high is not None:
        ends = f"{100 * found.low:+.2f} to {100 * found.high:+.2f}"
    return str(found.n), f"{100 * found.mean:+.2f}", ends


def _mean(found: Spread | None, form: str, factor: float = 1, *, deviation: bool = True) -> str:
    """Return a mean, with its standard deviation where there is one and it is asked for."""
    if found is None:
        return ABSENT
    text = format(factor * found.mean, form)
    return text if found.deviation is None or not deviation else f"{text} ± {format(factor * found.deviation, form)}"
