"""Time and peak memory of a whole training step, qdeq against everything else: ``python -m benchmarks.step``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch

from benchmarks.contenders import CONTENDERS, TIMED
from benchmarks.measure import run_cell
from benchmarks.phases import calls_table, profile_table
from benchmarks.problem import Cell, grid
from benchmarks.tables import Row, changed_since, describe, floor_table, machine, plot, row_lines, table, write_json
from qdeq.solvers import get_solver


def parser() -> argparse.ArgumentParser:
    parse = argparse.ArgumentParser(prog="python -m benchmarks.step", description=__doc__)
    which = parse.add_mutually_exclusive_group()
    which.add_argument("--quick", action="store_true", help="the cells that have a target: 4 and 10 qubits, batch 256")
    which.add_argument("--full", action="store_true", help="every register, depth, batch and encoding: hours")
    which.add_argument("--cells", nargs="+", metavar="CELL", help="qubits:encoding[:batch[:depth]], e.g. 10:angle:32:4")
    which.add_argument("--profile", nargs=2, metavar=("N", "ENCODING"), help="where the time of qdeq's step goes")
    parse.add_argument("--contenders", nargs="+", choices=CONTENDERS, default=list(TIMED), metavar="NAME")
    parse.add_argument("--repetitions", type=int, default=15, help="turns of 0.5 s or a step (%(default)s)")
    parse.add_argument(
        "--time-limit", type=float, default=120, help="seconds for one contender in one cell, all steps (%(default)s)"
    )
    parse.add_argument("--threads", type=int, default=1, help="threads of PyTorch (%(default)s)")
    parse.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto", help="auto: cpu, then cuda if any")
    parse.add_argument("--solver", default="broyden", help="qdeq's solver (%(default)s)")
    parse.add_argument("--rtol", type=float, default=1e-4, help="relative tolerance of the solves (%(default)s)")
    parse.add_argument("--batch", type=int, default=256, help="batch of --profile (%(default)s)")
    parse.add_argument("--depths", type=int, nargs="+", default=[1, 4, 16], help="depths of --profile (1 4 16)")
    parse.add_argument("--calls", action="store_true", help="with --profile: PyTorch's table of calls, too")
    parse.add_argument("--out", type=Path, help="folder for step.json, step.md and step.png")
    return parse


def devices(wanted: str) -> list[str]:
    """Return the devices to run on."""
    if wanted != "auto":
        return [wanted]
    return ["cpu", "cuda"] if torch.cuda.is_available() else ["cpu"]


def main(arguments: Sequence[str] | None = None) -> int:
    parse = parser()
    options = parse.parse_args(arguments)
    try:
        get_solver(options.solver)
        if options.profile:
            base = [Cell(int(options.profile[0]), options.profile[1], options.batch)]
        elif options.cells:
            base = [Cell.parse(text) for text in options.cells]
        else:
            base = grid("quick" if options.quick else "full" if options.full else "default")
    except Exception as error:
        parse.error(str(error))
    cells = [
        replace(cell, device=device, solver=options.solver, rtol=options.rtol)
        for device in devices(options.device)
        for cell in base
    ]
    facts = machine(options.threads)
    print(describe(facts), end="\n\n", flush=True)
    if options.profile:
        torch.set_num_threads(options.threads)
        for cell in cells:
            print(profile_table(cell, tuple(options.depths), options.repetitions))
            if options.calls:
                print(calls_table(replace(cell, depth=options.depths[0])))
        print(changed_since(facts))
        return 0
    if options.out:
        options.out.mkdir(parents=True, exist_ok=True)
    rows: list[Row] = []
    for line in table([]).splitlines():
        print(line, flush=True)
    for cell in cells:
        results, floor = run_cell(
            cell,
            options.contenders,
            repetitions=options.repetitions,
            threads=options.threads,
            limit=options.time_limit,
            note=_note if sys.stderr.isatty() else lambda text: None,
        )
        rows.append((cell, results, floor))
        for line in row_lines(cell, results):
            print(line, flush=True)
        if options.out:  # after every cell, so that a run that is stopped has written what it had
            write_json(options.out / "step.json", facts, rows)
            text = f"{describe(facts)}\n\n{table(rows)}\n\n{floor_table(rows)}\n\n{changed_since(facts)}\n"
            (options.out / "step.md").write_text(text)
            plot(options.out / "step.png", rows, describe(facts).splitlines()[1][:140])
    print(f"\n{floor_table(rows)}\n\n{changed_since(facts)}")
    return 0


def _note(text: str) -> None:
    print(f"\r\x1b[K{text}\r", end="", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
