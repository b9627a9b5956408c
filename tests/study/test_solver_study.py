"""A study's figures are those of solves made one by one, whatever the solver spends on a step."""

import dataclasses
import math
from statistics import fmean

import pytest
import torch
from pydantic.dataclasses import dataclass

import qdeq.study.run
from qdeq.errors import DataError, SolverError, SpecError
from qdeq.solvers import SOLVER_CONFIG, Broyden, Naive, get_solver, solve
from qdeq.spec import parse_spec
from qdeq.study import SolverStudy, Subject, study_solvers
from qdeq.study.measure import BAND, measure, quantile
from qdeq.training import RunFolder, load_checkpoint, train

SAMPLES = 20
TOLERANCES = (1e-2, 1e-4, 1e-6)
NAMES = ("broyden", "anderson", "naive", "newton")


def spec_of(**sections):
    data = {
        "name": "tiny",
        "data": {"dataset": "digits", "classes": [0, 3, 6, 9], "limit": 60},
        "model": {"encoding": "angle"},  # plain iteration fails on some of its samples
        "solver": {"name": "broyden", "rtol": 1e-3, "max_steps": 12, "memory": 7},
        "training": {"precision": "float64", "epochs": 1, "batch_size": 30},
    }
    return parse_spec({**data, **sections}, "tiny")


@pytest.fixture(scope="module")
def subject():
    return Subject.of_spec(spec_of(), SAMPLES)


@pytest.fixture(scope="module")
def study(subject):
    return study_solvers(subject, NAMES, tolerances=TOLERANCES)


def solver_of(result):
    return get_solver(result.options)


def solved(subject, solver, **changes):
    return solve(dataclasses.replace(solver, **changes), subject.f, subject.y0, subject.rows)


def nearest_rank(values, share):
    """Return the smallest value with at least a share of all values below or at it."""
    return min(value for value in values if sum(other <= value for other in values) >= share * len(values))


def test_all_solvers_have_the_experiments_tolerance_and_budget(study):
    assert [result.label for result in study.results] == ["broyden (memory=7)", "anderson", "naive", "newton"]
    for result in study.results:
        assert (result.options["rtol"], result.options["max_steps"]) == (1e-3, 12)


def test_evaluations_to_a_tolerance_are_those_of_a_solve_with_that_tolerance(subject, study):
    for result in study.results:
        for entry in result.reached:
            alone = solved(subject, solver_of(result), rtol=entry.tolerance, atol=0.0)
            spent = torch.where(alone.converged, alone.evaluations.double(), math.inf).tolist()
            expected = [nearest_rank(spent, share) for share in (0.5, 0.95)]
            assert entry.share == alone.converged.double().mean()
            assert [math.inf if count is None else count for count in (entry.median, entry.p95)] == expected


def test_the_experiments_solve_is_that_solve(subject, study):
    for result in study.results:
        alone, found = solved(subject, solver_of(result)), result.solve
        spent = alone.evaluations.tolist()
        assert found.converged == int(alone.converged.sum())
        assert sum(found.failures.values()) == SAMPLES - found.converged
        assert math.isclose(found.evaluations.mean, fmean(spent))
        assert (found.evaluations.median, found.evaluations.p95) == tuple(nearest_rank(spent, q) for q in (0.5, 0.95))
        assert found.evaluations.largest == max(spent)
        assert list(found.arrivals) == sorted(alone.evaluations[alone.converged].tolist())
        assert found.residual == alone.relative_residual.max()
        assert found.jacobians == alone.jacobians.double().mean()


def test_plain_iteration_fails_on_some_samples_and_the_study_says_so(study):
    naive = study.results[2]
    assert naive.solve.failures == {"max_steps": SAMPLES - naive.solve.converged}
    assert 0 < naive.reached[-1].share < 0.95
    assert naive.reached[-1].p95 is None


def test_the_curve_is_what_shorter_budgets_return(subject, study):
    for result in study.results[:3]:  # one evaluation a step
        curve = result.curve
        for count in (1, 3, 6):
            alone = solved(subject, solver_of(result), rtol=TOLERANCES[-1], atol=0.0, max_steps=count - 1)
            best = alone.relative_residual.tolist()
            row = [values[curve.evaluations.index(count)] for values in (curve.low, curve.median, curve.high)]
            assert row == [nearest_rank(best, share) for share in (BAND[0], 0.5, BAND[1])]


@dataclass(frozen=True, kw_only=True, config=SOLVER_CONFIG)
class Wasteful(Naive):
    """Plain iteration that evaluates f three times a step."""

    def step(self, problem, state, y, fy):
        problem(y), problem(fy)
        return super().step(problem, state, y, fy)


def test_a_solver_that_evaluates_more_than_once_a_step_is_charged_for_it(subject):
    options = {"max_steps": 12, "rtol": 1e-3}
    (plain, plain_reached, _), (wasteful, reached, curve) = (
        measure(subject, kind(**options), TOLERANCES) for kind in (Naive, Wasteful)
    )
    assert reached[0].median == 3 * plain_reached[0].median - 2 > 1
    assert wasteful.evaluations.largest == 3 * plain.evaluations.largest - 2
    assert curve.evaluations[-1] == wasteful.evaluations.largest
    assert curve.median[3] == curve.median[4] == curve.median[5] < curve.median[2]  # a new iterate every third


