"""Run a cell: one worker process for each contender, checked against each other, then timed in turns."""

from __future__ import annotations

import json
import math
import os
import select
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.contenders import CONTENDERS
from benchmarks.memory_meter import free_bytes
from benchmarks.problem import Cell

ROOT = Path(__file__).resolve().parent.parent
GRADIENT_TOLERANCE = 5e-3
"""Relative difference of gradients in float32: adjoints to rtol 1e-4, times a conditioning of some tens."""
LOSS_TOLERANCE = 1e-4


@dataclass
class Result:
    """What a contender did in a cell.

    Attributes:
        contender: Its name.
        reason: Why there is no figure; None where there is one.
        seconds: Time of each timed step.
        peak_bytes: Peak memory of a step beyond the loaded process.
        evaluations: Evaluations of f in the longest forward solve of the last step.
        failed: Samples of the last step that did not converge.
        loss: Loss of the check, from the common equilibrium.
        nan_loss: Whether a training step's loss was NaN.
        loss_error: ``|loss - loss_qdeq| / |loss_qdeq|`` of the check; None for who takes no part in it.
        gradient_error: ``||g - g_qdeq|| / ||g_qdeq||`` of the check; None for who takes no part in it.
    """

    contender: str
    reason: str | None = None
    seconds: list[float] = field(default_factory=list)
    peak_bytes: int = 0
    evaluations: int = 0
    failed: int = 0
    loss: float | None = None
    nan_loss: bool = False
    loss_error: float | None = None
    gradient_error: float | None = None

    @property
    def median(self) -> float:
        """Median time of a step [s]; NaN for none."""
        return statistics.median(self.seconds) if self.seconds else math.nan

    @property
    def spread(self) -> float:
        """Half the range of the middle half of the times [s]."""
        if len(self.seconds) < 2:
            return 0.0
        low, _, high = statistics.quantiles(self.seconds, n=4)
        return (high - low) / 2

    @property
    def agrees(self) -> bool | None:
        """Whether loss and gradient are those of qdeq; None where that was not asked."""
        if self.gradient_error is None or self.loss_error is None:
            return None
        return self.gradient_error <= GRADIENT_TOLERANCE and self.loss_error <= LOSS_TOLERANCE

    def to_dict(self) -> dict[str, Any]:
        """Return the raw figures and their median, for JSON."""
        return {
            **asdict(self),
            "median_seconds": None if not self.seconds else self.median,
            "spread_seconds": self.spread,
            "agrees": self.agrees,
        }


class Process:
    """A worker process and the time that it may still take.

    Args:
        contender: Its name.
        threads: PyTorch's threads.
        limit: Seconds for all of its requests together.
    """

    def __init__(self, contender: str, threads: int, limit: float) -> None:
        self.result = Result(contender)
        self.left = limit
        self._limit = limit
        environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads)}
        self._process = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-m", "benchmarks.worker"],
            cwd=ROOT,
            env=environment,
            text=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )

    @property
    def alive(self) -> bool:
        """Whether it can still be asked."""
        return self.result.reason is None

    def ask(self, action: str, **arguments: Any) -> dict[str, Any] | None:
        """Send a request; None where the worker refused, died or ran out of time, and then ``result.reason`` is set."""
        if not self.alive:
            return None
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        begin = time.monotonic()
        try:
            self._process.stdin.write(json.dumps({"do": action, **arguments}) + "\n")
            self._process.stdin.flush()
            ready, _, _ = select.select([self._process.stdout], [], [], max(self.left, 0.01))
        except BrokenPipeError:
            ready = [self._process.stdout]
        self.left -= time.monotonic() - begin
        if not ready:
            return self._end(f"over the limit of {self._limit:.3g} s, in `{action}`")
        line = self._process.stdout.readline()
        if not line:
            code = self._process.wait()
            return self._end("killed, most likely out of memory" if code == -9 else f"the process died (exit {code})")
        reply: dict[str, Any] = json.loads(line)
        return self._end(reply["unfit"]) if "unfit" in reply else reply

    def _end(self, reason: str) -> None:
        if not self.result.seconds:  # one that has figures keeps them
            self.result.reason = reason
        self.close()

    def close(self) -> None:
        """End the process."""
        self.left = 0.0
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()


