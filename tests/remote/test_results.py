"""Results from a service: what is needed is read however it is written, and only what was asked for is taken."""

import json
import math

import pytest
import torch

from qdeq.backends.braket_remote.echoes import contradicts
from qdeq.backends.braket_remote.results import LONGEST, read_result
from qdeq.billing.execution import Asked
from qdeq.errors import BackendError
from qdeq.gates import GATES

ARN = "arn:aws:braket:us-east-1:123456789012:quantum-task/one"
Z0, X0Y1 = ((0, "Z"),), ((0, "X"), (1, "Y"))
VALUES = Asked("expectations", ((1.0, Z0), (1.0, X0Y1)))
GRADIENT = Asked("gradient", ((-0.25, X0Y1), (5e-5, Z0)), ("g0", "g1"))
COUNTS = Asked("counts")


def content(shots=0, *, arn=ARN, seconds=None, **parts):
    task = {"id": arn, "shots": shots, "deviceId": "device"}
    more = {} if seconds is None else {"simulatorMetadata": {"executionDuration": seconds}}
    return json.dumps({**parts, "taskMetadata": task, "additionalMetadata": {"action": {}, **more}}).encode()


def expectation(letters, qubits, value):
    return {"type": {"type": "expectation", "observable": letters, "targets": qubits}, "value": value}


def gradient(observable="-0.25 * x @ y + 0.00005 * z", targets=([0, 1], [0]), value=0.2, **derivatives):
    told = {"expectation": value, "gradient": derivatives or {"g0": 0.1, "g1": -0.2}}
    return {"type": {"type": "adjoint_gradient", "observable": observable, "targets": list(targets)}, "value": told}


def refused(why, text, asked, qubits=2, shots=0):
    with pytest.raises(BackendError, match=why) as caught:
        read_result(text, asked, ARN, qubits, shots)
    assert str(caught.value).startswith("the result cannot be read as what was asked for (")
    assert len(str(caught.value).splitlines()) == 1
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 400


# -- exact values ------------------------------------------------------------------------------------------------------


def test_expectations_are_found_by_their_observables_wherever_they_stand():
    both = [expectation(["z"], [0], 0.5), expectation(["y", "x"], [1, 0], -1.0)]
    for entries in (both, both[::-1]):
        result, seconds = read_result(content(seconds=1234, resultTypes=entries), VALUES, ARN, 2, 0)
        assert result.values == (0.5, -1.0)
        assert seconds == 1.234
    told = [expectation(["i", "Z"], [1, 0], 0.5), expectation("xy", [0, 1], 1)]  # idle factors, capitals, whole numbers
    assert read_result(content(resultTypes=told), VALUES, ARN, 2, 0)[0].values == (0.5, 1.0)


@pytest.mark.parametrize(
    ("why", "entries"),
    [
        ("100, where at most 1", [expectation(["z"], [0], 100.0), expectation(["x", "y"], [0, 1], 0.0)]),
        ("-1.1, where at most 1", [expectation(["z"], [0], 0.0), expectation(["x", "y"], [0, 1], -1.1)]),
        ("nan, where at most 1", [expectation(["z"], [0], math.nan), expectation(["x", "y"], [0, 1], 0.0)]),
        ("inf, where at most 1", [expectation(["z"], [0], math.inf), expectation(["x", "y"], [0, 1], 0.0)]),
        ("OverflowError", [expectation(["z"], [0], 10**400), expectation(["x", "y"], [0, 1], 0.0)]),
        ("'0.5' is no number", [expectation(["z"], [0], "0.5"), expectation(["x", "y"], [0, 1], 0.0)]),
        ("True is no number", [expectation(["z"], [0], True), expectation(["x", "y"], [0, 1], 0.0)]),
        ("X0 Y1 was asked for, and is not there", [expectation(["z"], [0], 0.5)]),
        ("Z0 is given twice", [expectation(["z"], [0], 0.5), expectation(["z"], [0], 0.4)]),
        ("Z0 was asked for", [expectation(["z"], [1], 0.5), expectation(["x", "y"], [0, 1], 0.0)]),
        ("X0 Y1 was asked for", [expectation(["z"], [0], 0.5), expectation(["x", "y"], [1, 0], 0.0)]),
        (
            "3 results, and 2",
            [expectation(["z"], [0], 0.5), expectation(["x", "y"], [0, 1], 0.0), expectation(["z"], [1], 0.0)],
        ),
        ("no Pauli string", [expectation(["h"], [0], 0.5), expectation(["x", "y"], [0, 1], 0.0)]),
        ("a qubit twice", [expectation(["z"], [0], 0.5), expectation(["x", "y"], [0, 0], 0.0)]),
        ("kind variance", [{"type": {"type": "variance"}, "value": 0.5}]),
        ("TypeError", 7),
        ("TypeError", None),
        ("KeyError: 'type'", [{}]),
    ],
)
def test_expectations_that_were_not_asked_for_or_cannot_be_are_refused(why, entries):
    refused(why, content(resultTypes=entries), VALUES)


