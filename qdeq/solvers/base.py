"""The contract of a fixed-point solver: options, `init`, `step`, and the counted view of f that a step is given.

A solver finds y = f(y) for each sample of a batch by itself. To write one, subclass :class:`Solver` under the same
decorator, keep in a NamedTuple what a step needs from earlier steps, and leave the loop to :func:`qdeq.solvers.solve`.
"""

from __future__ import annotations

from abc import ABCMeta, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Annotated, Any, ClassVar

import torch
from pydantic import ConfigDict, Field, ValidationError, field_validator
from pydantic.dataclasses import dataclass
from torch import Tensor

from qdeq.errors import SolverError
from qdeq.functions import Function, NotDifferentiable, as_function, held_batch, refuse_closed_over_batch
from qdeq.jacobians import jacobian
from qdeq.numbers import as_number
from qdeq.plugins import explain_options

SOLVER_CONFIG = ConfigDict(extra="forbid", allow_inf_nan=False)
"""Options are checked however a solver is built, and unknown ones are refused."""


class _CheckedOptions(ABCMeta):
    """Puts what pydantic has against a solver's options into one line, for every subclass without its doing."""

    def __call__(cls, *args: Any, **options: Any) -> Any:
        try:
            return super().__call__(*args, **options)
        except ValidationError as invalid:
            raise SolverError(explain_options(cls.__name__, cls, invalid)) from invalid


@dataclass(frozen=True, kw_only=True, config=SOLVER_CONFIG)
class Solver(metaclass=_CheckedOptions):
    """Options that every solver has, and the two methods that make one.

    ``y`` and ``fy`` are flattened real tensors ``[b, N]`` that hold only the samples still being solved. Neither
    method may change its arguments in place, and no sample's result may depend on another's: work along the last
    dimensions, without anything that mixes rows.
    """

    max_steps: Annotated[int, Field(ge=0, description="Step budget of each sample [steps]; 0 only measures y0.")] = 50
    rtol: Annotated[float, Field(ge=0, description="Tolerance relative to ||f(y)||_2 [dimensionless].")] = 1e-4
    atol: Annotated[float, Field(ge=0, description="Absolute tolerance on ||f(y) - y||_2 [units of y].")] = 1e-6

    __numbers = field_validator("*", mode="before")(as_number)

    differentiable: ClassVar[bool] = True
    """Whether :meth:`step` stays within PyTorch, so that an unrolled gradient can follow it."""

    @property
    def evaluations_per_step(self) -> int:
        """Most evaluations of f that a step costs a sample: 1, by the loop, unless :meth:`step` calls f itself.

        Those that :meth:`Problem.jacobian` makes are left out here and in :attr:`most_evaluations`.
        """
        return 1

    @property
    def most_steps(self) -> int:
        """Most steps that a sample takes."""
        return self.max_steps

    @property
    def most_evaluations(self) -> int:
        """Most evaluations of f that are spent on a sample."""
        return 1 + self.max_steps * self.evaluations_per_step

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


class CompositeSolver(Solver):
    """A solver that is made of others: each is tried, from y0, on the samples that all before it failed on.

    It says who they are; :func:`qdeq.solvers.solve` has them solve. So what is said of a sample was measured by the
    loop, whatever the composite is.
    """

    @property
    @abstractmethod
    def members(self) -> tuple[Solver, ...]:
        """The solvers, in order; at least one."""

    def bound_members(self) -> tuple[Solver, ...]:
        """Return the members, held to the tolerances of the whole."""
        return tuple(replace(member, rtol=self.rtol, atol=self.atol) for member in self.members)

    @property
    def evaluations_per_step(self) -> int:
        """Those of the member with the most."""
        return max(member.evaluations_per_step for member in self.members)

    @property
    def most_steps(self) -> int:
        """Those of all members."""
        return sum(member.most_steps for member in self.members)

    @property
    def most_evaluations(self) -> int:
        """Those of all members, each of which evaluates y0 again."""
        return sum(member.most_evaluations for member in self.members)

    def init(self, y0: Tensor, f0: Tensor) -> Any:
        """Return the first member's state: step by step, a composite is its first member."""
        return self.members[0].init(y0, f0)

    def step(self, problem: Problem, state: Any, y: Tensor, fy: Tensor) -> tuple[Tensor, Any]:
        """Return the first member's step."""
        return self.members[0].step(problem, state, y, fy)


