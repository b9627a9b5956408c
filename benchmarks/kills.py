"""``kill -9`` at random moments of a run: ``python -m benchmarks.kills --kills 20 --out runs/kills``.

A run goes on and is killed, again and again, until it ends. After each kill a copy of its folder is resumed to the end
and compared, byte for byte, with the run that nobody disturbed; and every checkpoint of the folder is read.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from qdeq.training import RunFolder, load_checkpoint, read_log

CONFIG = "configs/digits.yaml"
STEPS_BETWEEN_CHECKPOINTS = 7  # no divisor of an epoch's 15 steps, so that epochs are cut in the middle too


@dataclass(frozen=True)
class Kill:
    """One kill, and what came of it.

    Attributes:
        after: When it came, after the process began [s].
        step: The step that the run could go on from; None if there was no checkpoint yet.
        checkpoints: How many there were, all of which could be read.
        seconds: How long the resumed copy took to the end.
        different: Files of the copy that differ from the undisturbed run's.
    """

    after: float
    step: int | None
    checkpoints: int
    seconds: float
    different: list[str]


def main(arguments: Sequence[str] | None = None) -> int:
    """Kill, resume, compare, print, and return 1 if anything differed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    parser.add_argument("--config", default=CONFIG)
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="change the experiment")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args(arguments)
    options.out.mkdir(parents=True, exist_ok=True)
    changes = [f"training.checkpoint_steps={STEPS_BETWEEN_CHECKPOINTS}", *options.set]
    begin = ["train", options.config, *(word for change in changes for word in ("--set", change)), "--force", "--out"]
    whole = options.out / "whole"
    started = time.monotonic()
    _qdeq([*begin, str(whole)])
    longest = time.monotonic() - started
    print(f"undisturbed: {longest:.1f} s, {RunFolder(whole).checkpoint('last').name}")
    kills = kill_and_resume(begin, whole, options.out, options.kills, longest, random.Random(options.seed))
    (options.out / "kills.json").write_text(json.dumps([asdict(kill) for kill in kills], indent=2), encoding="utf-8")
    bad = [kill for kill in kills if kill.different]
    print(f"{len(kills)} kills, {len(bad)} of which made a difference")
    return 1 if bad else 0


def kill_and_resume(
    begin: list[str], whole: Path, out: Path, kills: int, longest: float, moments: random.Random
) -> list[Kill]:
    """Kill a run so often, and a new one wherever one has come to its end.

    Args:
        begin: The command that begins a run, up to its folder.
        whole: The undisturbed run.
        out: Where the others go.
        kills: How many.
        longest: The longest time to wait before a kill [s].
        moments: Their source.
    """
    run, copy = out / "killed", out / "copy"
    shutil.rmtree(run, ignore_errors=True)
    done: list[Kill] = []
    while len(done) < kills:
        after = moments.uniform(0, longest)
        words = ["train", "--resume", str(run)] if (run / "spec.yaml").is_file() else [*begin, str(run)]
        if not _killed(words, after):  # it had come to its end before
            shutil.rmtree(run)
            continue
        folder = RunFolder(run)
        states = folder.states()
        for path in (*states, *(path for path in [folder.checkpoint("best")] if path.exists())):
            load_checkpoint(path)  # raises if it is not whole
        shutil.rmtree(copy, ignore_errors=True)
        started = time.monotonic()
        if (run / "spec.yaml").is_file():
            shutil.copytree(run, copy)
            _qdeq(["train", "--resume", str(copy)])
        else:
            _qdeq([*begin, str(copy)])
        kill = Kill(
            after=after,
            step=load_checkpoint(states[-1]).info.step if states else None,
            checkpoints=len(states),
            seconds=time.monotonic() - started,
            different=differences(whole, copy),
        )
        print(f"killed after {after:.2f} s, at step {kill.step}: {', '.join(kill.different) or 'the same'}", flush=True)
        done.append(kill)
    return done


def differences(one: Path, other: Path) -> list[str]:
    """Return the names of what differs between two runs that should be equal: weights, states, metrics, figures."""
    a, b = RunFolder(one), RunFolder(other)
    mine, theirs = (
        {path.name: path.read_bytes() for path in (*run.states(), run.checkpoint("best"))} for run in (a, b)
    )
    different = sorted(name for name in mine.keys() | theirs.keys() if mine.get(name) != theirs.get(name))
    if [_untimed(each) for each in read_log(a.metrics)] != [_untimed(each) for each in read_log(b.metrics)]:
        different.append(a.metrics.name)
    if _untimed(json.loads(a.summary.read_text())) != _untimed(json.loads(b.summary.read_text())):
        different.append(a.summary.name)
    return different


def _untimed(data: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in data.items() if key not in ("time", "memory")}


def _qdeq(words: Sequence[str]) -> None:
    subprocess.run([sys.executable, "-m", "qdeq", *words, "--quiet"], check=True)


def _killed(words: Sequence[str], after: float) -> bool:
    """Start a command, and kill it after so many seconds; return whether it was still running."""
    process = subprocess.Popen([sys.executable, "-m", "qdeq", *words, "--quiet"], stderr=subprocess.DEVNULL)
    try:
        process.wait(timeout=after)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGKILL)
        return process.wait() == -signal.SIGKILL
    if process.returncode:
        raise RuntimeError(f"the run failed: qdeq {' '.join(words)}")
    return False


if __name__ == "__main__":
    sys.exit(main())
