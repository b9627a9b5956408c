"""`qdeq compare`: exit codes 0, 1 and 2, a table, JSON alone, and two files."""

import json
import sys
import types
from importlib.metadata import EntryPoint

import pytest

import qdeq.plugins
from qdeq.backends.torch import TorchBackend

SHIFTED = "{name: torch, execution: circuits, gradient: parameter-shift}"
QUICK = ("--samples", 2, "--steps", 2, "--set", "model={ansatz: hardware-efficient}")


class Wrong(TorchBackend):
    name = "wrong"

    def at(self, circuit, weights, observables, **options):
        return super().at(circuit, weights + 1e-3, observables, **options)


@pytest.fixture
def wrong_backend(monkeypatch):
    """Register ``wrong``, and ``gone``, which cannot be imported, and take the cirq package away."""
    monkeypatch.setitem(sys.modules, "fake_backends", types.SimpleNamespace(Wrong=Wrong))
    found = qdeq.plugins._entry_points
    added = {
        name: EntryPoint(name, value, "qdeq.backends")
        for name, value in (("wrong", "fake_backends:Wrong"), ("cirq", "cirq_is_not_there:Backend"))
    }
    monkeypatch.setattr(
        qdeq.plugins,
        "_entry_points",
        lambda group: {**found(group), **added} if group == "qdeq.backends" else found(group),
    )


def test_equal_backends(qdeq, tmp_path):
    result = qdeq("compare", "tiny.yaml", "--backends", f"torch,{SHIFTED}", *QUICK, "--out", "out")
    assert "tiny: 4 qubits, 2 images, float64, exact: all within tolerance" in result.stdout
    for words in ("f(y0)", "∂f/∂y", "dL/dθ", "y*", "tolerance, float64", "pass", "s/step", "||(1 - J)^-1||"):
        assert words in result.stdout
    assert not result.stderr
    files = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert files == ["comparison.json", "comparison.png"]
    assert json.loads((tmp_path / "out/comparison.json").read_text())["ok"]
    assert (tmp_path / "out/comparison.png").stat().st_size > 10_000


def test_a_wrong_backend_exits_1_and_names_what_differs(qdeq, wrong_backend):
    result = qdeq("compare", "tiny.yaml", "--backends", "wrong,cirq", *QUICK, code=1)
    assert "NOT within tolerance" in result.stdout
    assert "FAIL" in result.stdout
    assert "wrong: ∂f/∂y (its Jacobian there) differs by" in result.stdout
    assert 'cirq: unavailable: pip install "cirq-core>=1.5"' in result.stdout
    assert not result.stderr
    qdeq("compare", "tiny.yaml", "--backends", "wrong", *QUICK, "--tolerance", "0.1")


def test_json_is_all_that_is_printed(qdeq, wrong_backend):
    result = qdeq("compare", "tiny.yaml", "--backends", "wrong", *QUICK, "--json", code=1)
    found = json.loads(result.stdout)
    assert not found["ok"]
    assert found["backends"][1]["backend"] == "wrong"
    assert not result.stderr


def test_shots_say_what_ends_a_solve(qdeq):
    result = qdeq("compare", "tiny.yaml", "--backends", SHIFTED, *QUICK, "--set", "shots=50", "--samples", 1)
    text = " ".join(result.stdout.split())
    assert "in standard errors" in text
    assert "Under shots a solve ends where its residual cannot be told from their noise" in text
    assert "probability of at most 1e-06" in text
    assert "same shots" in text


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (("--backends", "torch"), "nothing to compare the native backend (torch) with"),
        (("--backends", "cirq"), 'cirq: pip install "cirq-core>=1.5" "qsimcirq>=0.22"'),
        (("--backends", "toch"), "Did you mean 'torch'?"),
        (("--backends", ""), "expected names with commas"),
        (("--backends", "{options: 1}"), "expected names with commas"),
        (("--backends", "{name: torch, speed: 2}"), "unknown option 'speed'"),
        (("--backends", "wrong", "--tolerance", "-1"), "--tolerance -1.0: expected a number"),
        (("--backends", "wrong", "--tolerance", "nan"), "--tolerance nan: expected a number"),
        (("--backends", "wrong", "--out", "tiny.yaml"), "--out tiny.yaml: there is a file of that name"),
        (("--backends", "wrong", "--set", "data.classes=[0, 12]"), "tiny.yaml: data:"),
        (("--backends", "wrong", "--set", "training.epocs=3"), "Did you mean 'epochs'?"),
    ],
)
def test_bad_input(qdeq, wrong_backend, options, expected):
    result = qdeq("compare", "tiny.yaml", *options, code=2)
    assert result.stdout == ""
    assert result.stderr.startswith("error: ")
    assert 1 <= len(result.stderr.splitlines()) <= 2
    assert expected in result.stderr


def test_counts_below_one_are_refused(qdeq):
    for option in ("--samples", "--steps"):
        assert option in qdeq("compare", "tiny.yaml", option, 0, code=2).stderr


def test_nothing_but_refusals_exits_2(qdeq):
    pytest.importorskip("pennylane")
    choice = "{name: pennylane, execution: compiled}"
    result = qdeq("compare", "tiny.yaml", "--backends", choice, *QUICK, "--set", "shots=10", "--samples", 1, code=2)
    assert "nothing was compared" in result.stdout
    assert "refused: execution: compiled needs exact expectations" in " ".join(result.stdout.split())
    assert "nothing was compared" in result.stderr


def test_a_backend_that_was_not_compared_exits_4_and_is_no_difference(qdeq, wrong_backend, tmp_path):
    fine = "{name: torch, execution: circuits}"
    result = qdeq("compare", "tiny.yaml", "--backends", f"cirq,{fine}", *QUICK, code=4)
    head = " ".join(result.stdout.split("largest difference")[0].split())
    assert head.endswith("exact: 1 of 2 backends not compared; the others are within tolerance")
    assert "NOT" not in result.stdout
    assert 'cirq: unavailable: pip install "cirq-core>=1.5"' in result.stdout
    found = json.loads(qdeq("compare", "tiny.yaml", "--backends", f"cirq,{fine}", *QUICK, "--json", code=4).stdout)
    assert (found["ok"], found["verdict"]) == (True, "incomplete")


def test_a_paid_backend_without_a_budget_is_refused_and_no_difference(qdeq):
    pytest.importorskip("braket.aws")
    fine = "{name: torch, execution: circuits}"
    result = qdeq("compare", "tiny.yaml", "--backends", f"braket-sv1,{fine}", *QUICK, code=4)
    assert "1 of 2 backends not compared" in " ".join(result.stdout.split())
    assert "braket-sv1: refused: backend 'braket-sv1' costs money" in result.stdout
    alone = qdeq("compare", "tiny.yaml", "--backends", "braket-sv1", *QUICK, code=2)
    assert "nothing was compared" in alone.stdout