@pytest.mark.parametrize(
    ("why", "text"),
    [
        ("JSONDecodeError", b""),
        ("UnicodeDecodeError", b"\xff\xfe\x00"),
        ("KeyError: 'taskMetadata'", b"{}"),
        ("TypeError", b"[1, 2]"),
        ("RecursionError", b"[" * 100_000),
        ("4300 digits", b'{"taskMetadata": ' + b"9" * 5000 + b"}"),
        ("of the task arn:another, not", content(arn="arn:another", resultTypes=[])),
        ("number of shots 8, not 0", content(8, resultTypes=[])),
        ("1e\\+27 s is none", content(seconds=1e30, resultTypes=[])),
        ("s is none", content(seconds=-1, resultTypes=[])),
        ("s is none", content(seconds=1000 * LONGEST + 1, resultTypes=[])),
        ("s is none", content(seconds=math.nan, resultTypes=[])),
        ("qubits \\[0, 2\\] were measured of 2", content(measuredQubits=[0, 2], resultTypes=[])),
        ("KeyError: 'resultTypes'", content()),
        ("x1b", content(arn="\x1b[31m\u202ered" + "!" * 9999)),
    ],
)
def test_what_is_no_result_of_this_task_is_refused_in_one_line(why, text):
    refused(why, text, VALUES)


# -- gradients ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "observable",
    [
        "-0.25 * x @ y + 0.00005 * z",
        "-0.25 * x @ y + 5e-05 * z",
        "-2.5E-1*x@y + 5.0E-5*z",
        "-.25 * x(q[0]) @ y(q[1]) + 5.0000000000000002e-05 * z(q[0])",
        "something that nobody can read",
        None,
        ["x", "y"],
    ],
)
def test_a_gradient_is_read_however_its_observable_is_repeated(observable):
    result, _ = read_result(content(resultTypes=[gradient(observable)]), GRADIENT, ARN, 2, 0)
    assert result.values == (0.2, 0.1, -0.2)


@pytest.mark.parametrize(
    ("why", "entries"),
    [
        ("another observable: 0.25 of X0 Y1, not -0.25", [gradient("0.25 * x @ y + 5e-5 * z")]),
        ("another observable", [gradient("-0.25 * x @ z + 5e-5 * z")]),
        ("another observable", [gradient(targets=([1, 0], [0]))]),
        ("another observable: 0.5 of Z0", [gradient("-0.25 * x @ y + 0.5 * z")]),
        ("derivatives in", [gradient(g0=0.1)]),
        ("derivatives in", [gradient(g0=0.1, g1=0.1, g2=0.1)]),
        ("derivatives in", [gradient(g0=0.1, g7=0.1)]),
        ("0.3, where at most 0.25005", [gradient(g0=0.1, g1=0.3)]),
        ("-0.3, where at most 0.25005", [gradient(value=-0.3)]),
        ("nan, where at most", [gradient(g0=math.nan, g1=0.0)]),
        ("too many values|not enough", [gradient(), gradient()]),
        ("not enough values", []),
        ("kind expectation", [expectation(["z"], [0], 0.5)]),
    ],
)
def test_a_gradient_of_something_else_or_beyond_its_bounds_is_refused(why, entries):
    refused(why, content(resultTypes=entries), GRADIENT)


def test_derivatives_come_in_the_order_of_the_parameters_not_of_the_file():
    told = gradient(g1=-0.2, g0=0.1)
    assert read_result(content(resultTypes=[told]), GRADIENT, ARN, 2, 0)[0].values == (0.2, 0.1, -0.2)
    ten = Asked("gradient", ((1.0, Z0),), tuple(f"g{k}" for k in range(11)))
    told = gradient("z", [[0]], **{f"g{k}": k / 100 for k in reversed(range(11))})
    found = read_result(content(resultTypes=[told]), ten, ARN, 2, 0)[0].values[1:]
    assert found == tuple(k / 100 for k in range(11))


