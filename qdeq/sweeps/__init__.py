"""Sweeps: many runs of one experiment, on a cluster or on this machine, and what they say together.

>>> sweep = load_sweep("configs/sweeps/digits-modes.yaml")  # doctest: +SKIP
>>> result = run_sweep(sweep, "runs/digits-modes", workers=2)  # doctest: +SKIP
>>> result.difference(("implicit", "direct-5"), "test.accuracy")  # doctest: +SKIP
"""

from qdeq.sweeps.cells import Cell, Sweep, expand, load_sweep
from qdeq.sweeps.folder import SweepFolder
from qdeq.sweeps.progress import SweepPlan, SweepProgress
from qdeq.sweeps.result import CellResult, SweepResult
from qdeq.sweeps.run import SweepInterrupted, SweepTerminated, run_sweep
from qdeq.sweeps.spec import SweepSpec
from qdeq.sweeps.statistics import Spread, paired, spread

__all__ = [
    "Cell",
    "CellResult",
    "Spread",
    "Sweep",
    "SweepFolder",
    "SweepInterrupted",
    "SweepPlan",
    "SweepProgress",
    "SweepResult",
    "SweepSpec",
    "SweepTerminated",
    "expand",
    "load_sweep",
    "paired",
    "run_sweep",
    "spread",
]
