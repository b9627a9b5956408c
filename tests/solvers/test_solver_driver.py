"""The driver: budget, freezing, best iterate, non-finite values, purity, contract errors."""

import math
from dataclasses import replace
from typing import Any, NamedTuple

import pytest
import torch
from problems import ALL, DERIVATIVE_FREE, ONE_CALL_A_STEP
from pydantic.dataclasses import dataclass

from qdeq.errors import SolverError
from qdeq.functions import Function
from qdeq.solvers import SOLVER_CONFIG, Anderson, Broyden, Naive, Solver, Status, solve

every_solver = pytest.mark.parametrize("solver", ALL.values(), ids=ALL)
derivative_free = pytest.mark.parametrize("solver", DERIVATIVE_FREE.values(), ids=DERIVATIVE_FREE)
one_call_a_step = pytest.mark.parametrize("solver", ONE_CALL_A_STEP.values(), ids=ONE_CALL_A_STEP)
single = pytest.mark.parametrize("solver", [solver for name, solver in ALL.items() if name != "fallback"])


class Nothing(NamedTuple):
    pass


class Memory(NamedTuple):
    seen: Any
    count: int = 0


@dataclass(frozen=True, kw_only=True, config=SOLVER_CONFIG)
class Scripted(Solver):
    """Proposes whatever the class attribute ``script`` returns for (step number, y, fy)."""

    def init(self, y0, f0):
        return Memory(y0[:, :0])

    def step(self, problem, state, y, fy):
        return type(self).script(state.count, y, fy), Memory(state.seen, state.count + 1)


def scripted(script):
    return type("Scripted", (Scripted,), {"script": staticmethod(script)})


@one_call_a_step
@pytest.mark.parametrize("max_steps", [0, 1, 7])
def test_budget_of_steps(solver, max_steps):
    solution = solve(replace(solver, max_steps=max_steps), lambda y: y + 1, torch.zeros(3, 2), trace=True)
    assert solution.steps.tolist() == [max_steps] * 3
    assert solution.evaluations.tolist() == [max_steps + 1] * 3
    assert solution.status.tolist() == [Status.MAX_STEPS] * 3
    assert solution.trace.shape == (max_steps + 1, 3)


@single
def test_convergence_at_the_last_step_counts(solver):
    needed = solve(solver, torch.cos, torch.zeros(2, 2)).steps.max().item()
    assert solve(replace(solver, max_steps=needed), torch.cos, torch.zeros(2, 2)).all_converged
    assert not solve(replace(solver, max_steps=needed - 1), torch.cos, torch.zeros(2, 2)).converged.any()


@every_solver
def test_root_as_first_iterate_costs_one_evaluation(solver):
    solution = solve(solver, lambda y: y.clone(), torch.randn(4, 3))
    assert solution.all_converged
    assert solution.evaluations.tolist() == [1] * 4
    assert solution.residual.tolist() == [0.0] * 4
    assert solution.relative_residual.tolist() == [0.0] * 4


def test_zero_is_a_root_with_relative_residual_zero():
    solution = solve(Naive(atol=0.0), torch.zeros_like, torch.zeros(2, 3))
    assert solution.all_converged
    assert solution.relative_residual.tolist() == [0.0, 0.0]


def test_convergence_is_two_norm_per_sample_with_both_tolerances():
    # the residual of each sample is (0.03, 0.04): norm 0.05; ||f|| is 5
    f0 = torch.tensor([[3.0, 4.0]], dtype=torch.float64)
    y0 = f0 - torch.tensor([[0.03, 0.04]], dtype=torch.float64)

    def met(rtol, atol):
        return solve(Naive(rtol=rtol, atol=atol, max_steps=0), lambda y: f0, y0).all_converged

    assert met(0.0101, 0.0)
    assert not met(0.0099, 0.0)
    assert met(0.0, 0.0501)
    assert not met(0.0, 0.0499)
    assert met(0.006, 0.0201)
    assert not met(0.006, 0.0199)


@one_call_a_step
def test_converged_samples_leave_the_batch_with_their_arguments(solver):
    batches = []

    def f(y, rate, index):
        batches.append(index.tolist())
        return rate * y + (1 - rate) * index[:, None]

    rate = torch.tensor([[0.9], [0.0], [0.5], [0.0]], dtype=torch.float64)
    solution = solve(solver, f, torch.full((4, 2), -1.0, dtype=torch.float64), (rate, torch.arange(4)))
    assert batches[:3] == [[0, 1, 2, 3], [0, 1, 2, 3], [0, 2]]
    assert batches[-1] == [0] or isinstance(solver, Anderson | Broyden)
    found = solution.value[solution.converged] - torch.arange(4)[solution.converged, None]
    assert found.abs().max() < 1e-2
    assert solution.steps[1] == solution.steps[3] == 1


