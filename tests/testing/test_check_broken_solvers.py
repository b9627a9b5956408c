"""Each broken solver is caught by the check named for its mistake, and by no other."""

import pytest
from broken_solvers import BROKEN, CallsBehindTheCount, FalseConvergence, Good, GoodWithMore, WrongShape

from qdeq.errors import SolverError
from qdeq.testing import check_solver
from qdeq.testing.solvers import CHECK_NAMES


@pytest.mark.parametrize(("broken", "name"), BROKEN.items(), ids=[broken.__name__ for broken in BROKEN])
def test_exactly_the_check_named_for_it_fails(broken, name):
    report = check_solver(broken())
    assert [result.name for result in report.failed] == [name], report
    failure = report[name].failure
    assert failure.problem
    assert failure.given["solver"].startswith(broken.__name__)
    assert f"FAILED  {name}" in str(report)
    with pytest.raises(SolverError, match=name):
        report.raise_if_failed()


@pytest.mark.parametrize("right", [Good, GoodWithMore])
def test_the_same_solvers_without_the_mistakes_pass(right):
    report = check_solver(right())
    report.raise_if_failed()
    assert {result.status for result in report.results} == {"passed"}
    assert {row.verdict for row in report.problems} == {"solved", "honest failure"}


def test_every_check_is_failed_by_a_broken_solver():
    assert set(BROKEN.values()) == set(CHECK_NAMES)


def test_a_check_alone_finds_what_it_is_named_for():
    result = check_solver(CallsBehindTheCount(), checks=["counts"])["counts"]
    assert result.status == "failed"
    assert "contraction" in result.reason


def test_a_lie_is_told_with_the_problem_and_both_numbers():
    report = check_solver(FalseConvergence(), checks=["status"])
    failure = report["status"].failure
    assert failure.given["on"] == "contraction"
    assert "its residual is not what is told" in failure.problem
    assert float(failure.expected) > 1e-3 > float(failure.got)
    assert {row.verdict for row in report.problems if row.problem in ("contraction", "cosine")} == {"dishonest"}


def test_a_solver_that_always_raises_is_named_and_the_rest_is_skipped():
    report = check_solver(WrongShape())
    assert "WrongShape: step returned float64 [4, 10] for float64 [4, 5]" in report["completes"].failure.problem
    assert report["counts"].status == "skipped"
    assert report["counts"].reason == "nothing to show that completes does not show"
    assert {row.verdict for row in report.problems} == {"raised"}
