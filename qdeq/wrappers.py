"""Functions made of others: what feeds a state back, masks it, lets shots grow or counts calls, hands on all the rest.

Everything of the contract (:class:`~qdeq.functions.Function`) passes through :class:`Wrapper`, by construction.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from operator import attrgetter

from torch import Tensor

from qdeq.errors import SolverError
from qdeq.functions import Function, as_function
from qdeq.numbers import finite, whole


@dataclass(frozen=True, eq=False)
class Wrapper(Function):
    """``g(y, *rows)`` made of another function, whose whole contract it hands on.

    A subclass says in :meth:`arguments` what the inner function is called with, in :meth:`chain` what that makes of its
    Jacobian, and in :meth:`chosen` which function it is where rows decide that. Its options are fields.

    Attributes:
        inner: The function within; a plain callable is lifted.
    """

    inner: Function

    def __post_init__(self) -> None:
        object.__setattr__(self, "inner", as_function(self.inner))

    shots = property(attrgetter("inner.shots"))
    settings = property(attrgetter("inner.settings"))
    first_shots = property(attrgetter("inner.first_shots"))
    shots_growth = property(attrgetter("inner.shots_growth"))
    has_jacobian = property(attrgetter("inner.has_jacobian"))
    cheap_products = property(attrgetter("inner.cheap_products"))
    frozen = property(attrgetter("inner.frozen"))

    def chosen(self, *rows: Tensor) -> Function:
        """Return the inner function for these rows."""
        return self.inner

    def arguments(self, y: Tensor, *rows: Tensor) -> tuple[Tensor, ...]:
        """Return what the inner function is called with."""
        return (y, *rows)

    def chain(self, inner: Tensor, y: Tensor, *rows: Tensor) -> Tensor:
        """Return ``∂g/∂y``, given the inner function's Jacobian at :meth:`arguments`."""
        return inner

    def __call__(self, y: Tensor, *rows: Tensor) -> Tensor:
        """Return g at y."""
        return self.chosen(*rows)(*self.arguments(y, *rows))

    def measure(self, y: Tensor, *rows: Tensor) -> tuple[Tensor, Tensor]:
        """Return g and its standard errors, without a graph."""
        return self.chosen(*rows).measure(*self.arguments(y, *rows))

    def jacobian(self, y: Tensor, *rows: Tensor, create_graph: bool = False) -> Tensor:
        """Return ``∂g/∂y``, by the chain rule."""
        options = {"create_graph": True} if create_graph else {}
        return self.chain(self.chosen(*rows).jacobian(*self.arguments(y, *rows), **options), y, *rows)

    def at_evaluation(self, number: int) -> Function:
        """Return g with the random numbers of another evaluation."""
        return self._around(self.inner.at_evaluation(number))

    def at_shots(self, shots: int) -> Function:
        """Return g with another number of shots."""
        return self._around(self.inner.at_shots(shots))

    def _around(self, inner: Function) -> Function:
        return self if inner is self.inner else replace(self, inner=inner)


@dataclass(frozen=True, eq=False)
class GrowingShots(Wrapper):
    """A measured f, as a solve takes it that begins with few shots.

    A sample's shots are multiplied where its residual is noise, until they are all that f has. It is then measured
    again at the same iterate, with new shots alone, so that no test is made of the numbers that led to it. Early
    iterates, far from the equilibrium, are cheap in this way.

    R. H. Byrd, G. M. Chin, J. Nocedal, Y. Wu, Math. Program. 134, 127 (2012), let samples grow by such a test of norms.

    Attributes:
        inner: f, with a number of shots.
        first: Shots of a sample's first evaluation.
        growth: Factor by which they grow.

    Raises:
        SolverError: f has no shots, or fewer; or they would not grow.
    """

    first: int
    growth: float = 4.0

    def __post_init__(self) -> None:
        super().__post_init__()
        whole(self.first, "the first number of shots", 1, error=SolverError)
        if self.shots is None or self.first > self.shots:
            raise SolverError(
                f"first evaluations are to have {self.first} shots, but f has {self.shots or 'none'}.\n"
                "Begin with at least 1, and at most with what f has."
            )
        if not finite(self.growth, "the growth of shots", error=SolverError) > 1:
            raise SolverError(f"shots that are to grow cannot be multiplied by {self.growth}; the factor is above 1.")

    first_shots = property(attrgetter("first"))
    shots_growth = property(attrgetter("growth"))

    def at_shots(self, shots: int) -> Function:
        """Return f with so many shots, which do not grow."""
        return self.inner.at_shots(shots)
