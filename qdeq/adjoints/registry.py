"""From a name or a mapping, as an experiment file holds it, to an adjoint."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from qdeq.adjoints.base import Adjoint
from qdeq.adjoints.dense import DenseAdjoint
from qdeq.adjoints.gmres import GmresAdjoint
from qdeq.adjoints.iterative import IterativeAdjoint
from qdeq.adjoints.phantom import JacobianFreeAdjoint, PhantomAdjoint
from qdeq.adjoints.unrolled import UnrolledAdjoint
from qdeq.errors import SolverError, did_you_mean
from qdeq.plugins import SOLVERS, explain_options
from qdeq.solvers import get_solver

ADJOINTS: dict[str, type[Adjoint]] = {
    "dense": DenseAdjoint,
    "gmres": GmresAdjoint,
    "phantom": PhantomAdjoint,
    "jacobian-free": JacobianFreeAdjoint,
    "unrolled": UnrolledAdjoint,
}
"""The adjoints by name. Any other name is that of a solver, for :class:`~qdeq.adjoints.iterative.IterativeAdjoint`."""


def get_adjoint(choice: str | Mapping[str, Any] | Adjoint) -> Adjoint:
    """Return the adjoint that ``choice`` describes.

    Args:
        choice: A name (``"dense"``, ``"broyden"``), a mapping with ``name`` and options
            (``{"name": "phantom", "steps": 5}``), or an adjoint, which is returned as it is.

    Raises:
        PluginError: The name is that of a solver that could not be loaded.
        SolverError: There is no such adjoint or solver, or an option is unknown or out of range.
    """
    if isinstance(choice, Adjoint):
        return choice
    options = dict(choice) if isinstance(choice, Mapping) else {"name": choice}
    name = options.pop("name", None)
    solvers = SOLVERS.names()
    if not isinstance(name, str) or not all(isinstance(option, str) for option in options):
        raise SolverError(
            f"an adjoint is a name or a mapping with 'name' and its options, not {choice!r}; "
            f"allowed: {', '.join(ADJOINTS)}, or a solver: {', '.join(solvers)}"
        )
    if name not in ADJOINTS:
        if name.partition(":")[0] not in solvers:
            raise SolverError(
                f"unknown adjoint {name!r}; allowed: {', '.join(ADJOINTS)}, or a solver: {', '.join(solvers)}."
                f"{did_you_mean(name, [*ADJOINTS, *solvers])}"
            )
        return IterativeAdjoint(get_solver({"name": name, **options}))
    try:
        return ADJOINTS[name](**options)
    except ValidationError as invalid:
        raise SolverError(explain_options(f"adjoint {name!r}", ADJOINTS[name], invalid)) from invalid
