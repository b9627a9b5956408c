"""The results as a Markdown table, a plot and JSON."""

from __future__ import annotations

import hashlib
import json
import math
import os
import platform
import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from benchmarks.measure import Result
from benchmarks.problem import Cell

TARGETS = {(4, "amplitude"): 0.35, (4, "angle"): 0.5, (10, "amplitude"): 0.12, (10, "angle"): 0.12}
"""Largest ratio of qdeq's step to the reference; batch 256, depth 1x, rtol 1e-4, float32, CPU."""
STRETCH = {(10, "amplitude"): 0.08}
HEADINGS = (
    *("cell", "device", "contender", "ms per step", "±", "ratio", "peak MiB"),
    *("evaluations", "unconverged", "loss off", "gradient off", "note"),
)
COLOURS = {
    "qdeq": "C0",
    "qdeq-circuits": "C1",
    "torchdeq+compiled": "C2",
    "torchdeq+circuits": "C3",
    "pennylane": "C4",
    "lightning": "C5",
    "direct-10": "C6",
    "reference": "0.5",
}
Row = tuple[Cell, list[Result], dict[str, float] | None]
"""A cell, its contenders' results, and the floor of qdeq's step."""


def target_of(cell: Cell) -> float | None:
    """Return the target of a cell, if it has one."""
    usual = (cell.batch, cell.depth, cell.rtol, cell.device) == (256, 1, 1e-4, "cpu")
    return TARGETS.get((cell.qubits, cell.encoding)) if usual else None


def reference_of(results: Sequence[Result]) -> float:
    """Return the reference's median [s], NaN where it has none."""
    return next((result.median for result in results if result.contender == "reference"), math.nan)


