"""The contract of a fixed-point solver: options, `init`, `step`, and the counted view of f that a step is given.

A solver finds y = f(y) for each sample of a batch by itself. To write one, subclass :class:`Solver` under the same
decorator, keep in a NamedTuple what a step needs from earlier steps, and leave the loop to :func:`qdeq.solvers.solve`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Annotated, Any

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass
from torch import Tensor

from qdeq.errors import SolverError
from qdeq.jacobians import NotDifferentiable, jacobian

SOLVER_CONFIG = ConfigDict(extra="forbid", allow_inf_nan=False)
"""Options are checked however a solver is built, and unknown ones are refused."""


@dataclass(frozen=True, kw_only=True, config=SOLVER_CONFIG)
class Solver(ABC):
    """Options that every solver has, and the two methods that make one.

    ``y`` and ``fy`` are flattened real tensors ``[b, N]`` that hold only the samples still being solved. Neither
    method may change its arguments in place, and no sample's result may depend on another's: work along the last
    dimensions, without anything that mixes rows.
    """

    max_steps: Annotated[int, Field(ge=0, description="Step budget of each sample [steps]; 0 only measures y0.")] = 50
    rtol: Annotated[float, Field(ge=0, description="Tolerance relative to ||f(y)||_2 [dimensionless].")] = 1e-4
    atol: Annotated[float, Field(ge=0, description="Absolute tolerance on ||f(y) - y||_2 [units of y].")] = 1e-6

    @abstractmethod
    def init(self, y0: Tensor, f0: Tensor) -> Any:
        """Return the state before the first step.

        Args:
            y0: ``[b, N]``, first iterate.
            f0: ``[b, N]``, f at ``y0``.

        Returns:
            A NamedTuple. Its tensors have the batch first, and lose the rows of frozen samples between two steps;
            members of any other type are passed on as they are.
        """

    @abstractmethod
    def step(self, problem: Problem, state: Any, y: Tensor, fy: Tensor) -> tuple[Tensor, Any]:
        """Propose the next iterate.

        Args:
            problem: f for the same samples, should the step want more than ``fy``.
            state: What :meth:`init` or the last step returned.
            y: ``[b, N]``, current iterate.
            fy: ``[b, N]``, f at ``y``; finite.

        Returns:
            The next iterate ``[b, N]`` and the next state. A row that is not finite ends that sample alone.
        """


class Problem:
    """f restricted to the samples still being solved; it flattens, checks and counts.

    Args:
        f: ``f(y, *args)`` on ``[b, *S]``, returning the same shape and dtype. It may have a method
            ``jacobian(y, *args)`` that returns df/dy as ``[b, *S, *S]``.
        shape: S, the shape of one sample's state.
        args: Tensors with the batch first.
        name: The solver's name, for messages.

    Attributes:
        evaluations: Calls of f so far. Each is made for all active samples, so this is also the count per sample.
        jacobians: Jacobians formed so far, counted likewise.
    """

    def __init__(self, f: Callable[..., Tensor], shape: Sequence[int], args: tuple[Tensor, ...], name: str) -> None:
        self._f = f
        self._shape = tuple(shape)
        self._args = args
        self._name = name
        self.evaluations = 0
        self.jacobians = 0

    def __call__(self, y: Tensor) -> Tensor:
        """Return f(y) ``[b, N]`` for ``y [b, N]``; this costs each active sample one evaluation.

        Raises:
            SolverError: f returned another shape or dtype than it was given.
        """
        self.evaluations += 1
        given = y.clone().reshape(-1, *self._shape)  # f may overwrite its argument without harm to the solver's y
        # a function that is sampled draws anew at each evaluation, and the same again when asked for the same one
        f = self._f.at_evaluation(self.evaluations) if hasattr(self._f, "at_evaluation") else self._f
        return self._checked(f(given, *self._args), given, "f").reshape(y.shape)

    def jacobian(self, y: Tensor) -> Tensor:
        """Return df/dy ``[b, N, N]`` for ``y [b, N]``: row i holds the derivatives of f's i-th component.

        ``f.jacobian`` is used where f has it. Otherwise this costs one evaluation and N vector-Jacobian products.

        Raises:
            SolverError: f has no ``jacobian`` and its result cannot be differentiated.
        """
        self.jacobians += 1
        if not hasattr(self._f, "jacobian"):
            self.evaluations += 1
        try:
            return jacobian(self._f, y.clone().reshape(-1, *self._shape), self._args)
        except NotDifferentiable as error:
            raise SolverError(
                f"{self._name}: {error}\n"
                "Make f differentiable, give it a method jacobian(y, *args), or use a derivative-free solver."
            ) from error

    def keep(self, rows: Tensor) -> None:
        """Drop all samples but ``rows`` (indices into the active ones, ``[b']``)."""
        self._args = tuple(arg.index_select(0, rows) for arg in self._args)

    def _checked(self, output: Any, given: Tensor, what: str) -> Tensor:
        if not isinstance(output, Tensor):
            raise SolverError(f"{self._name}: {what} returned {type(output).__name__}. It must return a tensor.")
        if output.shape != given.shape or output.dtype != given.dtype:
            raise SolverError(
                f"{self._name}: {what} returned {describe(output)} for {describe(given)}.\n"
                "A fixed point needs the same shape and dtype on both sides: change y0 or what f returns."
            )
        return output


def describe(tensor: Tensor) -> str:
    """Return a tensor's dtype and shape for a message, such as ``float32 [8, 4]``."""
    return f"{str(tensor.dtype).removeprefix('torch.')} {list(tensor.shape)}"
