"""The paper's tables, run again: its rows with several seeds, beside what it claims and a classical row.

================ ======================================================================================
``table``        the tables, which ship as data in ``tables/``, and the sweep that each one is
``run``          runs or resumes that sweep, and puts the figures together
``classical``    logistic regression on the same features and splits
``costs``        circuit depth and circuit executions, from the circuit and the planner
``result``       rows and differences
``noise``        trained models under depolarising noise and under finite shots; ``noise_result`` is what that gives
================ ======================================================================================

>>> from qdeq.reproduce import load_table, reproduce
>>> reproduce(load_table("mnist4-amplitude"), "runs/mnist4", workers=2)  # doctest: +SKIP
"""

from qdeq.reproduce.noise import study_noise
from qdeq.reproduce.noise_result import NoiseStudy
from qdeq.reproduce.result import Reproduction
from qdeq.reproduce.run import reproduce
from qdeq.reproduce.table import PaperTable, load_table, table_names

__all__ = [
    "NoiseStudy",
    "PaperTable",
    "Reproduction",
    "load_table",
    "reproduce",
    "study_noise",
    "table_names",
]
