"""What is solved: f(y, *rows), exact or measured, with its Jacobian.

Whatever takes an f takes a plain callable too: :func:`as_function` lifts it, once, where it comes in. From there on
everything is a :class:`Function`, and nothing asks what it has. What changes an f is a wrapper (:mod:`qdeq.wrappers`).
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from typing import TypeVar

import torch
from torch import Tensor

from qdeq.errors import QdeqError, SolverError, UnsupportedError

R = TypeVar("R")


class NotDifferentiable(QdeqError, ValueError):
    """f's value does not depend on y through autograd."""


def _own_rows(method: Callable[..., R]) -> Callable[..., R]:
    """Return the method as it is; to a type checker, one whose overrides may name what their rows are."""
    return method


class Function:
    """``f(y, *rows)`` on a batch, each sample by itself: exact, or measured with a number of shots.

    ``y`` is ``[b, *S]`` and the rows are tensors with the batch first. A solve calls f with the samples that are still
    active, so whatever differs from sample to sample has to be a row. The value is ``[b, *S]``.

    An exact function implements ``__call__``. One that is measured sets :attr:`shots` and implements :meth:`measure`;
    :meth:`at_evaluation` too where its random numbers have names, and :meth:`at_shots` where shots may grow.

    Attributes:
        shots: Measurements of an evaluation; None where f is exact.
        settings: Measurements of so many shots each that an evaluation takes.
        first_shots: Shots of a sample's first evaluation in a solve, which then grow up to :attr:`shots`; None for all
            of them at once.
        shots_growth: Factor by which they grow.
        has_jacobian: Whether :meth:`jacobian` is f's own and costs no evaluation; set where a class defines it.
        cheap_products: Whether a vector-Jacobian product costs less than the Jacobian where f has one of its own.
        frozen: Whether whatever f rests on is its own, so that f is the same whenever it is called.
    """

    shots: int | None = None
    settings: int = 1
    first_shots: int | None = None
    shots_growth: float = 4.0
    has_jacobian: bool = False
    cheap_products: bool = False
    frozen: bool = False

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        if "jacobian" in vars(cls) and "has_jacobian" not in vars(cls):
            cls.has_jacobian = True

    @_own_rows
    def __call__(self, y: Tensor, *rows: Tensor) -> Tensor:
        """Return f ``[b, *S]`` at y ``[b, *S]``; by default what is measured there."""
        return self.measure(y, *rows)[0]

    @_own_rows
    def measure(self, y: Tensor, *rows: Tensor) -> tuple[Tensor, Tensor]:
        """Return f and its standard errors, each ``[b, *S]``, without a graph.

        Raises:
            UnsupportedError: f is exact.
        """
        raise UnsupportedError(
            f"{type(self).__name__} has no standard errors: it is exact (no number of shots), or lacks a method measure"
        )

    @_own_rows
    def jacobian(self, y: Tensor, *rows: Tensor, create_graph: bool = False) -> Tensor:
        """Return ``∂f/∂y`` ``[b, *S, *S]``, or with each S multiplied out; by default through autograd.

        Args:
            y: ``[b, *S]``.
            rows: The samples' own arguments.
            create_graph: Whether the result can be differentiated, in y too where that has a graph.

        Raises:
            NotDifferentiable: The value does not depend on y through autograd.
        """
        found = jacobian_by_autograd(self, y, rows, create_graph=create_graph)
        if found is None:
            raise NotDifferentiable("f(y) does not depend on y through autograd, so its Jacobian is unknown.")
        return found

    def at_evaluation(self, number: int) -> Function:
        """Return f with the random numbers of another evaluation; f itself where they have no names."""
        return self

    def at_shots(self, shots: int) -> Function:
        """Return f with another number of shots.

        Raises:
            UnsupportedError: f has no other.
        """
        if shots == self.shots:
            return self
        raise UnsupportedError(
            f"{type(self).__name__} has {self.shots or 'no'} shots, and no method at_shots that gives it {shots}"
        )


