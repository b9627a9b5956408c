"""`qdeq check-solver`."""

import json

import pytest
from broken_solvers import CallsBehindTheCount
from click import unstyle
from typer.testing import CliRunner

from qdeq.cli.app import app
from qdeq.plugins import SOLVERS
from qdeq.testing.problems import PROBLEMS
from qdeq.testing.solvers import CHECK_NAMES


def run(*arguments):
    return CliRunner().invoke(app, ["check-solver", *arguments])


def test_a_right_solver_gives_two_tables_and_exit_code_0():
    result = run("broyden", "--set", "memory=5")
    assert result.exit_code == 0, result.output
    assert "solver broyden: 12 passed, 0 failed, 0 skipped" in result.output
    assert all(name in result.output for name in CHECK_NAMES)
    assert "honest failure" in result.output


def test_the_report_as_json():
    result = run("fallback", "--set", "solvers=[naive, {name: anderson, memory: 3}]", "--json")
    assert result.exit_code == 0, result.output
    report = json.loads(result.output)
    assert [solver["name"] for solver in report["options"]["solvers"]] == ["naive", "anderson"]


def test_a_broken_solver_gives_the_case_and_exit_code_1(monkeypatch):
    load = type(SOLVERS).load
    fake = {"sly": CallsBehindTheCount}
    monkeypatch.setattr(type(SOLVERS), "load", lambda self, name: fake.get(name) or load(self, name))
    result = run("sly")
    assert result.exit_code == 1
    assert "counts: Evaluations and Jacobians are as many as f was called for" in result.output
    assert "on:          contraction" in result.output


def test_single_checks_can_be_named():
    result = run("naive", "--checks", "budget, options", "--json")
    assert [row["name"] for row in json.loads(result.output)["results"]] == ["budget", "options"]
    assert run("naive", "--checks", "budgte").exit_code == 2


def test_the_table_of_problems_is_published():
    result = run("--list")
    assert result.exit_code == 0
    assert all(problem.name in result.output for problem in PROBLEMS)
    data = json.loads(run("--list", "--json").output)
    assert [problem["name"] for problem in data["problems"]] == [problem.name for problem in PROBLEMS]
    assert list(data["checks"]) == list(CHECK_NAMES)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["broyen"], "Did you mean 'broyden'?"),
        (["broyden", "--set", "memroy=5"], "Did you mean 'memory'?"),
        (["broyden", "--set", "memory=0"], "greater than or equal to 1"),
        (["broyden", "--set", "memory"], "expected OPTION=VALUE"),
        ([], "name a solver"),
    ],
)
def test_bad_input_gives_exit_code_2_and_no_traceback(arguments, says):
    result = run(*arguments)
    assert result.exit_code == 2
    assert says in unstyle(result.output)
    assert "Traceback" not in result.output
