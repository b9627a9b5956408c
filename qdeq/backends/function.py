"""What a backend makes of a circuit at fixed weights: expectations as a function of the inputs alone."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any

from torch import Tensor

from qdeq.backends.finite import on_finite_rows
from qdeq.errors import CircuitError, UnsupportedError
from qdeq.functions import Function, jacobian_by_autograd
from qdeq.injection import InjectedFunction
from qdeq.torch_modes import own_precision


def entry(method: Callable[..., Any]) -> Callable[..., Any]:
    """Return a method of a function of inputs as callers meet it: it refuses what is no batch of inputs, by name."""

    @own_precision
    @wraps(method)
    def call(self: Any, inputs: Tensor, *args: Any, **options: Any) -> Any:
        check_shape(inputs)
        return method(self, inputs, *args, **options)

    return call


class FrozenFunction(Function, ABC):
    """A circuit's expectations as a function of its inputs alone, at fixed weights.

    Made by :meth:`~qdeq.backends.base.Backend.at`, once per training step. Calling it is differentiable in the inputs
    and in the weights that it was frozen at; the graph up to the weights is shared by all calls, so run backward
    through it once.

    Rows whose inputs are not finite have the value NaN, and are not evaluated: see :mod:`qdeq.backends.finite`.

    Attributes:
        compiled: Whether the circuit has been run for good, so that neither an evaluation nor a Jacobian runs it again.
        shots: Measurements of an evaluation per group of observables; None where it is exact. Where it is a number,
            :meth:`measure` gives standard errors, and a solve stops where they hide the residual.
    """

    compiled: bool = False
    frozen = True

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        own = vars(cls)  # of plug-ins too
        for name in ("__call__", "measure", "jacobian"):
            if name in own:
                setattr(cls, name, entry(on_finite_rows(own[name])))
        if "inject" in own:
            cls.inject = entry(own["inject"])  # type: ignore[method-assign]

    @abstractmethod
    def __call__(self, inputs: Tensor) -> Tensor:
        """Return the expectations ``[B, O]`` at inputs ``[B, I]``."""

    def measure(self, inputs: Tensor) -> tuple[Tensor, Tensor]:
        """Return the expectations and their standard errors, each ``[B, O]``, without a graph.

        Raises:
            UnsupportedError: The expectations are exact.
        """
        raise UnsupportedError("these expectations have no standard errors; freeze the weights with a number of shots")

    @entry
    @on_finite_rows
    def jacobian(self, inputs: Tensor, *, create_graph: bool = False) -> Tensor:
        """Return the Jacobian ``∂f/∂v``, shape ``[B, O, I]``; 0 for a circuit without inputs.

        Where ``create_graph`` is set, it can itself be differentiated, in the inputs and in the weights.
        """
        found = jacobian_by_autograd(self, inputs, create_graph=create_graph)
        if found is None:
            found = inputs.new_zeros(len(inputs), self(inputs).shape[1], inputs.shape[1])
        return found

    def for_rows(self, rows: Sequence[int]) -> FrozenFunction:
        """Return the function for some rows of the batch, with their shot streams; itself where it has none."""
        return self

    @entry
    def inject(self, x: Tensor, scale: Tensor | float, size: int) -> tuple[Function, tuple[Tensor, ...]]:
        """Return ``f(y, *rows) = q(x + s W y)`` and its rows, tensors with the batch first (see :mod:`qdeq.injection`).

        Args:
            x: ``[B, I]``, features.
            scale: s.
            size: n, the length of y.

        Raises:
            CircuitError: x is no such tensor.
        """
        return InjectedFunction(self, scale), (x,)


def require_tensor(value: object, what: str) -> None:
    """Raise a :class:`~qdeq.errors.CircuitError` that says how to make a tensor of what is none."""
    if not isinstance(value, Tensor):
        found = type(value).__name__
        raise CircuitError(f"{what} are a tensor, not a {found}; torch.as_tensor({what}, dtype=...) makes one")


def check_shape(inputs: Tensor, size: int | None = None) -> None:
    """Raise a :class:`~qdeq.errors.CircuitError` unless inputs are a tensor ``[B, size]`` or wider."""
    require_tensor(inputs, "inputs")
    if inputs.dim() != 2 or inputs.shape[1] < (size or 0):
        wanted = f"[batch, {'inputs' if size is None else size}]"
        single = "; one sample alone is x[None]" if inputs.dim() == 1 else ""
        raise CircuitError(f"the circuit takes inputs of shape {wanted}, not {list(inputs.shape)}{single}")


def check_inputs(inputs: Tensor, size: int, like: Tensor) -> None:
    """Raise a :class:`~qdeq.errors.CircuitError` unless inputs are ``[B, size]`` or wider, of the type of ``like``."""
    check_shape(inputs, size)
    if inputs.dtype != like.dtype or inputs.device != like.device:
        raise CircuitError(
            f"inputs ({inputs.dtype} on {inputs.device}) and weights ({like.dtype} on {like.device}) must agree;\n"
            "convert one of them, as by inputs.to(weights)"
        )
