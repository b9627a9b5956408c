"""Checks of the evaluations of a solve: each has shots of its own, through whatever wraps the function."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy
from torch import Tensor

from qdeq.circuit import Circuit, Gate, Input
from qdeq.dropout import MaskedState
from qdeq.functions import Function
from qdeq.observables import Z
from qdeq.testing.cases import Case
from qdeq.testing.comparison import Mismatch
from qdeq.testing.harness import check
from qdeq.testing.shot_checks import seeded, shot_key
from qdeq.testing.subject import Subject
from qdeq.wrappers import GrowingShots

SHOTS, FEWER = 1000, 100
"""Shots of an evaluation, and what they are lowered to: standard errors grow by the root of ten."""

Rows = tuple[Tensor, ...]
WRAPPERS: dict[str, Callable[[Function, Rows], tuple[Function, Rows]]] = {
    "inject": lambda f, rows: (f, rows),
    "the state's mask": lambda f, rows: (MaskedState(f), (torch.ones_like(rows[0][:, :2]), *rows)),
    "growing shots": lambda f, rows: (GrowingShots(f, FEWER), rows),
}


def _fed_back(subject: Subject) -> Mapping[str, SearchStrategy[Case]]:
    """Draw two qubits of uncertain outcomes, each turned by an input."""
    angles = st.integers(12, 38).map(lambda k: k / 16)
    circuit = Circuit(2, (Gate("RY", 0, Input(0)), Gate("RY", 1, Input(1))))
    rows = st.tuples(*(st.tuples(angles, angles) for _ in range(3)))
    return {"any": rows.map(lambda inputs: Case(circuit, (Z(0), Z(1)), inputs))}


@check("shots-evaluations", _fed_back, needs=seeded, share=0.1)
def shots_evaluations(subject: Subject, case: Case) -> None:
    """Each evaluation of a solve has its own shots, as many as asked for: injected, masked, and with growing shots."""
    inputs, weights = case.tensors()
    key = shot_key(subject, case)
    frozen = subject.backend.at(case.circuit, weights, case.observables, shots=SHOTS, key=key)
    y = torch.full_like(inputs, 0.1)
    for name, wrap in WRAPPERS.items():
        f, rows = wrap(*frozen.inject(inputs, 0.5, 2))

        def measured(number: int, f: Function = f, rows: Rows = rows) -> Tensor:
            return f.at_evaluation(number).measure(y, *rows)[0]

        if not torch.equal(first := measured(1), again := measured(1)):
            raise Mismatch(f"through {name}, evaluation 1 has other shots when it is asked for again", first, again)
        if torch.equal(first, second := measured(2)):
            raise Mismatch(f"through {name}, evaluations 1 and 2 share their shots", "shots of their own", second)
        error, fewer = (g.measure(y, *rows)[1] for g in (f.at_evaluation(1), f.at_evaluation(1).at_shots(FEWER)))
        if not (fewer > 2 * error).all():
            what = f"through {name}, {FEWER} shots in place of {SHOTS} leave the standard errors as they are"
            raise Mismatch(what, (SHOTS / FEWER) ** 0.5 * error, fewer)
