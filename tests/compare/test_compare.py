"""A comparison finds equal what is equal, and names the quantity in which a wrong backend is wrong."""

import json
import math

import pytest
import wrong_backends as wrong

from qdeq.backends.torch import TorchBackend
from qdeq.compare import compare
from qdeq.compare.result import QUANTITIES
from qdeq.errors import BackendError, BudgetError, PluginError, SpecError

CIRCUITS = {"name": "torch", "execution": "circuits"}
SHIFTED = {**CIRCUITS, "gradient": "parameter-shift"}
ROUNDING = 1e-13
"""Two float64 ways through one circuit of 16 gates, their derivatives and 3 training steps."""


def failed(row):
    return {difference.quantity for difference in row.failures}


@pytest.mark.parametrize("encoding", ["amplitude", "angle"])
def test_ways_through_one_simulator_agree(digits, encoding):
    found = compare(digits(model={"encoding": encoding}), ["torch", CIRCUITS, SHIFTED], samples=3)
    assert found.passed
    assert [row.label for row in found.results] == [
        "torch",
        "torch (execution=circuits)",
        "torch (execution=circuits, gradient=parameter-shift)",
    ]
    assert [row.outcome for row in found.results] == ["native", "compared", "compared"]
    for row in found.compared:
        assert [difference.quantity for difference in row.differences] == list(QUANTITIES)
        assert all(0 <= difference.value < ROUNDING for difference in row.differences)
        assert row.cost.converged == 3
        assert row.cost.steps == found.results[0].cost.steps
        assert len(row.cost.losses) == 3
    shifted = found.compared[1].cost.executions
    assert shifted["function"] == 3  # one circuit a sample
    assert shifted["training_step"] > shifted["solve"] > 3


def test_solves_that_end_early_are_named(digits):
    told = "Natively, 3 of 3 solves did not converge"
    cut = compare(digits(solver={"name": "broyden", "max_steps": 1}), ["torch", CIRCUITS], samples=3)
    assert any(note.startswith(told) for note in cut.notes)
    assert not any("did not converge" in note for note in compare(digits(), ["torch", CIRCUITS], samples=3).notes)


@pytest.mark.parametrize(
    ("backend", "names"),
    [
        (wrong.WrongValue, {"function_y0", "function", "jacobian", "gradient_weights", "gradient_data", "residual"}),
        (wrong.WrongGradient, {"gradient_weights"}),
        (wrong.WrongJacobian, {"jacobian", "gradient_weights", "gradient_data"}),
        (wrong.NotANumber, set(QUANTITIES) - {"gradient_weights", "gradient_data", "state"}),
    ],
)
def test_a_wrong_backend_is_caught_in_what_is_wrong(digits, register, backend, names):
    register(wrong=backend, fine=wrong.Fine)
    found = compare(digits(), ["wrong", "fine"], samples=3)
    assert not found.passed
    assert failed(found.results[1]) >= names
    if backend is wrong.WrongGradient:
        assert failed(found.results[1]) == names
    assert not failed(found.results[2])
    json.loads(found.to_json(), parse_constant=pytest.fail)  # no NaN in it


def test_an_equilibrium_may_differ_by_what_the_solver_leaves_open(digits, register):
    register(wrong=wrong.WrongValue)
    loose = compare(digits(solver={"name": "broyden", "rtol": 1e-2}), ["wrong"], samples=3)
    tight = compare(digits(solver={"name": "broyden", "rtol": 1e-8, "atol": 1e-10}), ["wrong"], samples=3)
    assert "state" not in failed(loose.results[1])
    assert "state" in failed(tight.results[1])
    for found, rtol in ((loose, 1e-2), (tight, 1e-8)):
        (state,) = (each for each in found.results[1].differences if each.quantity == "state")
        assert rtol / 10 < state.tolerance / (2 * found.amplification) < 2 * rtol  # ||f(y)|| is about one
        assert any(f"{found.amplification:.2f}" in note for note in found.notes)


def test_one_tolerance_for_all(digits, register):
    register(wrong=wrong.WrongValue)
    assert compare(digits(), ["wrong"], samples=2, tolerance=0.1).passed
    found = compare(digits(), ["wrong"], samples=2, tolerance=1e-7)
    assert failed(found.results[1]) == set(QUANTITIES)
    assert {difference.tolerance for difference in found.results[1].differences} == {1e-7}


def test_direct_layers(digits, register):
    register(wrong=wrong.WrongValue)
    found = compare(digits(model={"mode": "direct", "layers": 3}), [SHIFTED, "wrong"], samples=2)
    assert found.layers == 3
    assert not failed(found.results[1])
    assert "state" in failed(found.results[2])
    assert found.results[0].cost.converged is None
    assert "3 layers" in found.notes[0]


