"""`qdeq check-backend`."""

import json

import pytest
from broken import ReadoutError
from click import unstyle
from typer.testing import CliRunner

from qdeq.backends import get_backend
from qdeq.cli.app import app
from qdeq.plugins import BACKENDS
from qdeq.testing.backends import CHECK_NAMES


def run(*arguments):
    return CliRunner().invoke(app, ["check-backend", *arguments])


def test_a_right_backend_gives_a_table_and_exit_code_0():
    result = run("torch", "--examples", "2", "--seed", "1")
    assert result.exit_code == 0, result.output
    assert "backend torch" in result.output
    assert "seed 1, 2 examples" in result.output
    assert "compiled-equals-circuits" in result.output


def test_the_report_as_json():
    result = run("torch", "--examples", "1", "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.output)["ok"] is True


def test_a_broken_backend_gives_the_circuit_and_exit_code_1(monkeypatch):
    monkeypatch.setattr(type(BACKENDS), "load", lambda self, name: ReadoutError)
    result = run("noisy", "--examples", "2")
    assert result.exit_code == 1
    assert "shots-statistics: Shots are distributed as the state says" in result.output
    assert '"format":"qdeq-circuit"' in result.output


def test_options_of_the_backend_and_single_checks_can_be_given():
    result = run("torch", "--set", "execution=circuits", "--checks", "run,qubit-order", "--examples", "2", "--json")
    assert result.exit_code == 0, result.output
    assert {row["name"] for row in json.loads(result.output)["results"]} == {"run", "qubit-order"}


def test_what_is_asked_of_a_backend_is_listed():
    result = run("--list")
    assert result.exit_code == 0
    assert all(name in result.output for name in CHECK_NAMES)
    assert list(json.loads(run("--list", "--json").output)["checks"]) == list(CHECK_NAMES)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["torhc"], "Did you mean 'torch'?"),
        (["torch", "--examples", "0"], "--examples"),
        (["torch", "--set", "exection=auto"], "Did you mean 'execution'?"),
        (["torch", "--checks", "gate"], "Did you mean 'gates'?"),
        ([], "name a backend to check (`qdeq backends` lists them)"),
    ],
)
def test_bad_input_gives_exit_code_2(arguments, says):
    result = run(*arguments)
    assert result.exit_code == 2
    assert says in unstyle(result.output)


@pytest.mark.parametrize(
    ("name", "twin"),
    [
        ("braket-sv1", "braket-local"),
        ("braket-dm1", "braket-local-dm"),
        ("braket:arn:aws:braket:us-east-1::device/qpu/ionq/Forte-1", "braket-local"),
    ],
)
def test_a_backend_that_is_billed_names_a_command_that_is_not(name, twin):
    pytest.importorskip("braket.aws")
    result = run(name)
    assert result.exit_code == 2
    first, second = result.output.strip().splitlines()
    assert first.startswith(f"error: each run on backend '{name}' is billed")
    command = second.partition(": ")[2].split()
    assert command == ["qdeq", "check-backend", twin]
    assert not get_backend(twin).capabilities.costs_money
