"""Falling back along a list: who is tried, on what, what is kept, what is counted, and which lists are refused."""

from __future__ import annotations

import dataclasses
import json

import pytest
import torch
from problems import Counted
from pydantic.dataclasses import dataclass

from qdeq.adjoints import UnrolledAdjoint
from qdeq.equilibrium import Equilibrium
from qdeq.errors import SolverError, SpecError
from qdeq.solvers import (
    SOLVER_CONFIG,
    Anderson,
    Broyden,
    CompositeSolver,
    Fallback,
    Naive,
    Newton,
    Status,
    get_solver,
    solve,
    solve_in_turn,
)
from qdeq.spec import parse_spec

RATES = torch.tensor([[0.5], [-3.0], [2.0], [-0.1]], dtype=torch.float64)  # plain iteration finds 0 and 3, not 1 and 2
FEW = {"rtol": 1e-8, "atol": 0.0}


def line(y, rate):
    return rate * y + 1


def run(solver, trace=False):
    """Return the solution and the calls of f: which samples were evaluated together."""
    calls = []

    def f(y, rate, sample):
        calls.append(sample.tolist())
        return line(y, rate)

    y0 = torch.zeros(4, 1, dtype=torch.float64)
    return solve(solver, f, y0, (RATES, torch.arange(4)), trace=trace), calls


def test_failed_samples_alone_are_tried_again_from_y0_and_all_work_counts():
    solution, calls = run(Fallback(solvers=["naive", "broyden"], max_steps=80, **FEW))
    first, before = run(Naive(max_steps=40, **FEW))
    assert first.converged.tolist() == [True, False, False, True]
    assert calls[: len(before)] == before
    assert all(call == [1, 2] for call in calls[len(before) :])
    assert solution.all_converged
    assert torch.allclose(solution.value, 1 / (1 - RATES), rtol=1e-7)
    assert torch.equal(solution.value[[0, 3]], first.value[[0, 3]])
    again = solve(Broyden(**FEW), line, torch.zeros(2, 1, dtype=torch.float64), (RATES[[1, 2]],))
    assert torch.equal(solution.value[[1, 2]], again.value)
    assert torch.equal(solution.residual[[1, 2]], again.residual)
    for field in ("steps", "evaluations"):
        expected = getattr(first, field).clone()
        expected[[1, 2]] += getattr(again, field)
        assert torch.equal(getattr(solution, field), expected), field
    assert solution.evaluations.tolist() == [sum(call.count(sample) for call in calls) for sample in range(4)]


def test_jacobians_of_all_solvers_count():
    solution, _ = run(Fallback(solvers=["naive", "newton"], max_steps=80, **FEW))
    assert solution.all_converged
    assert solution.jacobians.tolist() == [0, 1, 1, 0]


def test_nobody_else_is_tried_once_all_have_converged():
    solution, _ = run(Fallback(solvers=["broyden", "anderson", "newton"]))
    assert solution.tried == (("Broyden", 4),)
    assert "tried" not in solution.summary()
    alone, _ = run(Broyden())
    assert torch.equal(solution.value, alone.value)
    assert torch.equal(solution.evaluations, alone.evaluations)


def test_the_message_says_who_was_tried_on_how_many():
    solution, _ = run(Fallback(solvers=["naive", {"name": "naive", "damping": 0.9}], max_steps=80, **FEW))
    assert solution.tried == (("Naive", 4), ("Naive", 2))
    first, second = solution.summary().splitlines()
    assert first.startswith("2 of 4 samples converged (")
    assert first.endswith("); tried Naive on 4, Naive on 2")
    assert second.startswith("2 samples (1, 2): ")


def test_of_two_failures_the_smaller_relative_residual_is_kept_whichever_came_first():
    near, far = Anderson(max_steps=1), Naive(max_steps=0)
    y0 = torch.full((1, 3), 0.1, dtype=torch.float64)
    f = lambda y: 0.5 * torch.cos(y.roll(1, dims=-1)) + 1  # noqa: E731  # a contraction: every step is an improvement
    best = solve(near, f, y0)
    assert best.relative_residual < solve(far, f, y0).relative_residual
    for order in ([near, far], [far, near]):
        solution = solve_in_turn(order, f, y0)
        assert solution.status.tolist() == [Status.MAX_STEPS]
        assert torch.equal(solution.value, best.value)
        assert torch.equal(solution.residual, best.residual)
        assert solution.evaluations.tolist() == [3]