def source_hash() -> str:
    """Return a hash of qdeq's source as it lies there, committed or not."""
    digest = hashlib.sha256()
    for path in sorted((Path(__file__).parent.parent / "qdeq").rglob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


def changed_since(facts: dict[str, Any]) -> str:
    """Return a warning if qdeq's source is no longer what it was at the start: the cells are then of two versions."""
    if source_hash() == facts["source"]:
        return ""
    return "WARNING: qdeq's source changed during this run; its figures mix versions and must not be quoted."


def machine(threads: int) -> dict[str, Any]:
    """Return what the figures depend on."""
    cpu = platform.processor()
    info = Path("/proc/cpuinfo")
    if info.exists():
        cpu = next((line.split(":")[1].strip() for line in info.read_text().splitlines() if "model name" in line), cpu)
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    versions = {}
    for name in ("torch", "pennylane", "pennylane-lightning", "torchdeq", "numpy"):
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            versions[name] = "not installed"
    return {
        "command": " ".join(["python -m", f"benchmarks.{Path(sys.argv[0]).stem}", *sys.argv[1:]]),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": commit.stdout.strip(),
        "source": source_hash(),
        "cpu": cpu,
        "cores": os.cpu_count(),
        "threads": threads,
        "load_before": os.getloadavg()[0],
        "python": platform.python_version(),
        "versions": versions,
    }


def describe(facts: dict[str, Any]) -> str:
    """Return :func:`machine` as two lines."""
    busy = " (busy: the spread will show it)" if facts["load_before"] > 0.3 * facts["cores"] else ""
    versions = ", ".join(f"{name} {version}" for name, version in facts["versions"].items())
    return (
        f"`{facts['command']}` at {facts['commit'] or 'no commit'} (source {facts['source']}), {facts['date']}\n"
        f"{facts['cpu']}, {facts['cores']} cores, {facts['threads']} threads, load {facts['load_before']:.1f}{busy}; "
        f"Python {facts['python']}, {versions}"
    )


def row_lines(cell: Cell, results: Sequence[Result]) -> list[str]:
    """Return the table's lines for one cell."""
    unit = reference_of(results)
    return ["| " + " | ".join(_columns(cell, result, unit)) + " |" for result in results]


def _columns(cell: Cell, result: Result, unit: float) -> list[str]:
    start = [cell.name, cell.device, result.contender]
    if not result.seconds:
        return [*start, *[""] * 8, f"no figure: {result.reason or 'no time left'}"]
    ratio = result.median / unit
    notes = []
    if result.agrees is not None and result.contender != "qdeq":
        notes.append("agrees" if result.agrees else "DISAGREES")
    if result.nan_loss:
        notes.append("its loss became NaN")
    if result.contender.startswith("direct-10"):
        notes.append("another model: ten layers")
    target = target_of(cell)
    if result.contender == "qdeq" and target is not None and not math.isnan(ratio):
        notes.append(f"target {target:g}: {'met' if ratio <= target else 'NOT met'}")
        stretch = STRETCH.get((cell.qubits, cell.encoding))
        if stretch is not None:
            notes.append(f"stretch {stretch:g}: {'met' if ratio <= stretch else 'not met'}")
    return [
        *start,
        f"{result.median * 1e3:.2f}",
        f"{result.spread * 1e3:.2f}",
        "" if math.isnan(ratio) else f"{ratio:.3f}",
        f"{result.peak_bytes / 2**20:.1f}",
        str(result.evaluations),
        str(result.failed),
        "" if result.loss_error is None else f"{result.loss_error:.0e}",
        "" if result.gradient_error is None else f"{result.gradient_error:.0e}",
        "; ".join(notes),
    ]


def table(rows: Sequence[Row]) -> str:
    """Return all cells as one Markdown table."""
    lines = ["| " + " | ".join(HEADINGS) + " |", "| --- | --- | --- |" + " ---: |" * 8 + " --- |"]
    for cell, results, _ in rows:
        lines += row_lines(cell, results)
    return "\n".join(lines)


def floor_table(rows: Sequence[Row]) -> str:
    """Return the floors of qdeq's steps as a Markdown table."""
    lines = [
        "| cell | device | qdeq ms | floor ms | time/floor | products ms (GFLOP, GFLOP/s) | other ms (MB) "
        "| calls | calls x empty call, ms |",
        "| --- | --- |" + " ---: |" * 7,
    ]
    for cell, results, floor in rows:
        time = next((result.median for result in results if result.contender == "qdeq"), math.nan)
        if floor is None or math.isnan(time):
            continue
        products = f"{floor['product_seconds'] * 1e3:.2f} ({floor['flops'] / 1e9:.3g}, {floor['gflops']:.3g})"
        other = f"{floor['copy_seconds'] * 1e3:.2f} ({floor['bytes'] / 1e6:.3g})"
        lines.append(
            f"| {cell.name} | {cell.device} | {time * 1e3:.2f} | {floor['floor_seconds'] * 1e3:.2f} "
            f"| {time / floor['floor_seconds']:.1f} | {products} | {other} "
            f"| {floor['calls']:.0f} | {floor['call_seconds'] * 1e3:.2f} |"
        )
    return "\n".join(lines)


def write_json(path: Path, facts: dict[str, Any], rows: Sequence[Row]) -> None:
    """Write the raw figures."""
    cells = [
        {**cell.to_dict(), "name": cell.name, "floor": floor, "contenders": [result.to_dict() for result in results]}
        for cell, results, floor in rows
    ]
    path.write_text(json.dumps({"machine": facts, "cells": cells}, indent=1) + "\n")


def plot(path: Path, rows: Sequence[Row], title: str) -> None:
    """Plot ratio and peak memory against the register, at batch 256 and depth 1x, or at what the cells have."""
    from matplotlib.figure import Figure

    usual = [row for row in rows if (row[0].batch, row[0].depth) == (256, 1)] or list(rows)
    figure = Figure(figsize=(11, 7.5), layout="constrained")
    axes = figure.subplots(2, 2, sharex=True, squeeze=False)
    for column, encoding in enumerate(("amplitude", "angle")):
        for name, colour in COLOURS.items():
            found = sorted(
                (cell.qubits, result.median / reference_of(results), result.peak_bytes / 2**20)
                for cell, results, _ in usual
                for result in results
                if cell.encoding == encoding and cell.device == usual[0][0].device
                if result.contender == name and result.seconds
            )
            if found:
                qubits, ratios, memory = zip(*found, strict=True)
                axes[0, column].plot(qubits, ratios, "o-", color=colour, label=name, markersize=4)
                axes[1, column].plot(qubits, [max(m, 0.1) for m in memory], "o-", color=colour, markersize=4)
        goals = [(n, goal) for (n, kind), goal in TARGETS.items() if kind == encoding]
        axes[0, column].plot(*zip(*goals, strict=True), "k_", markersize=16, label="target (qdeq)")
        axes[0, column].set(title=f"{encoding} encoding", yscale="log")
        axes[1, column].set(xlabel="qubits", yscale="log")
    axes[0, 0].set_ylabel("step / one reference evaluation")
    axes[1, 0].set_ylabel("peak memory of a step [MiB]")
    axes[0, 0].legend(fontsize=8)
    figure.suptitle(title, fontsize=9)
    figure.savefig(path, dpi=150)
