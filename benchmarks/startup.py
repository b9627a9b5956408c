"""How long it takes before anything happens: ``import qdeq`` beyond PyTorch, ``qdeq --help``, and a name completed.

    python -m benchmarks.startup [--repeats 15] [--out DIR]

Each figure is that of new processes, which take turns. The machine has to be idle: on a busy one look at the processor
time, which is printed beside the wall-clock time, and at the least of each.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

CASES = {
    "python": [sys.executable, "-c", "pass"],
    "torch": [sys.executable, "-c", "import torch"],
    "torch, then qdeq": [sys.executable, "-c", "import torch, qdeq"],
    "torch, then all of qdeq": [
        sys.executable,
        "-c",
        "import torch, qdeq\nfor name in qdeq.__all__: getattr(qdeq, name)",
    ],
    "qdeq": [sys.executable, "-c", "import qdeq"],
    "qdeq --help": [sys.executable, "-m", "qdeq", "--help"],
    "qdeq train --help": [sys.executable, "-m", "qdeq", "train", "--help"],
}
AIMS = {"import qdeq beyond torch": 0.3, "qdeq --help": 0.5}
"""Seconds of wall-clock time."""


def one(command: list[str]) -> tuple[float, float]:
    """Return wall-clock and processor time of a process [s]."""
    before, began = os.times(), time.perf_counter()
    subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
    took, after = time.perf_counter() - began, os.times()
    used = after.children_user + after.children_system - before.children_user - before.children_system
    return took, used


def measure(repeats: int) -> dict[str, dict[str, float]]:
    """Return the least and the median of each case; the first turn only warms the disk's cache."""
    times: dict[str, list[tuple[float, float]]] = {case: [] for case in CASES}
    for turn in range(repeats + 1):
        for case, command in CASES.items():
            found = one(command)
            if turn:
                times[case].append(found)
    return {
        case: {
            "least": min(wall for wall, _ in rows),
            "median": statistics.median(wall for wall, _ in rows),
            "processor": min(used for _, used in rows),
        }
        for case, rows in times.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    load = os.getloadavg()[0]
    found = measure(options.repeats)
    print(f"load before: {load:.1f}; {options.repeats} processes each; seconds\n")
    print("| what | least | median | least processor time |\n| --- | --- | --- | --- |")
    for case, figures in found.items():
        print(f"| {case} | " + " | ".join(f"{value:.2f}" for value in figures.values()) + " |")
    beyond = {key: found["torch, then qdeq"][key] - found["torch"][key] for key in ("least", "median", "processor")}
    print("| import qdeq beyond torch | " + " | ".join(f"{value:.2f}" for value in beyond.values()) + " |\n")
    for what, figures in {"import qdeq beyond torch": beyond, "qdeq --help": found["qdeq --help"]}.items():
        met = "met" if figures["least"] < AIMS[what] else "not met"
        print(f"aim: {what} under {AIMS[what]} s: {met} ({figures['least']:.2f} s)")
    if options.out:
        options.out.mkdir(parents=True, exist_ok=True)
        (options.out / "startup.json").write_text(json.dumps({"load": load, "seconds": found}, indent=2) + "\n")


if __name__ == "__main__":
    main()
