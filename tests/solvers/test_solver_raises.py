"""A solver that raises, or changes its own budget, is caught by the driver and named; what f raises is f's."""

from typing import NamedTuple

import pytest
import torch
from pydantic.dataclasses import dataclass

from qdeq.errors import DataError, SolverError
from qdeq.functions import Function
from qdeq.solvers import SOLVER_CONFIG, Naive, Solver, Status, solve

Y0 = torch.zeros(2, 3)


class Nothing(NamedTuple):
    pass


@dataclass(frozen=True, kw_only=True, config=SOLVER_CONFIG)
class Failing(Solver):
    """Raises in ``where``; otherwise plain iteration."""

    where: str = "nowhere"

    def init(self, y0, f0):
        if self.where == "init":
            raise ZeroDivisionError("division by zero")
        return Nothing()

    def step(self, problem, state, y, fy):
        if self.where == "step":
            return {}["missing"]
        if self.where == "unpacking":
            return fy
        if self.where == "refusal":
            raise DataError("not with these data")
        return problem(y), state


def test_an_exception_of_the_solver_is_named_with_its_place_and_kept_as_the_cause():
    with pytest.raises(SolverError) as caught:
        solve(Failing(where="init"), torch.cos, Y0)
    first, second = str(caught.value).splitlines()
    assert first == "Failing: init raised ZeroDivisionError: division by zero"
    assert second.startswith(f"The mistake is in the solver ({__name__}), not in f")
    assert isinstance(caught.value.__cause__, ZeroDivisionError)
    with pytest.raises(SolverError, match="Failing: step raised KeyError: 'missing'"):
        solve(Failing(where="step"), torch.cos, Y0)


def test_a_step_that_returns_no_pair_is_named():
    with pytest.raises(SolverError, match="Failing: step raised ValueError: not enough values to unpack"):
        solve(Failing(where="unpacking"), torch.cos, Y0[:1])


def test_an_error_of_qdeq_passes_as_it_is():
    with pytest.raises(DataError, match="not with these data"):
        solve(Failing(where="refusal"), torch.cos, Y0)


def test_what_f_raises_is_not_put_down_to_the_solver():
    def f(y):
        calls.append(1)
        if len(calls) == 2:  # the call that the step makes, not the loop's
            raise ArithmeticError("f itself")
        return torch.cos(y)

    calls = []
    with pytest.raises(ArithmeticError, match="f itself"):
        solve(Failing(), f, Y0)
    assert len(calls) == 2


def test_what_the_jacobian_of_f_raises_is_not_put_down_to_the_solver():
    class AsksForJacobian(Failing):
        def step(self, problem, state, y, fy):
            problem.jacobian(y)

    class WithJacobian(Function):
        def __call__(self, y):
            return torch.cos(y)

        def jacobian(self, y, **options):
            raise ArithmeticError("the Jacobian itself")

    with pytest.raises(ArithmeticError, match="the Jacobian itself"):
        solve(AsksForJacobian(), WithJacobian(), Y0)


@pytest.mark.parametrize("option", ["max_steps", "rtol", "atol"])
def test_a_step_that_changes_its_own_options_changes_nothing_in_this_solve(option):
    class Grasping(Naive):
        def step(self, problem, state, y, fy):
            object.__setattr__(self, option, 1000)
            return super().step(problem, state, y, fy)

    honest = solve(Naive(max_steps=4, rtol=1e-9), torch.cos, Y0)
    grasping = solve(Grasping(max_steps=4, rtol=1e-9), torch.cos, Y0)
    assert grasping.status.tolist() == honest.status.tolist() == [Status.MAX_STEPS] * 2
    assert torch.equal(grasping.value, honest.value)
    assert grasping.evaluations.tolist() == [5, 5]


def test_an_iterate_on_another_device_is_refused():
    class Elsewhere(Naive):
        def step(self, problem, state, y, fy):
            return fy.to("meta"), state

    with pytest.raises(SolverError, match="step returned an iterate on meta, but y is on cpu"):
        solve(Elsewhere(), torch.cos, Y0)


def test_the_declared_budget_is_steps_times_evaluations_per_step_and_y0():
    assert (Naive(max_steps=7).most_steps, Naive(max_steps=7).most_evaluations) == (7, 8)

    class Twice(Failing):
        @property
        def evaluations_per_step(self):
            return 2

    solver = Twice(max_steps=7, rtol=0.0, atol=0.0)
    spent = solve(solver, lambda y: y + 1, Y0).evaluations
    assert spent.tolist() == [solver.most_evaluations] * 2 == [15, 15]
