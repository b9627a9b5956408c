"""The long run: many inputs for every target, a table of what came of them, and every failing input kept for replay."""

from __future__ import annotations

import argparse
import hashlib
import os
import sys
import tempfile
import time
import warnings
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import torch
from hypothesis import HealthCheck, Phase, given, seed, settings
from joblib import Parallel, delayed

from benchmarks.fuzz.files import make_playground
from benchmarks.fuzz.targets import TARGETS
from benchmarks.fuzz.trial import attempt

CHUNK = 1000
"""Inputs of one target in one go: hypothesis remembers all that it has drawn."""
LEAST_PARSED = 0.5


@dataclass
class Tally:
    """What came of some inputs of one target."""

    target: str
    inputs: int = 0
    parsed: int = 0
    accepted: int = 0
    cpu: float = 0.0
    slowest: float = 0.0
    failures: list[tuple[str, bytes]] = field(default_factory=list)

    def __add__(self, other: Tally) -> Tally:
        return Tally(
            self.target, self.inputs + other.inputs, self.parsed + other.parsed, self.accepted + other.accepted,
            self.cpu + other.cpu, max(self.slowest, other.slowest), self.failures + other.failures,
        )  # fmt: skip


def run_chunk(name: str, inputs: int, number: int) -> Tally:
    """Run one target on so many inputs, in a folder of its own; the number is hypothesis' seed."""
    target, tally = TARGETS[name], Tally(name)
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")  # of numpy, on headers of old versions
    home = Path.cwd()
    with tempfile.TemporaryDirectory() as folder:
        playground = make_playground(Path(folder) / "playground")
        os.chdir(playground)  # what a relative path in an input starts from

        @settings(
            max_examples=inputs, database=None, deadline=None, phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )  # fmt: skip
        @seed(number)
        @given(target.inputs)
        def run(content: bytes) -> None:
            trial = attempt(target, content, playground)
            tally.inputs += 1
            tally.parsed += trial.parsed
            tally.accepted += trial.accepted
            tally.slowest = max(tally.slowest, trial.seconds)
            if trial.failure:
                tally.failures.append((trial.failure, content))

        begin = time.process_time()
        try:
            run()
        finally:
            os.chdir(home)
        tally.cpu = time.process_time() - begin
    return tally


def replay(file: Path) -> int:
    """Run one input that failed again; its target is the beginning of the file's name."""
    content = file.read_bytes()
    target = TARGETS[file.name.partition("-")[0]]
    with tempfile.TemporaryDirectory() as folder:
        playground = make_playground(Path(folder) / "playground")
        os.chdir(playground)
        trial = attempt(target, content, playground)
    print(f"{target.name}: {trial.failure or ('accepted' if trial.accepted else 'refused, as it should be')}")
    return 1 if trial.failure else 0


def keep(failures: list[tuple[str, bytes]], target: str, folder: Path) -> None:
    """Write failing inputs into a folder, each with what failed beside it."""
    folder.mkdir(parents=True, exist_ok=True)
    for failure, content in failures:
        name = f"{target}-{hashlib.sha256(content).hexdigest()[:12]}"
        (folder / f"{name}.input").write_bytes(content)
        (folder / f"{name}.txt").write_text(failure + "\n", encoding="utf-8", errors="backslashreplace")


def table(tallies: list[Tally]) -> str:
    """Return the results as Markdown."""
    lines = [
        "| target | inputs | past the first parser | accepted | inputs/s (CPU) | slowest [s] | failures |",
        "| --- | --: | --: | --: | --: | --: | --: |",
    ]
    for tally in tallies:
        lines.append(
            f"| {tally.target} | {tally.inputs:,} | {tally.parsed / tally.inputs:.1%} | "
            f"{tally.accepted / tally.inputs:.1%} | {tally.inputs / tally.cpu:.0f} | {tally.slowest:.2f} | "
            f"{len(tally.failures)} |"
        )
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.fuzz", description=__doc__)
    parser.add_argument("--inputs", type=int, default=100_000, help="of all targets together")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("runs/fuzz"), help="folder of the table and failing inputs")
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    parser.add_argument("--targets", nargs="+", choices=list(TARGETS), default=list(TARGETS))
    parser.add_argument("--replay", type=Path, help="run one input again")
    options = parser.parse_args()
    if options.replay:
        return replay(options.replay.resolve())

    each = -(-options.inputs // len(options.targets))
    chunks = [
        (name, min(CHUNK, each - begin), options.seed * 1_000_003 + begin)
        for begin in range(0, each, CHUNK)
        for name in options.targets
    ]
    begin = time.perf_counter()
    totals: dict[str, Tally] = {name: Tally(name) for name in options.targets}
    done = 0
    for tally in Parallel(n_jobs=options.jobs, return_as="generator")(delayed(run_chunk)(*chunk) for chunk in chunks):
        totals[tally.target] += tally
        done += tally.inputs
        keep(tally.failures, tally.target, options.out / "failures")
        for failure, count in Counter(failure for failure, _ in tally.failures).most_common(5):
            print(f"{tally.target}: {count} x {failure}", flush=True)
        print(f"{done:,} inputs, {time.perf_counter() - begin:.0f} s", file=sys.stderr, flush=True)
    seconds = time.perf_counter() - begin
    failures = sum(len(tally.failures) for tally in totals.values())
    parsed = sum(tally.parsed for tally in totals.values())
    text = (
        f"{table(list(totals.values()))}\n\n{done:,} inputs, seed {options.seed}: {parsed / done:.1%} past the first "
        f"parser, {failures} failures, {seconds:.0f} s in {options.jobs} process(es), {done / seconds:.0f} inputs/s"
    )
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "table.md").write_text(text + "\n", encoding="utf-8")
    print(text)
    return 1 if failures or any(tally.parsed < LEAST_PARSED * tally.inputs for tally in totals.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