def run_cell(
    cell: Cell,
    contenders: Sequence[str],
    *,
    repetitions: int,
    threads: int,
    limit: float,
    note: Callable[[str], None] = lambda text: None,
    with_floor: bool = True,
) -> tuple[list[Result], dict[str, float] | None]:
    """Measure the contenders in one cell.

    All are checked against qdeq's compiled path from one common equilibrium; then, after a warm-up, they take turns, so
    that a machine that slows down slows all of them. Only one works at any time.

    Args:
        cell: The cell.
        contenders: Names; ``qdeq`` should be among them, for it is what the others are checked against.
        repetitions: Turns of each: a step, or as many in a row as take half a second.
        threads: PyTorch's threads.
        limit: Seconds for one contender, all its steps together; it may end with fewer repetitions.
        note: Called with what is being done.
        with_floor: Whether to measure the floor too.

    Returns:
        The results in the order of ``contenders``, and the floor of qdeq's step (see :mod:`benchmarks.floor`).
    """
    processes: list[Process] = []
    first = sorted(contenders, key=lambda name: name != "qdeq")  # its equilibrium and its count are needed first
    expected, floor = 8, None
    with tempfile.TemporaryDirectory() as folder:
        try:
            gradients: dict[str, list[float]] = {}
            for name in first:
                note(f"{cell.name} {cell.device}: preparing {name}")
                process = Process(name, threads, limit)
                processes.append(process)
                process.ask(
                    "prepare",
                    name=name,
                    cell=cell.to_dict(),
                    budget_bytes=free_bytes(cell.device),
                    budget_seconds=limit,
                    evaluations=expected,
                )
                if CONTENDERS[name].checked and "qdeq" in contenders:
                    reply = process.ask("check", folder=folder, made_by=name == "qdeq")
                    if reply is not None:
                        process.result.loss, gradients[name] = reply["loss"], reply["gradient"]
                warm = process.ask("turn")
                if warm is not None and name == "qdeq":
                    expected = warm["evaluations"]
            _compare(processes, gradients)
            for repetition in range(repetitions):
                note(f"{cell.name} {cell.device}: turn {repetition + 1} of {repetitions}")
                for process in processes:
                    usual = process.result.median
                    if process.left <= (0 if math.isnan(usual) else 1.2 * usual):
                        continue
                    _file(process, process.ask("turn"))
            for process in processes:
                if with_floor and process.result.contender == "qdeq" and process.result.seconds:
                    note(f"{cell.name} {cell.device}: floor")
                    floor = process.ask("floor")
        finally:
            for process in processes:
                process.close()
    order = {name: position for position, name in enumerate(contenders)}
    return sorted((process.result for process in processes), key=lambda result: order[result.contender]), floor


def _file(process: Process, reply: dict[str, Any] | None) -> None:
    if reply is not None:
        result = process.result
        result.seconds.extend(reply["seconds"])
        result.peak_bytes = reply["peak_bytes"]
        result.nan_loss = result.nan_loss or math.isnan(reply["loss"])
        result.evaluations, result.failed = reply["evaluations"], reply["failed"]


def _compare(processes: Sequence[Process], gradients: dict[str, list[float]]) -> None:
    """Fill in how far each loss and gradient is from qdeq's."""
    by_name = {process.result.contender: process.result for process in processes}
    ours = gradients.get("qdeq")
    if ours is None or by_name["qdeq"].loss is None:
        return
    for name, gradient in gradients.items():
        result = by_name[name]
        result.gradient_error = math.dist(gradient, ours) / math.hypot(*ours)
        result.loss_error = abs((result.loss or 0.0) - by_name["qdeq"].loss) / abs(by_name["qdeq"].loss)
