"""`qdeq check-backend`."""

import json

import pytest
from broken import ReadoutError
from click import unstyle
from typer.testing import CliRunner

from qdeq.backends import get_backend
from qdeq.cli.app import app
from qdeq.plugins import BACKENDS


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


@pytest.mark.parametrize(
    ("arguments", "says"), [(["torhc"], "Did you mean 'torch'?"), (["torch", "--examples", "0"], "--examples")]
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