class Lifted(Function):
    """A plain callable as a function.

    Args:
        call: ``call(y, *rows)``; differentiable where a derivative of it is wanted.
    """

    def __init__(self, call: Callable[..., Tensor]) -> None:
        self._call = call

    def __call__(self, y: Tensor, *rows: Tensor) -> Tensor:
        """Return what the callable returns."""
        return self._call(y, *rows)


_CONTRACT = {"shots", "measure", "jacobian", "at_evaluation", "at_shots"}


def as_function(f: Callable[..., Tensor]) -> Function:
    """Return f, lifted where it is a plain callable.

    Raises:
        SolverError: f cannot be called, or has methods of the contract without deriving from :class:`Function`.
    """
    if isinstance(f, Function):
        return f
    if not callable(f):
        raise SolverError(f"f is {type(f).__name__}, which cannot be called. Give a function f(y, *args).")
    if parts := sorted(_CONTRACT.intersection(dir(f))):
        raise SolverError(
            f"f has {', '.join(parts)}, which count for nothing unless {type(f).__name__} derives from qdeq.Function.\n"
            "Derive it, or pass a plain function."
        )
    return Lifted(f)


def flattened(values: Tensor) -> Tensor:
    """Return ``[B, N]`` for ``[B, *S]``, where S may be empty."""
    return values.reshape(len(values), math.prod(values.shape[1:]))


def refuse_closed_over_batch(error: Exception, called: int, batch: int) -> None:
    """Raise what is meant where f fails on part of a batch because it holds a tensor of the whole.

    Args:
        error: What f raised.
        called: Samples that f was called with.
        batch: Samples that it can do, as far as is known.

    Raises:
        SolverError: The error tells of the whole batch's size, which nothing but f can know of.
    """
    if called < batch and type(error) in (RuntimeError, ValueError, IndexError) and _names(error, batch):
        raise SolverError(held_batch(called, batch)) from error


def held_batch(called: int, batch: int) -> str:
    """Return what to do where f holds a tensor of the whole batch."""
    return (
        f"f was called with {called} of {batch} samples (the others have ended), but it works with all {batch}.\n"
        "A tensor of the batch that f closes over has to be one of its rows: f(y, *rows), with args=(tensor, ...)."
    )


def _names(error: Exception, number: int) -> bool:
    return re.search(rf"(?<![\w.]){number}(?![\w.])", str(error)) is not None


def require_autograd() -> None:
    """Refuse to differentiate where autograd is switched off for good, and would find nothing but zeros.

    Raises:
        NotDifferentiable: Inference mode is on.
    """
    if torch.is_inference_mode_enabled():
        raise NotDifferentiable("derivatives by autograd need torch.no_grad() in place of torch.inference_mode().")


def jacobian_by_autograd(
    f: Callable[..., Tensor], y: Tensor, rows: Sequence[Tensor] = (), *, create_graph: bool = False
) -> Tensor | None:
    """Return the derivatives ``[B, M, N]`` of f's M values by y's N entries, sample by sample.

    Samples are independent, so the gradient of a sum over the batch holds each sample's own row.

    Returns:
        The derivatives; None where f's value does not depend on y through autograd.
    """
    require_autograd()
    with torch.enable_grad():
        leaf = y if create_graph and y.requires_grad else y.detach().requires_grad_()
        value = flattened(f(leaf.clone(), *rows))  # f may overwrite its argument
        if not value.requires_grad:
            return None
        grads = [
            torch.autograd.grad(
                value[:, i].sum(), leaf, retain_graph=True, create_graph=create_graph, allow_unused=True
            )[0]
            for i in range(value.shape[1])
        ]
    if all(grad is None for grad in grads):
        return None
    rows_of = [torch.zeros_like(leaf) if grad is None else grad for grad in grads]
    return torch.stack(rows_of, dim=1).reshape(len(y), value.shape[1], math.prod(y.shape[1:]))