def test_quantiles_are_nearest_ranks_and_infinity_is_the_largest():
    values = torch.tensor([[4.0, math.inf, 1.0, 3.0, 2.0], [1.0, 1.0, math.inf, math.inf, math.inf]])
    assert quantile(values, 0.5).tolist() == [3.0, math.inf]
    assert quantile(values, 0.4).tolist() == [2.0, 1.0]
    assert quantile(values, 1.0).tolist() == [math.inf, math.inf]


def test_json_goes_there_and_back(study):
    assert SolverStudy.from_json(study.to_json()) == study
    for text in ("[]", "{}", "nonsense", '{"format_version": 1, "results": []}'):
        with pytest.raises(SolverError, match="no study of solvers"):
            SolverStudy.from_json(text)
    with pytest.raises(SolverError, match="another format"):
        SolverStudy.from_json(study.to_json().replace('"format_version": 1', '"format_version": 99'))


def test_a_solver_that_raises_is_named_and_the_others_go_on(subject, monkeypatch):
    broken = Broyden.step

    def step(self, problem, state, y, fy):
        if self.memory == 1:
            raise ZeroDivisionError("one term is too few")
        return broken(self, problem, state, y, fy)

    monkeypatch.setattr(Broyden, "step", step)
    study = study_solvers(subject, [{"name": "broyden", "memory": 1}, "naive"], tolerances=TOLERANCES)
    assert [result.outcome for result in study.results] == ["failed", "studied"]
    assert "ZeroDivisionError: one term is too few" in study.results[0].reason
    assert [result.label for result in study.studied] == ["naive"]
    assert SolverStudy.from_json(study.to_json()) == study


def test_by_default_the_experiments_solver_comes_first_and_what_cannot_be_built_is_noted(monkeypatch):
    names = ["anderson", "broyden", "gone", "naive"]
    monkeypatch.setattr(qdeq.study.run.SOLVERS.__class__, "names", lambda self: names)
    study = study_solvers(Subject.of_spec(spec_of(), 2))
    assert [result.label for result in study.results] == ["broyden (memory=7)", "anderson", "naive"]
    assert study.notes == ("Left out: unknown solver 'gone'; installed: anderson, broyden, gone, naive.",)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"tolerances": [1.0]}, "between 0 and 1"),
        ({"tolerances": [-1e-3]}, "between 0 and 1"),
        ({"tolerances": [math.nan]}, "between 0 and 1"),
        ({"tolerances": [1e-17]}, "float64 resolves no less than 2.2e-16"),
        ({"tolerances": []}, "at least one tolerance"),
        ({"solvers": []}, "at least one solver"),
        ({"solvers": [{"name": "naive", "rtol": 1e-2}]}, "rtol is the same for all"),
        ({"solvers": [{"name": "naive", "dampng": 0.5}]}, "unknown option 'dampng'"),
    ],
)
def test_bad_requests(subject, options, expected):
    with pytest.raises(SolverError, match=expected):
        study_solvers(subject, **options)


def test_bad_subjects():
    with pytest.raises(DataError, match="200 samples: there are 145 test images of digits"):
        Subject.of_spec(spec_of(), 200)
    with pytest.raises(SpecError, match=r"shots: 5: .* --set shots=null"):
        Subject.of_spec(spec_of(shots=5))


def test_a_trained_runs_weights_are_studied_in_any_precision(tmp_path):
    spec = spec_of(training={"epochs": 1, "batch_size": 30})
    train(spec, tmp_path / "run")
    saved = load_checkpoint(RunFolder(tmp_path / "run").checkpoint("best"))
    changes = ["training.precision=float64", "solver.rtol=1e-5"]
    trained = Subject.of_run(tmp_path / "run", 3, overrides=changes)
    assert trained.weights == "epoch 1 of run"
    assert trained.spec.solver.choice()["rtol"] == 1e-5

    untrained = Subject.of_spec(trained.spec, 3)
    at_zero = trained.f(trained.y0, *trained.rows)
    assert at_zero.dtype == torch.float64
    assert not torch.allclose(at_zero, untrained.f(untrained.y0, *untrained.rows), atol=1e-3)
    assert torch.allclose(at_zero, _expectations(trained.spec, saved), atol=1e-12)
    for change in ("model.encoding=amplitude", "data.classes=[0,1]"):
        with pytest.raises(SpecError, match="its weights belong to the model"):
            Subject.of_run(tmp_path / "run", overrides=[change])


def _expectations(spec, saved):
    """Return f at y0 = 0 for the first three test images, straight from the circuit and the file's weights."""
    from qdeq import QuantumFunction
    from qdeq.builders import build_circuit, build_data

    features = build_data(spec).test.features[:3].double()
    return QuantumFunction(build_circuit(spec.model))(features, saved.tensors["model.weights"].double())