def test_best_iterate_is_returned_with_its_own_residual():
    # residual |y - 10| along 0, 7, 12, 9, 3: the best is 9, neither the first nor the last
    path = [0.0, 7.0, 12.0, 9.0, 3.0]
    solver = scripted(lambda k, y, fy: torch.full_like(y, path[k + 1]))(max_steps=4)
    solution = solve(solver, lambda y: torch.full_like(y, 10.0), torch.zeros(2, 1), trace=True)
    assert solution.value.tolist() == [[9.0], [9.0]]
    assert solution.residual.tolist() == [1.0, 1.0]
    assert solution.relative_residual.tolist() == pytest.approx([0.1, 0.1])
    assert solution.steps.tolist() == [4, 4]
    assert solution.trace[:, 0].tolist() == [10.0, 3.0, 2.0, 1.0, 7.0]


def test_best_iterate_is_measured_in_units_of_the_tolerance():
    # y = 0: residual 1 with ||f|| = 1; y = 1: residual 2 with ||f|| = 100, which is closer in relative terms
    def f(y):
        return torch.where(y == 0, 1.0, 100.0) if bool((y == 0).all()) else torch.full_like(y, 100.0)

    solver = scripted(lambda k, y, fy: torch.full_like(y, 98.0))(max_steps=1, rtol=1e-3, atol=0.0)
    assert solve(solver, f, torch.zeros(1, 1)).value.item() == 98.0


def test_without_tolerance_the_least_residual_is_best():
    solution = solve(Naive(rtol=0.0, atol=0.0, max_steps=6), lambda y: 0.5 * y + 1, torch.zeros(1, 1))
    assert solution.status.item() == Status.MAX_STEPS
    assert solution.residual.item() == 0.5**6


@every_solver
@pytest.mark.parametrize("poison", [math.nan, math.inf, -math.inf])
def test_a_value_that_is_not_finite_ends_that_sample_alone(solver, poison):
    def f(y, when):  # sample 1 breaks once its state has moved, sample 2 at once
        return torch.where((when > 0) & (y > 0.5), poison, torch.cos(y)) + torch.where(when < 0, poison, 0.0)

    when = torch.tensor([[0.0], [1.0], [-1.0], [0.0]])
    y0 = torch.full((4, 2), 0.25)
    solution = solve(solver, f, y0, (when,), trace=True)
    assert solution.status.tolist() == [0, 2, 2, 0]
    assert torch.equal(solution.value[1], y0[1])  # the only finite iterate
    assert solution.value[2].isnan().all()  # there was none
    assert solution.residual[1] == solution.trace[0, 1]
    assert solution.residual[2] == solution.relative_residual[2] == math.inf
    assert solution.trace[1, 1] == math.inf
    clean = solve(solver, torch.cos, y0[:1])
    assert torch.equal(solution.value[0], clean.value[0])
    assert torch.equal(solution.steps[[0, 3]], clean.steps.expand(2))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_norm_that_overflows_is_no_convergence(dtype):
    # ||f(y)|| = 3 ||y|| and ||f(y) - y|| = 2 ||y||: with this y0 the squares of the first overflow, of the second not
    y0 = torch.full((1, 2), 0.8 * torch.finfo(dtype).max ** 0.5 / 3, dtype=dtype)
    alone = solve(Naive(), lambda y: 3 * y, y0, trace=True)
    assert alone.status.tolist() == [Status.NON_FINITE]
    assert alone.relative_residual.isinf().all()
    assert alone.trace.isinf().all()
    # and where iterates grow until then, the best one is the last of which both are known: 2 ||y|| / 3 ||y||
    grown = solve(Naive(max_steps=2000), lambda y: 3 * y + 1, torch.zeros(2, 2, dtype=dtype))
    assert grown.status.tolist() == [Status.NON_FINITE] * 2
    assert grown.relative_residual.tolist() == pytest.approx([2 / 3] * 2)


