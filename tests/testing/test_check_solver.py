"""The kit of solvers: built-in ones pass, and the report says what became of each problem."""

import json

import pytest

from qdeq.errors import QdeqError, SolverError
from qdeq.plugins import SOLVERS
from qdeq.solvers import Anderson, Naive
from qdeq.testing import check_solver
from qdeq.testing.solver_harness import SOLVER_CHECKS
from qdeq.testing.solvers import CHECK_NAMES

OTHER_OPTIONS = [
    {"name": "anderson", "memory": 2, "mixing": 0.5},
    {"name": "broyden", "memory": 2},
    {"name": "naive", "damping": 0.5},
    {"name": "newton", "min_damping": 1.0, "restart": 2},
    {"name": "fallback", "solvers": ["naive", {"name": "anderson", "memory": 3}]},
]
"""Options under which a solver takes other paths through its code, and has to be as honest."""


def shown(choice):
    return choice if isinstance(choice, str) else " ".join(str(value) for value in choice.values())


@pytest.mark.parametrize("choice", [*SOLVERS.names(), *OTHER_OPTIONS], ids=shown)
def test_an_installed_solver_passes(choice):
    report = check_solver(choice)
    report.raise_if_failed()
    assert {result.status for result in report.results} == {"passed"}


def test_every_check_is_there_and_says_what_it_proves():
    assert set(CHECK_NAMES) == {
        *("completes", "status", "converges", "counts", "freezing", "budget", "batch-independence", "isolation"),
        *("precision", "device", "purity", "options"),
    }
    assert all(len(check.proves) > 30 for check in SOLVER_CHECKS.values())


def test_what_a_solver_cannot_do_is_an_honest_failure():
    verdicts = {row.problem: row for row in check_solver("naive", checks=["status"]).problems}
    assert verdicts["contraction"].verdict == "solved"
    assert verdicts["rotation-1.05"].verdict == "honest failure"
    assert verdicts["rotation-1.05"].remark == "4 MAX_STEPS"
    assert verdicts["no-root"].verdict == "honest failure"
    assert (verdicts["non-finite"].verdict, verdicts["non-finite"].remark) == ("solved", "3 NON_FINITE")


@pytest.mark.parametrize("name", ["anderson", "broyden", "newton"])
def test_root_finders_solve_what_plain_iteration_cannot(name):
    verdicts = {row.problem: row.verdict for row in check_solver(name, checks=["budget"]).problems}
    beyond = {"rotation-0.95", "rotation-1.05", "rotation-3", "stiff", "mixed-difficulty", "qdeq-angle"}
    assert {verdicts[problem] for problem in beyond} == {"solved"}


def test_the_report_is_json():
    data = json.loads(check_solver({"name": "anderson", "memory": 3}, checks=["budget"]).to_json())
    assert (data["solver"], data["ok"]) == ("anderson", True)
    assert data["options"]["memory"] == 3
    (result,) = data["results"]
    assert (result["name"], result["status"], result["failure"]) == ("budget", "passed", None)
    assert data["problems"][0]["problem"] == "contraction"


def test_two_runs_give_the_same_report():
    def report():
        results = check_solver("broyden", checks=["batch-independence", "purity"]).results
        return [(result.status, result.difference) for result in results]

    assert report() == report()


def test_an_object_is_checked_as_it_is():
    report = check_solver(Naive(damping=0.5), checks=["options"])
    assert report.solver == "Naive"
    assert report.options["damping"] == 0.5
    report.raise_if_failed()


def test_bad_arguments_are_refused():
    with pytest.raises(QdeqError, match=r"unknown check 'budge'.*Did you mean 'budget'"):
        check_solver("naive", checks=["budge"])
    with pytest.raises(SolverError, match="memory"):
        check_solver({"name": "anderson", "memory": 0})
    assert check_solver(Anderson(), checks=["budget"]).ok
