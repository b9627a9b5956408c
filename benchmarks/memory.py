"""Peak memory of a step against solver steps and depth, DIRECT 10 beside it: ``python -m benchmarks.memory``."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from benchmarks.contenders import CONTENDERS
from benchmarks.measure import Result, run_cell
from benchmarks.problem import Cell
from benchmarks.step import devices
from benchmarks.tables import changed_since, describe, machine

NAMES = ("qdeq", "direct-10", "qdeq-circuits", "direct-10-circuits")
RTOLS = (1e-2, 1e-3, 1e-4, 1e-6, 1e-8)
DEPTHS = (1, 4, 16)
Row = tuple[str, Cell, list[Result]]
"""What was varied, the cell, and the results."""


def parser() -> argparse.ArgumentParser:
    parse = argparse.ArgumentParser(prog="python -m benchmarks.memory", description=__doc__)
    parse.add_argument("--cells", nargs="+", default=["4:amplitude", "4:angle", "10:amplitude", "10:angle"])
    parse.add_argument("--rtols", nargs="+", type=float, default=RTOLS, help="1e-8 is beyond float32: all 50 steps")
    parse.add_argument("--depths", nargs="+", type=int, default=DEPTHS, help="ansatz layers")
    parse.add_argument("--contenders", nargs="+", choices=CONTENDERS, default=NAMES, metavar="NAME")
    parse.add_argument("--time-limit", type=float, default=120, help="seconds for one contender in one cell")
    parse.add_argument("--threads", type=int, default=1)
    parse.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    parse.add_argument("--out", type=Path, help="folder for memory.json, memory.md and memory.png")
    return parse


def table_lines(row: Row) -> list[str]:
    """Return the table's lines for one row."""
    varied, cell, results = row
    lines = []
    for result in results:
        figures = ["", "", ""]
        if result.seconds:
            figures = [str(result.evaluations), f"{result.peak_bytes / 2**20:.1f}", f"{result.median * 1e3:.1f}"]
        start = [varied, cell.name, cell.device, f"{cell.rtol:g}", result.contender]
        lines.append("| " + " | ".join([*start, *figures, result.reason or ""]) + " |")
    return lines


HEAD = (
    "| varied | cell | device | rtol | contender | evaluations | peak MiB | ms per step | no figure because |\n"
    "| --- | --- | --- | ---: | --- | ---: | ---: | ---: | --- |"
)


def plot(path: Path, rows: Sequence[Row], title: str) -> None:
    """Plot peak memory against evaluations and against depth, one row of panels for each kind of cell."""
    from matplotlib.figure import Figure

    kinds = list(dict.fromkeys((cell.qubits, cell.encoding, cell.device) for _, cell, _ in rows))
    figure = Figure(figsize=(10, 3 * len(kinds)), layout="constrained")
    axes = figure.subplots(len(kinds), 2, squeeze=False)
    for line, kind in enumerate(kinds):
        for column, varied in enumerate(("rtol", "depth")):
            axis = axes[line, column]
            series: dict[str, list[tuple[float, float]]] = {}
            for what, cell, results in rows:
                if what != varied or (cell.qubits, cell.encoding, cell.device) != kind:
                    continue
                for result in results:
                    if result.seconds:
                        at = cell.rtol if varied == "rtol" else cell.depth
                        series.setdefault(result.contender, []).append((at, max(result.peak_bytes / 2**20, 0.1)))
            for name, points in series.items():
                axis.plot(*zip(*sorted(points), strict=True), "o-", label=name, markersize=4)
            axis.set(xscale="log", yscale="log", title=f"{kind[0]} qubits, {kind[1]}, {kind[2]}")
            axis.set_xlabel("rtol (tighter to the right: more solver steps)" if varied == "rtol" else "depth [layers]")
            if varied == "rtol":
                axis.invert_xaxis()
        axes[line, 0].set_ylabel("peak memory [MiB]")
    axes[0, 0].legend(fontsize=8)
    figure.suptitle(title, fontsize=9)
    figure.savefig(path, dpi=150)


def main(arguments: Sequence[str] | None = None) -> int:
    parse = parser()
    options = parse.parse_args(arguments)
    try:
        base = [Cell.parse(text) for text in options.cells]
    except ValueError as error:
        parse.error(str(error))
    facts = machine(options.threads)
    print(describe(facts), HEAD, sep="\n\n", flush=True)
    plan = [
        entry
        for device in devices(options.device)
        for cell in (replace(cell, device=device) for cell in base)
        for entry in [
            *(("rtol", replace(cell, rtol=rtol)) for rtol in options.rtols),
            *(("depth", replace(cell, depth=depth)) for depth in options.depths),
        ]
    ]
    rows: list[Row] = []
    for varied, cell in plan:
        results, _ = run_cell(
            cell,
            options.contenders,
            repetitions=2,
            threads=options.threads,
            limit=options.time_limit,
            with_floor=False,
        )
        rows.append((varied, cell, results))
        print("\n".join(table_lines(rows[-1])), flush=True)
        if options.out:
            options.out.mkdir(parents=True, exist_ok=True)
            lines = [line for row in rows for line in table_lines(row)]
            (options.out / "memory.md").write_text(
                "\n".join([describe(facts), "", HEAD, *lines, "", changed_since(facts)]) + "\n"
            )
            raw = [
                {"varied": varied, **cell.to_dict(), "contenders": [result.to_dict() for result in results]}
                for varied, cell, results in rows
            ]
            (options.out / "memory.json").write_text(json.dumps({"machine": facts, "cells": raw}, indent=1) + "\n")
            plot(options.out / "memory.png", rows, describe(facts).splitlines()[1][:140])
    print(changed_since(facts))
    return 0


if __name__ == "__main__":
    sys.exit(main())