def test_a_proposal_that_is_not_finite_never_reaches_f():
    def script(k, y, fy):
        return torch.where((fy > 2.5) & (k == 1), math.nan, fy)

    def f(y, target):
        assert y.isfinite().all()
        return 0.5 * (y + target)

    target = torch.tensor([[1.0], [3.5], [2.0]], dtype=torch.float64)
    solution = solve(scripted(script)(), f, torch.zeros(3, 1, dtype=torch.float64), (target,))
    assert solution.status.tolist() == [0, 2, 0]
    assert solution.value[1].item() == 1.75  # the iterate after one good step
    assert solution.residual[1].item() == 0.875
    assert solution.value[[0, 2], 0].tolist() == pytest.approx([1.0, 2.0], rel=1e-3)


def test_first_iterate_that_is_not_finite():
    y0 = torch.tensor([[0.0], [math.nan]])
    solution = solve(Broyden(), torch.cos, y0)
    assert solution.status.tolist() == [0, 2]
    assert solution.value[1].isnan()


@every_solver
def test_empty_batch(solver):
    def f(y):
        raise AssertionError("there is nothing to evaluate")

    solution = solve(solver, f, torch.zeros(0, 3, 2), (torch.zeros(0),), trace=True)
    assert solution.value.shape == (0, 3, 2)
    assert solution.trace.shape == (0, 0)
    assert solution.all_converged
    assert solution.summary() == "0 of 0 samples converged"
    assert solution.counts() == dict.fromkeys(Status, 0)


@every_solver
@pytest.mark.parametrize("shape", [(), (1,), (2, 3), (2, 1, 2)])
def test_f_sees_the_shape_it_was_given(solver, shape):
    def f(y):
        assert y.shape[1:] == shape
        return torch.cos(y)

    assert solve(solver, f, torch.zeros(4, *shape)).value.shape == (4, *shape)


