"""Watches a solve from both sides: what f is called for, and what a solver does with what it is given."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

import torch
from torch import Tensor

from qdeq.functions import Function
from qdeq.solvers import Problem, Solver
from qdeq.testing.host_watch import HostWatch, on_host
from qdeq.testing.surroundings import changed_since, surroundings
from qdeq.wrappers import Wrapper

Within = Literal["driver", "init", "step"]
S = TypeVar("S", bound=Solver)


@dataclass(frozen=True)
class Call:
    """One call of f or of its Jacobian.

    Attributes:
        what: ``"f"`` or ``"jacobian"``.
        samples: The samples that it was called for, by their place in the whole batch.
        within: Who called.
        dtype: Type of y.
    """

    what: Literal["f", "jacobian"]
    samples: tuple[int, ...]
    within: Within
    dtype: torch.dtype


@dataclass
class Witness:
    """What was seen in one solve.

    Samples are told apart by their index, which travels as the first of f's further arguments.

    Attributes:
        closely: Whether to look for what init or step changes, and for tensors on the host; it takes time.
        calls: Calls of f and of its Jacobian, in order.
        steps: Calls of the solver's step.
        last: The point at which the driver last evaluated each sample.
        non_finite: Samples for which the driver saw no finite residual, or a step proposed no finite iterate.
        changed: Arguments that init or step changed in place, such as ``"y in step"``.
        left: What init or step left changed of what the whole process shares.
        host: What init or step did with tensors on the host that fails where y is on another device.
        dtypes: Types of the floating-point tensors in proposals and states.
    """

    closely: bool = False
    calls: list[Call] = field(default_factory=list)
    steps: int = 0
    last: dict[int, Tensor] = field(default_factory=dict)
    non_finite: set[int] = field(default_factory=set)
    changed: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)
    host: list[str] = field(default_factory=list)
    dtypes: set[torch.dtype] = field(default_factory=set)
    within: Within = "driver"

    def spent(self, sample: int, what: Literal["f", "jacobian"] = "f") -> int:
        """Return how often f was called for a sample until the driver last evaluated it."""
        last = max(i for i, c in enumerate(self.calls) if c.within == "driver" and sample in c.samples)
        return sum(call.samples.count(sample) for call in self.calls[: last + 1] if call.what == what)

    def late(self, sample: int) -> int:
        """Return how often f was called for a sample after the driver last evaluated it."""
        return sum(call.samples.count(sample) for call in self.calls if call.what == "f") - self.spent(sample)

    @contextmanager
    def entering(self, where: Within, given: dict[str, Any]) -> Iterator[None]:
        """Watch over a call of init or step with the arguments ``given``; one within another is part of it."""
        if self.within != "driver":
            yield
            return
        self.within = where
        try:
            if not self.closely:
                yield
                return
            copies, around = {name: tensor.clone() for name, tensor in _tensors(given)}, surroundings()
            with HostWatch(self.host):
                yield
            self.left += changed_since(around)
        finally:
            self.within = "driver"
        after = dict(_tensors(given))
        self.changed += [
            f"{name} in {where}"
            for name in copies.keys() | after.keys()
            if not (name in copies and name in after and _same(copies[name], after[name]))
        ]

    def returned(self, found: Any) -> None:
        """Note the types and places of what init or step returned."""
        for name, tensor in _tensors(found):
            if tensor.is_floating_point():
                self.dtypes.add(tensor.dtype)
            if on_host(tensor):
                self.host.append(f"a tensor on the host is returned ({name})")


@dataclass(frozen=True, eq=False)
class Counted(Wrapper):
    """f, noting for which samples it is called; their index is its first row.

    Attributes:
        inner: The function, without the index.
        witness: Where it is noted.
    """

    witness: Witness

    def arguments(self, y: Tensor, *rows: Tensor) -> tuple[Tensor, ...]:
        """Leave the index out."""
        return (y, *rows[1:])

    def __call__(self, y: Tensor, *rows: Tensor) -> Tensor:
        """Return f(y, *args)."""
        witness, samples = self.witness, tuple(rows[0].tolist())
        witness.calls.append(Call("f", samples, witness.within, y.dtype))
        point = y.detach().clone() if witness.within == "driver" else None
        value = super().__call__(y, *rows)
        if point is not None:
            witness.last.update(zip(samples, point, strict=True))
            finite = torch.linalg.vector_norm((value - point).flatten(1), dim=1).isfinite()
            witness.non_finite |= {s for s, good in zip(samples, finite.tolist(), strict=True) if not good}
        return value

    def jacobian(self, y: Tensor, *rows: Tensor, create_graph: bool = False) -> Tensor:
        """Return f's Jacobian: its own, which is noted, or made of an evaluation, which is."""
        if not self.has_jacobian:
            return Function.jacobian(self, y, *rows, create_graph=create_graph)
        witness = self.witness
        witness.calls.append(Call("jacobian", tuple(rows[0].tolist()), witness.within, y.dtype))
        return super().jacobian(y, *rows, create_graph=create_graph)


def watched(solver: S, witness: Witness) -> S:
    """Return the same solver, under the same name, watched by ``witness``."""
    kind: Any = type(solver)

    def init(self: Any, y0: Tensor, f0: Tensor) -> Any:
        with witness.entering("init", {"y0": y0, "f0": f0}):
            state = kind.init(self, y0, f0)
        witness.returned(state)
        return state

    def step(self: Any, problem: Problem, state: Any, y: Tensor, fy: Tensor) -> Any:
        witness.steps += 1
        samples = problem._args[0].tolist()
        with witness.entering("step", {"state": state, "y": y, "fy": fy}):
            found = kind.step(self, problem, state, y, fy)
        witness.returned(found)
        proposed = found[0] if isinstance(found, tuple) else None
        if isinstance(proposed, Tensor) and proposed.shape == y.shape:
            finite = proposed.isfinite().all(1).tolist()
            witness.non_finite |= {sample for sample, good in zip(samples, finite, strict=True) if not good}
        return found

    same: S = object.__new__(type(kind.__name__, (kind,), {"init": init, "step": step}))
    for name, value in vars(solver).items():
        object.__setattr__(same, name, value)
    return same


def _tensors(value: Any, name: str = "") -> Iterator[tuple[str, Tensor]]:
    """Yield every tensor in nested tuples, lists and mappings, with where it is."""
    if isinstance(value, Tensor):
        yield name, value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _tensors(item, f"{name}.{key}" if name else str(key))
    elif isinstance(value, Sequence) and not isinstance(value, str):
        names = getattr(value, "_fields", range(len(value)))
        for key, item in zip(names, value, strict=True):
            yield from _tensors(item, f"{name}.{key}" if name else str(key))


def _same(before: Tensor, after: Tensor) -> bool:
    return before.shape == after.shape and bool(((before == after) | (before.isnan() & after.isnan())).all())