def test_a_sample_that_is_never_finite_has_no_value_and_spoils_nobody():
    poison = torch.tensor([0.0, float("nan"), 0.0], dtype=torch.float64)
    y0 = torch.full((3, 2), 0.25, dtype=torch.float64)
    solution = solve(Fallback(), lambda y, poison: torch.cos(y) + poison[:, None], y0, (poison,))
    assert solution.status.tolist() == [0, Status.NON_FINITE, 0]
    assert solution.value[1].isnan().all()
    assert solution.tried == (("Broyden", 3), ("Anderson", 1), ("NewtonKrylov", 1))
    clean = solve(Broyden(), torch.cos, y0[:1])
    assert torch.equal(solution.value[[0, 2]], clean.value.expand(2, 2))


def test_residuals_are_those_of_one_solver_after_the_other():
    solution, _ = run(Fallback(solvers=["naive", "broyden"], max_steps=80, **FEW), trace=True)
    first, _ = run(Naive(max_steps=40, **FEW), trace=True)
    again, _ = run(Broyden(**FEW), trace=True)
    expected = torch.cat([first.trace, again.trace])
    expected[len(first.trace) :, first.converged] = torch.nan
    assert torch.equal(solution.trace.nan_to_num(nan=-1.0), expected.nan_to_num(nan=-1.0))


def test_the_budget_is_shared_in_equal_parts_and_the_tolerance_is_one():
    solver = Fallback(
        solvers=["naive", "anderson", {"name": "broyden", "memory": 3}], max_steps=10, rtol=1e-6, atol=0.0
    )
    common = {"rtol": 1e-6, "atol": 0.0}
    shares = (Naive(max_steps=4, **common), Anderson(max_steps=3, **common), Broyden(memory=3, max_steps=3, **common))
    assert solver.members == shares
    assert dataclasses.replace(solver, max_steps=1).members == (Naive(max_steps=1, **common),)
    assert dataclasses.replace(solver, max_steps=0).members == (Naive(max_steps=0, **common),)
    assert [member.max_steps for member in Fallback().members] == [50, 50, 50]


@pytest.mark.parametrize("max_steps", [0, 1, 2, 5, 60])
def test_the_budget_holds(max_steps):
    solver = Fallback(max_steps=max_steps)
    solution = solve(solver, lambda y: y + 1, torch.zeros(2, 2, dtype=torch.float64))
    assert solution.status.tolist() == [Status.MAX_STEPS] * 2
    assert solution.steps.tolist() == [max_steps] * 2
    assert solver.most_steps == max_steps
    assert int(solution.evaluations.max()) <= solver.most_evaluations
    assert solver.most_evaluations == sum(1 + m.max_steps * m.evaluations_per_step for m in solver.members)


def test_the_resolved_options_are_plain_data_that_build_the_same_solver():
    solver = Fallback(solvers=["naive", {"name": "newton", "restart": 3}], atol="1e-7")
    options = json.loads(json.dumps(dataclasses.asdict(solver)))
    assert options["solvers"][0] == {"name": "naive", "damping": 1.0}
    assert get_solver({"name": "fallback", **options}) == solver
    assert solver.members[1] == Newton(restart=3, atol=1e-7, max_steps=75)


def test_the_callers_list_is_left_alone():
    choices = [{"name": "naive", "damping": 0.5}, "broyden"]
    Fallback(solvers=choices)
    assert choices == [{"name": "naive", "damping": 0.5}, "broyden"]


@pytest.mark.parametrize(
    ("solvers", "says"),
    [
        ([], r"solvers is \[\]\. It must be a list of at least one solver"),
        ("broyden", r"solvers is 'broyden'\. It must be a list"),
        ({"name": "broyden"}, "It must be a list"),
        (None, "It must be a list"),
        (["naive", "broyen"], r"solvers\[1\]: unknown solver 'broyen'; installed: .*Did you mean 'broyden'\?"),
        (
            [{"name": "broyden", "memroy": 3}],
            r"solvers\[0\]: solver 'broyden': unknown option 'memroy'.*'memory'\?\nIts",
        ),
        ([{"name": "naive", "damping": 2}], r"solvers\[0\]: solver 'naive': damping: .* 1, not 2"),
        ([{"damping": 1}], r"solvers\[0\]: a solver is a name or a mapping with 'name'"),
        (["naive", "fallback"], r"solvers\[1\]: a fallback cannot be in a fallback"),
        ([{"name": "fallback", "solvers": ["naive"]}], r"solvers\[0\]: a fallback cannot be in a fallback"),
        ([{"name": "naive", "max_steps": 5}], r"solvers\[0\]: max_steps: it holds for the whole list: give it beside"),
        (["naive", {"name": "broyden", "rtol": 0.1}], r"solvers\[1\]: rtol: it holds for the whole list"),
        ([Naive()], r"solvers\[0\]: a name or a mapping is needed; solve_in_turn takes objects"),
    ],
)
def test_lists_that_are_refused(solvers, says):
    for build in (Fallback, lambda solvers: get_solver({"name": "fallback", "solvers": solvers})):
        with pytest.raises(SolverError, match=says) as caught:
            build(solvers=solvers)
        assert str(caught.value).startswith("Fallback: ")
        assert len(str(caught.value).splitlines()) <= 2