@derivative_free
def test_nothing_that_was_passed_in_is_changed(solver):
    def vandal(y, x):
        result = torch.cos(y) * x
        y.fill_(math.nan)
        return result

    y0 = torch.randn(5, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    x = torch.linspace(0.1, 1, 5, dtype=torch.float64)[:, None]
    kept = y0.clone(), x.clone()
    solution = solve(solver, vandal, y0, (x,))
    polite = solve(solver, lambda y, x: torch.cos(y) * x, y0, (x,))
    assert torch.equal(solution.value, polite.value)
    assert torch.equal(y0, kept[0])
    assert torch.equal(x, kept[1])
    solution.value.zero_()
    assert torch.equal(y0, kept[0])


@every_solver
def test_no_gradient_is_recorded(solver):
    weight = torch.tensor(0.5, requires_grad=True)
    solution = solve(solver, lambda y: torch.cos(weight * y), torch.zeros(2, 2, requires_grad=True))
    assert not solution.value.requires_grad
    assert not solution.residual.requires_grad


@one_call_a_step
def test_steps_are_pure(solver):
    y = torch.randn(3, 4, generator=torch.Generator().manual_seed(1))
    state = solver.init(y, torch.cos(y))
    for _ in range(4):
        kept = [item.clone() if isinstance(item, torch.Tensor) else item for item in state]
        first, after = solver.step(None, state, y, torch.cos(y))
        second, _ = solver.step(None, state, y, torch.cos(y))
        assert torch.equal(first, second)
        for item, before in zip(state, kept, strict=True):
            assert item is before or torch.equal(item, before)
        y, state = first, after


@pytest.mark.parametrize("bad", [lambda y: y[:, :1], lambda y: y.double(), lambda y: y.sum(), lambda y: y.tolist()])
def test_f_with_the_wrong_output_is_named(bad):
    with pytest.raises(SolverError, match=r"Naive: f returned .*\n?.*"):
        solve(Naive(), bad, torch.ones(3, 2))
    with pytest.raises(SolverError, match=r"float32 \[3, 1\] for float32 \[3, 2\].\nA fixed point needs"):
        solve(Naive(), lambda y: y[:, :1], torch.ones(3, 2))


@pytest.mark.parametrize("bad", [lambda k, y, fy: y[:1], lambda k, y, fy: y.double(), lambda k, y, fy: None])
def test_step_with_the_wrong_output_is_named(bad):
    with pytest.raises(SolverError, match="Scripted: step returned"):
        solve(scripted(bad)(), torch.cos, torch.zeros(3, 2))


def test_state_that_rows_cannot_be_dropped_from_is_named():
    class Wrong(Scripted):
        def init(self, y0, f0):
            return Memory(y0.new_zeros(2, len(y0)))

    with pytest.raises(SolverError, match=r"state.seen is float32 \[2, 3\] for a batch of 3"):
        solve(Wrong(), torch.cos, torch.zeros(3, 2))


@pytest.mark.parametrize("y0", [torch.tensor(1.0), torch.zeros(2, 2, dtype=torch.complex64), torch.arange(3), [1.0]])
def test_first_iterate_that_is_no_batch_of_reals(y0):
    with pytest.raises(SolverError, match="y0 is"):
        solve(Naive(), torch.cos, y0)


@pytest.mark.parametrize("arg", [torch.zeros(4, 2), torch.tensor(1.0), 3.0, None])
def test_argument_without_the_batch(arg):
    with pytest.raises(SolverError, match=r"args\[1\] is .*batch of 3"):
        solve(Naive(), torch.cos, torch.zeros(3, 2), (torch.zeros(3), arg))


def test_status_texts():
    assert [status.value for status in Status] == [0, 1, 2, 3, 4]
    assert Status.CONVERGED.message == "converged"
    assert "max_steps" in Status.MAX_STEPS.message
    assert "finite" in Status.NON_FINITE.message
    assert all(status.remedy for status in Status if status.failed)


def test_summary_names_failed_samples_and_the_remedy():
    x = torch.tensor([0.0, math.nan, 0.0, math.nan])[:, None]
    solution = solve(Naive(max_steps=30), lambda y, x: torch.cos(y) + x, torch.zeros(4, 1), (x,))
    assert solution.counts() == {**dict.fromkeys(Status, 0), Status.CONVERGED: 2, Status.NON_FINITE: 2}
    first, second = solution.summary().splitlines()
    assert first.startswith("2 of 4 samples converged (at most ")
    assert second == f"2 samples (1, 3): {Status.NON_FINITE.message}. Remedy: {Status.NON_FINITE.remedy}."
    many = solve(Naive(max_steps=1), lambda y: y + 1, torch.zeros(20, 1)).summary()
    assert "20 samples (0, 1, 2, 3, 4, 5, 6, 7, ...)" in many


class Quadratic(Function):
    """f(y) = x y^2 (component by component) with a Jacobian of its own."""

    def __call__(self, y, x):
        return x * y**2

    def jacobian(self, y, x):
        return torch.diag_embed(2 * x * y)


@dataclass(frozen=True, kw_only=True, config=SOLVER_CONFIG)
class TinyNewton(Solver):
    """A plug-in that asks for the Jacobian and for one more evaluation at each step."""

    def init(self, y0, f0):
        return Nothing()

    def step(self, problem, state, y, fy):
        system = problem.jacobian(y) - torch.eye(y.shape[1], dtype=y.dtype)
        proposed = y - torch.linalg.solve(system, (fy - y)[..., None])[..., 0]
        problem(proposed)
        return proposed, state


@pytest.mark.parametrize("with_method", [True, False], ids=["own jacobian", "autograd"])
def test_a_plug_in_may_use_jacobians_and_further_evaluations(with_method):
    f = Quadratic() if with_method else lambda y, x: x * y**2
    x = torch.tensor([[1.0, 2.0], [4.0, 0.5], [1.0, 1.0]], dtype=torch.float64)
    y0 = torch.tensor([[1.2, 0.6], [0.3, 2.5], [1.0, 1.0]], dtype=torch.float64)
    solution = solve(TinyNewton(rtol=0.0, atol=1e-12), f, y0, (x,))
    assert solution.all_converged
    assert torch.allclose(solution.value, 1 / x, atol=1e-11, rtol=0)
    assert solution.jacobians.tolist() == solution.steps.tolist()
    each_step = 2 if with_method else 3  # the driver's own, the step's own, and autograd's forward pass
    assert solution.evaluations.tolist() == (1 + each_step * solution.steps).tolist()
    assert solution.steps[2] == 0


def test_jacobian_rows_are_components_of_f():
    captured = []

    class Probe(Scripted):
        def step(self, problem, state, y, fy):
            captured.append(problem.jacobian(y))
            return y, state

    matrix = torch.tensor([[0.0, 2.0], [3.0, 4.0]])
    solve(Probe(max_steps=1), lambda y: y @ matrix.T, torch.ones(3, 2))
    assert torch.equal(captured[0], matrix.expand(3, 2, 2))


def test_jacobian_of_an_f_without_gradient_is_an_error():
    with pytest.raises(SolverError, match="Jacobian is unknown"):
        solve(TinyNewton(), lambda y: torch.cos(y.detach()), torch.zeros(2, 2))
