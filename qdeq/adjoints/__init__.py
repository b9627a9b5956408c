"""How an equilibrium gets its gradient: the adjoints, what they record, and how one is picked by name.

=================  =====================================================================  ============================
name               gradient                                                               second derivative
=================  =====================================================================  ============================
``dense``          exact: the N x N system of the implicit function theorem               with ``order: 2``
``gmres``          exact to a tolerance, without an N x N matrix                          refused
a solver's name    exact to a tolerance: any fixed-point solver on the same system        refused
``phantom``        biased: k damped steps of that system's fixed-point iteration          refused
``jacobian-free``  biased: none of it                                                     refused
``unrolled``       of the steps that the solver took, in place of the equilibrium         right
=================  =====================================================================  ============================
"""

from qdeq.adjoints.base import Adjoint, AdjointRecord, SolverPath, attach
from qdeq.adjoints.dense import DenseAdjoint
from qdeq.adjoints.gmres import GmresAdjoint
from qdeq.adjoints.implicit import ImplicitAdjoint
from qdeq.adjoints.iterative import IterativeAdjoint
from qdeq.adjoints.phantom import JacobianFreeAdjoint, PhantomAdjoint
from qdeq.adjoints.registry import ADJOINTS, get_adjoint
from qdeq.adjoints.unrolled import UnrolledAdjoint

__all__ = [
    "ADJOINTS",
    "Adjoint",
    "AdjointRecord",
    "DenseAdjoint",
    "GmresAdjoint",
    "ImplicitAdjoint",
    "IterativeAdjoint",
    "JacobianFreeAdjoint",
    "PhantomAdjoint",
    "SolverPath",
    "UnrolledAdjoint",
    "attach",
    "get_adjoint",
]