class Problem:
    """f restricted to the samples still being solved; it flattens, checks and counts.

    Args:
        f: ``f(y, *args)`` on ``[b, *S]``, returning the same shape and dtype.
        shape: S, the shape of one sample's state.
        args: Tensors with the batch first.
        name: The solver's name, for messages.

    Attributes:
        evaluations: Calls of f for all active samples so far.
        extra: ``[b]`` int64, evaluations that were made for single samples on top; None where there were none.
        jacobians: Jacobians formed so far, each for all active samples.
        error: What f or its Jacobian raised, so that it is not put down to the solver.
    """

    def __init__(self, f: Callable[..., Tensor], shape: Sequence[int], args: tuple[Tensor, ...], name: str) -> None:
        self._f = f = as_function(f)
        self._numbered = f.at_evaluation(0) is not f
        self._shape = tuple(shape)
        self._args = args
        self._name = name
        self.evaluations = 0
        self.jacobians = 0
        self.error: Exception | None = None
        self.extra: Tensor | None = None
        self._active = self._whole = 0

    def __call__(self, y: Tensor) -> Tensor:
        """Return f(y) ``[b, N]`` for ``y [b, N]``; this costs each active sample one evaluation.

        Raises:
            SolverError: f returned another shape or dtype than it was given.
        """
        self.evaluations += 1
        self._active = len(y)
        return self._values(y, self.evaluations if self.extra is None else self.evaluations + self.extra)

    def at_iterate(self, y: Tensor) -> Tensor:
        """Return f(y) ``[b, N]`` at the iterates; once a step, for the loop alone."""
        return self(y)

    def evaluate(self, rows: Tensor, y: Tensor) -> Tensor:
        """Return f(y) ``[k, N]`` for ``y [k, N]`` and the samples ``rows`` alone, at one evaluation for each of them.

        Args:
            rows: ``[k]`` int64, indices into the active samples, each at most once.
            y: ``[k, N]``.

        Raises:
            SolverError: f returned another shape or dtype than it was given.
        """
        if self.extra is None:
            self.extra = torch.zeros(self._active, dtype=torch.int64, device=y.device)
        self.extra[rows] += 1
        return self._values(y, self.evaluations + self.extra[rows], rows)

    def _values(self, y: Tensor, number: int | Tensor, rows: Tensor | None = None) -> Tensor:
        """Return f(y) ``[k, N]`` for the samples ``rows``, or all, as their ``number``-th evaluation, or ``[k]``."""
        if not self._numbered:
            return self._applied(self._f, y, rows)
        # a function that is sampled draws anew at each evaluation, and the same again when asked for the same one
        if isinstance(number, int):
            return self._applied(self._f.at_evaluation(number), y, rows)
        value = torch.empty_like(y)
        for each in number.unique().tolist():
            same = (number == each).nonzero().squeeze(1)
            value[same] = self._values(y[same], each, same if rows is None else rows[same])
        return value

    def jacobian(self, y: Tensor) -> Tensor:
        """Return df/dy ``[b, N, N]`` for ``y [b, N]``: row i holds the derivatives of f's i-th component.

        f's own is used where it has one. Otherwise this costs one evaluation and N vector-Jacobian products.

        Raises:
            SolverError: f has none of its own, and its result cannot be differentiated.
        """
        self.jacobians += 1
        if not self._f.has_jacobian:
            self.evaluations += 1
        # the solve itself runs without a graph; whoever repeats its steps with one wants that of the Jacobian too
        create_graph = torch.is_grad_enabled()
        try:
            found: Tensor = self._called(lambda y, *args: jacobian(self._f, y, args, create_graph=create_graph), y)
        except NotDifferentiable as error:
            raise SolverError(
                f"{self._name}: {error}\nMake f differentiable, give it a method jacobian (class qdeq.Function), "
                "or use a derivative-free solver."
            ) from error
        return found

    def keep(self, rows: Tensor) -> None:
        """Drop all samples but ``rows`` (indices into the active ones, ``[b']``)."""
        self._args = tuple(arg.index_select(0, rows) for arg in self._args)
        self.extra = None if self.extra is None else self.extra[rows]
        self._active = len(rows)

    def _applied(self, f: Function, y: Tensor, rows: Tensor | None) -> Tensor:
        """Return f ``[k, N]`` at ``y [k, N]`` for the samples ``rows``, or all: checked, and in memory of its own."""
        return self._checked(self._called(f, y, rows), y)

    def _called(self, call: Callable[..., Any], y: Tensor, rows: Tensor | None = None) -> Any:
        """Return ``call(y, *args)`` with y in its shape and the samples' own arguments."""
        args = self._args if rows is None else tuple(arg.index_select(0, rows) for arg in self._args)
        try:
            found = call(y.clone().reshape(-1, *self._shape), *args)  # f may overwrite its argument
        except Exception as error:
            self.error = error
            refuse_closed_over_batch(error, len(y), self._whole)
            raise
        self._whole = max(self._whole, len(y))
        return found

    def _checked(self, output: Any, y: Tensor, what: str = "f") -> Tensor:
        """Return ``[k, N]``, a copy: f may write its next value where this one is."""
        if not isinstance(output, Tensor):
            raise SolverError(f"{self._name}: {what} returned {type(output).__name__}. It must return a tensor.")
        shape = torch.Size((len(y), *self._shape))
        if output.shape != shape or output.dtype != y.dtype:
            if output.shape[:1] == (self._whole,) and len(y) < self._whole:
                raise SolverError(f"{self._name}: {held_batch(len(y), self._whole)}")
            raise SolverError(
                f"{self._name}: {what} returned {describe(output)} for {described(y.dtype, shape)}.\n"
                "A fixed point needs the same shape and dtype on both sides: change y0 or what f returns."
            )
        return output.clone().reshape(y.shape)


def describe(tensor: Tensor) -> str:
    """Return a tensor's dtype and shape for a message, such as ``float32 [8, 4]``."""
    return described(tensor.dtype, tensor.shape)


def described(dtype: torch.dtype, shape: Sequence[int]) -> str:
    """Return the same of a dtype and a shape."""
    return f"{str(dtype).removeprefix('torch.')} {list(shape)}"