@dataclass(frozen=True, kw_only=True, config=SOLVER_CONFIG)
class Lenient(CompositeSolver):
    """A plug-in's composite, whose members are content with much less than it is asked for."""

    @property
    def members(self):
        return Naive(rtol=0.5, max_steps=5), Broyden(rtol=0.5, max_steps=20)


def test_a_composite_cannot_claim_what_the_loop_has_not_measured():
    solver = Lenient(**FEW)
    solution, calls = run(solver)
    assert solution.all_converged
    assert torch.allclose(solution.value, 1 / (1 - RATES), rtol=1e-7)
    assert solution.tried == (("Naive", 4), ("Broyden", 4))
    assert len(calls) <= solver.most_evaluations
    assert (solver.most_steps, solver.most_evaluations, solver.evaluations_per_step) == (25, 27, 1)


def test_objects_are_tried_in_turn_each_with_its_own_options():
    f = Counted(line, 4)
    y0 = torch.zeros(4, 1, dtype=torch.float64)
    solution = solve_in_turn([Naive(max_steps=40, **FEW), Broyden(**FEW)], f, y0, (RATES, torch.arange(4)))
    assert solution.all_converged
    assert solution.evaluations.tolist() == f.counts
    assert solution.tried == (("Naive", 4), ("Broyden", 2))


def test_a_fallback_in_a_list_of_objects_is_one_list():
    inner = Fallback(solvers=["naive", "naive"], max_steps=3)
    y0 = torch.zeros(4, 1, dtype=torch.float64)
    solution = solve_in_turn([inner, Broyden()], line, y0, (RATES,))
    assert [name for name, _ in solution.tried] == ["Naive", "Naive", "Broyden"]


def test_the_layer_falls_back_by_the_same_means():
    y0 = torch.zeros(4, 1, dtype=torch.float64)
    chain = [Naive(max_steps=40, **FEW), Broyden(max_steps=40, **FEW)]
    layer = Equilibrium(chain[0], on_failure="fallback", fallback=chain[1:])
    named = Equilibrium(Fallback(solvers=["naive", "broyden"], max_steps=80, **FEW))
    with torch.no_grad():
        results = [each(line, y0, (RATES,)) for each in (layer, named)]
    expected = solve_in_turn(chain, line, y0, (RATES,))
    for result in results:
        assert torch.equal(result.value, expected.value)
        assert torch.equal(result.evaluations, expected.evaluations)
        assert torch.equal(result.status, expected.status)


def test_a_fixed_number_of_steps_needs_one_solver():
    with pytest.raises(SolverError, match="Fallback cannot take a fixed number of steps: name one of its solvers"):
        Equilibrium(Fallback(), fixed_steps=5)
    with pytest.raises(SpecError, match=r"^file: solver: fallback cannot take a fixed number of steps"):
        parse_spec({"solver": {"name": "fallback", "fixed_steps": 5}}, "file")


def test_an_experiment_file_names_it_and_gets_it_back():
    spec = parse_spec({"solver": {"name": "fallback", "rtol": 1e-5, "solvers": ["naive", {"name": "newton"}]}}, "file")
    again = parse_spec(json.loads(spec.model_dump_json()), "file")
    assert again == spec
    assert get_solver(again.solver.choice()) == Fallback(solvers=["naive", "newton"], rtol=1e-5)


def test_an_unrolled_gradient_is_refused():
    with pytest.raises(SolverError, match="an unrolled gradient follows one solver"):
        Equilibrium(Fallback(), adjoint=UnrolledAdjoint())
