"""The kit passes backends that are right, and skips what they do not have."""

import json
import os

import pytest
from broken import FewGates, Good, GoodProbabilities, ReversedQubits

from qdeq.backends import Capabilities, get_backend
from qdeq.circuit import Circuit
from qdeq.errors import BackendError, QdeqError, UnsupportedError
from qdeq.testing import check_backend
from qdeq.testing.backends import CHECK_NAMES
from qdeq.testing.harness import CHECKS

FEW = 2
"""Enough to run every check and every variant; the slow tests run the default number."""

RIGHT = [
    Good(),
    GoodProbabilities(),
    Good(execution="circuits"),
    get_backend("torch"),
    get_backend({"name": "torch", "execution": "circuits"}),
    get_backend({"name": "torch", "execution": "circuits", "gradient": "parameter-shift"}),
]


def test_every_check_is_there_and_says_what_it_proves():
    assert set(CHECK_NAMES) == {
        *("run", "precision"),
        *("qubit-order", "idle-qubits", "controlled-phases", "gates", "random-circuits", "amplitude-encoding"),
        *("inputs-and-weights", "observables", "batch", "shots-statistics", "shots-seed", "standard-error"),
        *("shots-evaluations", "gradients", "compiled-equals-circuits", "unsupported", "purity", "capabilities"),
        *("noise-channels", "noise-model", "noise-gradients", "readout"),
        *("noise-shots", "noise-seed", "noise-standard-error"),
    }
    assert all(len(check.proves) > 30 for check in CHECKS.values())


@pytest.mark.parametrize("backend", RIGHT, ids=lambda b: f"{b.name}-{b.execution}-{b.gradient}")
def test_a_right_backend_passes(backend):
    check_backend(backend, examples=FEW).raise_if_failed()


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3 if os.environ.get("QDEQ_LONG") else 1))
@pytest.mark.parametrize("backend", RIGHT, ids=lambda b: f"{b.name}-{b.execution}-{b.gradient}")
def test_a_right_backend_passes_at_length(backend, seed):
    check_backend(backend, seed=seed).raise_if_failed()


def test_what_a_backend_lacks_is_skipped_with_the_reason():
    report = check_backend(GoodProbabilities(), examples=FEW, checks=["shots-statistics", "shots-seed", "qubit-order"])
    assert report.ok
    assert [result.status for result in report.results] == ["passed", "skipped", "skipped"]
    assert report["shots-seed"].reason == "the backend has no shots"
    assert "skipped shots-seed        the backend has no shots" in str(report)


def test_refused_gates_are_named_and_left_out():
    report = check_backend(FewGates(), examples=FEW, checks=["gates", "random-circuits"])
    assert report.refused == ("Toffoli",)
    assert report.ok
    assert "refuses the gates Toffoli" in str(report)


def test_nothing_checked_is_not_a_pass():
    report = check_backend(GoodProbabilities(), checks=["shots-seed"])
    assert not report.ok
    with pytest.raises(BackendError, match="the backend has no shots"):
        report.raise_if_failed()


def test_the_same_seed_gives_the_same_report():
    def report(seed):
        data = json.loads(check_backend(Good(), examples=FEW, seed=seed, checks=["observables"]).to_json())
        return [{**result, "seconds": 0} for result in data["results"]]

    assert report(3) == report(3)
    assert report(3) != report(4)


def test_the_report_is_json():
    data = json.loads(check_backend("torch", examples=3, checks=["qubit-order"]).to_json())
    assert data["ok"] is True
    assert data["backend"] == "torch"
    (result,) = data["results"]
    assert result["name"] == "qubit-order"
    assert result["difference"] < result["tolerance"]
    assert result["failure"] is None


def test_bad_arguments_are_refused():
    with pytest.raises(QdeqError, match=r"unknown check 'qubit-ordre'.*Did you mean 'qubit-order'"):
        check_backend("torch", checks=["qubit-ordre"])
    with pytest.raises(QdeqError, match="examples must be at least 1, not 0"):
        check_backend("torch", examples=0)


def test_a_backend_that_costs_money_is_not_run_by_accident():
    paid = type("Paid", (Good,), {"capabilities": Capabilities(costs_money=True)})()
    with pytest.raises(UnsupportedError, match=r"each run on backend 'Paid' is billed.*paid=True"):
        check_backend(paid)
    assert check_backend(paid, paid=True, examples=2, checks=["qubit-order"]).ok


def test_the_failing_circuit_can_be_read_back():
    failure = check_backend(ReversedQubits(), checks=["qubit-order"])["qubit-order"].failure
    circuit = Circuit.from_json(failure.circuit)
    assert circuit.draw() == failure.drawing
