"""Which solver for this model? All of them on the same function and samples, from the same y0."""

from qdeq.study.result import SolverResult, SolverStudy
from qdeq.study.run import study_solvers
from qdeq.study.subject import Subject

__all__ = ["SolverResult", "SolverStudy", "Subject", "study_solvers"]