def test_what_cannot_be_run_is_a_row(digits, register):
    register(
        missing="no_such_module_of_a_simulator:Backend",
        refuses=wrong.Refuses,
        raises=wrong.Raises,
        fine=wrong.Fine,
    )
    found = compare(digits(), ["missing", "refuses", "fine"], samples=2)
    assert found.passed
    _, missing, refused, fine = found.results
    assert (missing.outcome, missing.label) == ("unavailable", "missing")
    assert "no_such_module_of_a_simulator" in missing.reason
    assert (refused.outcome, refused.reason) == ("refused", "backend 'refuses' has no gate RX; torch has it")
    assert fine.outcome == "compared"
    crashed = compare(digits(), ["raises", "fine"], samples=2)
    assert not crashed.passed
    assert (crashed.results[1].outcome, crashed.results[1].reason) == ("failed", "ZeroDivisionError: a bug")
    assert crashed.results[2].outcome == "compared"


def test_a_missing_extra_says_how_to_install_it(digits, register):
    register(**{"cirq": "cirq_that_is_not_there:Backend", "pennylane": "pennylane_neither:Backend", "fine": wrong.Fine})
    found = compare(digits(), ["cirq", "pennylane:lightning.qubit", "fine"], samples=2)
    assert [row.outcome for row in found.results] == ["native", "unavailable", "unavailable", "compared"]
    assert found.results[1].reason == 'pip install "cirq-core>=1.5" "qsimcirq>=0.22"'
    assert found.results[2].reason == 'pip install "pennylane>=0.42"'
    with pytest.raises(BackendError, match=r'nothing to compare.* with: cirq: pip install "cirq-core>=1.5"'):
        compare(digits(), ["torch", "cirq"])


@pytest.mark.parametrize(
    ("backends", "error", "says"),
    [
        (["torch"], BackendError, "nothing to compare the native backend"),
        (["toch"], PluginError, "Did you mean 'torch'"),
        ([{"name": "torch", "speed": 2}], BackendError, "unknown option 'speed'"),
    ],
)
def test_bad_choices(digits, backends, error, says):
    with pytest.raises(error, match=says):
        compare(digits(), backends)


def test_backends_that_are_given_twice_are_measured_once(digits):
    assert len(compare(digits(), ["torch", SHIFTED, dict(SHIFTED), {"name": "torch"}], samples=1, steps=1).results) == 2


def test_the_json_has_a_stable_shape(digits):
    found = json.loads(compare(digits(), [CIRCUITS], samples=2, steps=2).to_json())
    assert list(found) == [
        "format_version",
        "ok",
        "verdict",
        "name",
        "spec_hash",
        "qdeq_version",
        "samples",
        "shots",
        "qubits",
        "solver",
        "fixed_steps",
        "layers",
        "amplification",
        "backends",
        "notes",
    ]
    assert found["format_version"] == 1
    row = found["backends"][1]
    assert list(row) == [
        "backend",
        "outcome",
        "ok",
        "version",
        "precision",
        "reason",
        "same_shots",
        "differences",
        "cost",
    ]
    assert all(list(each) == ["quantity", "value", "tolerance", "unit", "where", "ok"] for each in row["differences"])
    assert list(row["cost"]) == [
        "converged",
        "noise_limited",
        "steps",
        "evaluations",
        "residual",
        "executions",
        "seconds",
        "losses",
    ]
    assert set(row["cost"]["executions"]) == {"function", "jacobian", "solve", "gradient", "training_step"}
    assert math.isfinite(found["amplification"])


def test_a_backend_that_was_not_run_is_no_difference(digits, register):
    class Costs(TorchBackend):
        name = "costs"

        def at(self, circuit, weights, observables, **options):
            raise BudgetError("backend 'costs' costs money, and no budget was given")

    register(missing="no_such_module_of_a_simulator:Backend", refuses=wrong.Refuses, costs=Costs, fine=wrong.Fine,
             raises=wrong.Raises, value=wrong.WrongValue)  # fmt: skip

    def verdict(*backends):
        found = compare(digits(), backends, samples=1, steps=1)
        assert json.loads(found.to_json())["verdict"] == found.verdict
        return found.verdict, [row.label for row in found.missing]

    assert verdict("fine") == ("same", [])
    assert verdict("missing", "refuses", "costs", "fine") == ("incomplete", ["missing", "refuses", "costs"])
    assert verdict("missing", "refuses", "costs") == ("nothing compared", ["missing", "refuses", "costs"])
    assert verdict("raises", "refuses", "fine") == ("failed", ["refuses"])
    assert verdict("value", "raises", "refuses") == ("different", ["refuses"])


@pytest.mark.parametrize("wrong_count", [0, 1.5, True])
@pytest.mark.parametrize("what", ["samples", "steps"])
def test_samples_and_steps_are_whole(digits, what, wrong_count):
    with pytest.raises(SpecError, match=f"^{what} must be a whole number of at least 1"):
        compare(digits(), [CIRCUITS], **{what: wrong_count})
