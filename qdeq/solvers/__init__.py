"""Fixed-point solvers: y = f(y), sample by sample. They know nothing of quantum computing.

>>> import torch
>>> from qdeq.solvers import Broyden, solve
>>> solution = solve(Broyden(rtol=1e-6), torch.cos, torch.zeros(3, 4))
>>> solution.all_converged
True
"""

from qdeq.solvers.anderson import Anderson
from qdeq.solvers.base import SOLVER_CONFIG, CompositeSolver, Problem, Solver
from qdeq.solvers.broyden import Broyden
from qdeq.solvers.driver import solve, solve_in_turn
from qdeq.solvers.fallback import Fallback
from qdeq.solvers.naive import Naive
from qdeq.solvers.newton import Newton
from qdeq.solvers.newton_krylov import NewtonKrylov
from qdeq.solvers.registry import get_solver
from qdeq.solvers.solution import Solution, Status
from qdeq.wrappers import GrowingShots

__all__ = [
    "SOLVER_CONFIG",
    "Anderson",
    "Broyden",
    "CompositeSolver",
    "Fallback",
    "GrowingShots",
    "Naive",
    "Newton",
    "NewtonKrylov",
    "Problem",
    "Solution",
    "Solver",
    "Status",
    "get_solver",
    "solve",
    "solve_in_turn",
]
