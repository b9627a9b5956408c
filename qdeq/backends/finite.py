"""Numbers that are NaN or infinite: one rule for every backend and every way to run a circuit.

A function at fixed weights is NaN in the rows whose inputs are not finite, in value, standard error and Jacobian. It is
not evaluated there, so no circuit runs and nothing is paid for them, and the other rows are what they are without them.
A call for expectations alone refuses such inputs, and nothing takes such weights.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING, Any, TypeVar, cast

import torch
from torch import Tensor

from qdeq.errors import CircuitError

if TYPE_CHECKING:
    from qdeq.backends.function import FrozenFunction

Method = TypeVar("Method", bound=Callable[..., Any])


def check_finite(what: str, tensor: Tensor, remedy: str) -> None:
    """Refuse a tensor with an entry that is not finite.

    Raises:
        CircuitError: The message names the first such entry, as in ``inputs[3, 2] is nan``.
    """
    finite = tensor.isfinite()
    if bool(finite.all()):
        return
    place = (~finite).nonzero()[0].tolist()
    raise CircuitError(f"{what}{place} is {tensor[tuple(place)].item()}\n{remedy}")


def on_finite_rows(method: Method) -> Method:
    """Return a frozen function's method of inputs ``[B, I]``, evaluated at the finite rows only and NaN in the others.

    What it returns, one tensor or several, has the batch first. NaN is a constant: it has no gradient.
    """

    @wraps(method)
    def evaluated(function: FrozenFunction, inputs: Tensor, *args: Any, **options: Any) -> Any:
        finite = inputs.isfinite()
        if bool(finite.all()):
            return method(function, inputs, *args, **options)
        rows = finite.all(dim=1).nonzero().squeeze(1)
        found = method(function.for_rows(rows.tolist()), inputs.index_select(0, rows), *args, **options)
        if isinstance(found, Tensor):
            return _spread(found, rows, len(inputs))
        return tuple(_spread(part, rows, len(inputs)) for part in found)

    return cast(Method, evaluated)


def _spread(found: Tensor, rows: Tensor, batch: int) -> Tensor:
    return found.new_full((batch, *found.shape[1:]), torch.nan).index_copy(0, rows, found)
