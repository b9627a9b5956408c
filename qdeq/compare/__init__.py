"""Is it the same equilibrium on every backend? Function, derivatives, solve and a short training, side by side."""

from qdeq.compare.result import BackendResult, Comparison, Cost, Difference
from qdeq.compare.run import compare

__all__ = ["BackendResult", "Comparison", "Cost", "Difference", "compare"]