def test_terms_that_are_repeated_apart_are_taken_together():
    assert contradicts("0.5 * z + 0.5 * z", [[0], [0]], ((1.0, Z0),)) == ""
    assert contradicts("0.5 * z", [[0]], ((1.0, Z0),)) == "0.5 of Z0, not 1"
    assert contradicts("1e999 * z", [[0]], ((1.0, Z0),)) == ""  # cannot be read


def test_no_generator_of_a_gate_s_angle_has_eigenvalues_more_than_1_apart():
    """So ``|∂⟨O⟩/∂θ| = |⟨i[G, O]⟩| ≤ (λ_max - λ_min) ‖O‖`` is at most ``‖O‖``; G by central differences."""
    step = 1e-5
    for name, row in GATES.items():
        angles = torch.linspace(0.3, 1.1, len(row.parameters), dtype=torch.float64)
        for index in range(len(angles)):
            shift = torch.zeros_like(angles)
            shift[index] = step
            slope = (row.matrix(*(angles + shift)) - row.matrix(*(angles - shift))) / (2 * step)
            generator = 1j * row.matrix(*angles).mH @ slope
            levels = torch.linalg.eigvalsh((generator + generator.mH) / 2)
            assert levels[-1] - levels[0] <= 1 + 1e-8, name


# -- shots -------------------------------------------------------------------------------------------------------------


def test_counts_are_read_by_qubit_however_they_are_told():
    rows = [[1, 0]] * 3 + [[0, 0]] * 5
    result, seconds = read_result(content(8, measurements=rows, measuredQubits=[1, 0]), COUNTS, ARN, 2, 8)
    assert dict(result.counts) == {"01": 3, "00": 5}
    assert seconds is None
    told = {"00": 0.25, "11": 0.75}
    result, _ = read_result(content(8, measurementProbabilities=told, measuredQubits=[0, 1]), COUNTS, ARN, 2, 8)
    assert dict(result.counts) == {"00": 2, "11": 6}


def test_frequencies_become_counts_that_add_up_to_all_shots():
    told = {"0": 1 / 3, "1": 2 / 3}
    result, _ = read_result(content(100, measurementProbabilities=told, measuredQubits=[0]), COUNTS, ARN, 1, 100)
    assert dict(result.counts) == {"0": 33, "1": 67}
    thirds = {"00": 1 / 3, "01": 1 / 3, "10": 1 / 3}
    result, _ = read_result(content(100, measurementProbabilities=thirds, measuredQubits=[0, 1]), COUNTS, ARN, 2, 100)
    assert sorted(dict(result.counts).values()) == [33, 33, 34]


def test_a_device_may_drop_some_shots_but_not_all():
    few = content(8, measurements=[[1, 0]] * 3, measuredQubits=[0, 1])
    assert read_result(few, COUNTS, ARN, 2, 8)[0].shots == 3


@pytest.mark.parametrize(
    ("why", "parts"),
    [
        ("0 shots", {"measurements": []}),
        ("9 shots", {"measurements": [[1, 0]] * 9}),
        ("1 of 2 qubits", {"measurements": [[1]] * 8, "measuredQubits": [0]}),
        ("qubits \\[0, 0\\]", {"measurements": [[1, 0]] * 8, "measuredQubits": [0, 0]}),
        ("qubits \\[3, 1\\]", {"measurements": [[1, 0]] * 8, "measuredQubits": [3, 1]}),
        ("no whole number", {"measurements": [[1, 0]] * 8, "measuredQubits": [0.0, 1.0]}),
        ("no whole number", {"measurements": [[0.5, 0]] * 8}),
        ("12 is no outcome", {"measurements": [[1, 2]] * 8}),
        ("101 is no outcome", {"measurements": [[1, 0, 1]] * 8}),
        ("add up to 0.9", {"measurementProbabilities": {"00": 0.5, "11": 0.4}}),
        ("are negative", {"measurementProbabilities": {"00": 1.5, "11": -0.5}}),
        ("add up to nan", {"measurementProbabilities": {"00": math.nan, "11": 0.5}}),
        ("2x is no outcome", {"measurementProbabilities": {"2x": 1.0}}),
        ("KeyError: 'measurementProbabilities'", {}),
        ("number of shots 7, not 8", {"shots": 7, "measurements": [[1, 0]] * 7}),
    ],
)
def test_counts_of_something_else_are_refused(why, parts):
    parts = {"shots": 8, "measuredQubits": [0, 1]} | parts
    refused(why, content(parts.pop("shots"), **parts), COUNTS, shots=8)
