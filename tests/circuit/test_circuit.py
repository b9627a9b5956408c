import dataclasses
import json
import pickle

import numpy as np
import pytest
import torch
from circuit_reference import EXACT, unitary
from hypothesis import given, settings
from hypothesis import strategies as st

from qdeq.circuit import AmplitudeEncoding, Channel, Circuit, Gate, Input, ReadoutError, Weight
from qdeq.errors import CircuitError, QdeqError
from qdeq.testing.strategies import circuits

MODEL = Circuit(
    3, (AmplitudeEncoding(5), Gate("RX", 1, Weight(0)), Gate("CRZ", (2, 0), Input(6, 0.5, 0.1)), Gate("H", 0))
)

# -- what is refused, and in which words ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (lambda: Gate("RXQ", 0, 0.1), ["unknown gate 'RXQ'", "Did you mean 'RX", "CNOT"]),
        (lambda: Gate(3, 0), ["unknown gate 3"]),
        (lambda: Gate("CNOT", 0), ["CNOT acts on 2 different qubits", "[0]"]),
        (lambda: Gate("CNOT", (1, 1)), ["CNOT acts on 2 different qubits", "[1, 1]"]),
        (lambda: Gate("X", (0, 1)), ["X acts on 1 different qubits", "[0, 1]"]),
        (lambda: Gate("X", -1), ["qubit of X", "from 0 to 1023", "-1"]),
        (lambda: Gate("X", 1024), ["qubit of X", "from 0 to 1023", "1024"]),
        (lambda: Gate("X", 1.0), ["qubit of X", "whole number", "1.0"]),
        (lambda: Gate("X", True), ["qubit of X", "True"]),
        (lambda: Gate("X", "0"), ["qubit of X", "'0'"]),
        (lambda: Gate("X", np.True_), ["qubit of X"]),
        (lambda: Gate("X", torch.tensor(0.5)), ["qubit of X"]),
        (lambda: Gate("RX", 0), ["RX on [0] takes 1 angles (theta), not 0"]),
        (lambda: Gate("H", 0, 0.1), ["H on [0] takes 0 angles (none), not 1"]),
        (lambda: Gate("U3", 2, (1, 2)), ["U3 on [2] takes 3 angles (theta, phi, lam), not 2"]),
        (lambda: Gate("RX", 4, float("nan")), ["angle of RX on [4]", "finite", "nan"]),
        (lambda: Gate("RX", 4, float("inf")), ["angle of RX on [4]", "inf"]),
        (lambda: Gate("RX", 4, 10**400), ["angle of RX on [4]"]),
        (lambda: Gate("RX", 4, 10**5000), ["angle of RX on [4]"]),
        (lambda: Gate("RX", 4, ["0.5"]), ["angle of RX on [4]", "'0.5'"]),
        (lambda: Gate("RX", 4, True), ["angle of RX on [4]", "True"]),
        (lambda: Gate("RX", 4, 1j), ["angle of RX on [4]"]),
        (lambda: Gate("RX", 4, None), ["angle of RX on [4]", "None"]),
        (lambda: Input(-1), ["index of Input", "-1"]),
        (lambda: Weight(2**20), ["index of Weight", "1048575"]),
        (lambda: Weight(1.5), ["index of Weight", "1.5"]),
        (lambda: Weight(7, float("nan")), ["scale of Weight(7)"]),
        (lambda: Input(7, 1.0, float("inf")), ["offset of Input(7)"]),
        (lambda: AmplitudeEncoding(0), ["num_features", "from 1"]),
        (lambda: AmplitudeEncoding(2, (1.0,)), ["2 features", "1 values"]),
        (lambda: AmplitudeEncoding(1, (float("nan"),)), ["value of AmplitudeEncoding"]),
        (lambda: Circuit(0), ["num_qubits", "from 1 to 1024", "0"]),
        (lambda: Circuit(1025), ["num_qubits", "1025"]),
        (lambda: Circuit(2.0), ["num_qubits", "2.0"]),
        (lambda: Circuit(2, (Gate("H", 1), Gate("CRX", (0, 2), 0.1))), ["operation 1", "CRX on [0, 2]", "0 to 1"]),
        (lambda: Circuit(2, (Gate("H", 1), AmplitudeEncoding(2))), ["operation 1", "only stand first"]),
        (lambda: Circuit(2, (AmplitudeEncoding(5),)), ["5 features", "4 amplitudes of 2 qubits"]),
        (lambda: Circuit(2, ("H",)), ["operation 0 is a str", "use Gate"]),
        (lambda: Circuit(2) + Circuit(3), ["2 and 3 qubits"]),
        (lambda: MODEL + MODEL, ["only stand first"]),
        (lambda: MODEL.bind(inputs=[1.0]), ["takes 7 inputs, not 1"]),
        (lambda: MODEL.bind(weights=[1.0, 2.0]), ["takes 1 weights, not 2"]),
        (lambda: MODEL.bind(weights=[float("nan")]), ["angle of RX on [1]", "nan"]),
        (lambda: MODEL.shift_weights(-1), ["index of Weight", "-1"]),
    ],
)
def test_refused_by_name(build, words):
    with pytest.raises(CircuitError) as caught:
        build()
    for word in words:
        assert word in str(caught.value)
    assert len(str(caught.value)) < 400


def test_circuit_error_is_a_value_error_too():
    assert issubclass(CircuitError, (QdeqError, ValueError))


# -- values ---------------------------------------------------------------------------------------------------------


def test_immutable():
    for value, field in [(MODEL, "num_qubits"), (MODEL.gates[0], "angles"), (Input(0), "index")]:
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(value, field, 1)


def test_a_list_given_to_a_circuit_is_copied():
    operations = [Gate("H", 0)]
    circuit = Circuit(1, operations)
    operations.append(Gate("X", 0))
    assert circuit.operations == (Gate("H", 0),)


def test_one_qubit_and_one_angle_need_no_brackets():
    assert Gate("RX", 1, 0.5) == Gate("RX", (1,), (0.5,)) == Gate("RX", [1], [0.5])
    assert Gate("RX", np.int64(1), np.float64(0.5)) == Gate("RX", torch.tensor(1), torch.tensor(0.5))


@pytest.mark.parametrize(
    ("one", "other"),
    [(0.0, -0.0), (1, 1.0), (np.float32(0.5), 0.5), (Input(0), Input(0, 1, 0)), (Weight(1, 2, -0.0), Weight(1, 2.0))],
)
def test_equal_angles_make_equal_circuits_with_equal_hashes(one, other):
    a, b = (Circuit(1, (Gate("RX", 0, angle),)) for angle in (one, other))
    assert a == b
    assert hash(a) == hash(b)
    assert a.content_hash == b.content_hash
    assert a.to_json() == b.to_json()


@pytest.mark.parametrize(
    "other",
    [
        Circuit(2, (Gate("CRX", (1, 0), Weight(0)),)),
        Circuit(2, (Gate("CRX", (0, 1), Input(0)),)),
        Circuit(2, (Gate("CRX", (0, 1), Weight(1)),)),
        Circuit(2, (Gate("CRX", (0, 1), Weight(0, 2)),)),
        Circuit(2, (Gate("CRX", (0, 1), Weight(0, 1, 1e-9)),)),
        Circuit(2, (Gate("CRY", (0, 1), Weight(0)),)),
        Circuit(3, (Gate("CRX", (0, 1), Weight(0)),)),
        Circuit(2, (AmplitudeEncoding(2), Gate("CRX", (0, 1), Weight(0)))),
    ],
)
def test_any_difference_shows(other):
    circuit = Circuit(2, (Gate("CRX", (0, 1), Weight(0)),))
    assert circuit != other
    assert circuit.content_hash != other.content_hash


def test_content_hash_is_the_same_on_every_machine_and_in_every_version():
    assert MODEL.to_json() == (
        '{"format":"qdeq-circuit","version":1,"num_qubits":3,"operations":[["AmplitudeEncoding",5,null],'
        '["RX",[1],[["weight",0,1.0,0.0]]],["CRZ",[2,0],[["input",6,0.5,0.1]]],["H",[0],[]]]}'
    )
    assert MODEL.content_hash == "af717fb7f957e2d39bd7bead9d9f8a5d097f20b6c0fb4b1740034e49671597a4"


@settings(max_examples=60)
@given(circuits(), st.booleans())
def test_json_there_and_back(circuit, bind):
    if bind:
        circuit = circuit.bind(np.linspace(-1, 2, circuit.num_inputs), np.linspace(3, -1, circuit.num_weights))
    again = Circuit.from_json(circuit.to_json())
    assert again == circuit
    assert hash(again) == hash(circuit)
    assert again.content_hash == circuit.content_hash
    assert len({circuit, again}) == 1


def test_copies_through_other_processes_are_equal():
    MODEL.content_hash  # noqa: B018 - cached values must not get in the way
    assert pickle.loads(pickle.dumps(MODEL)) == MODEL


# -- JSON from anybody ----------------------------------------------------------------------------------------------


def with_operation(operation, num_qubits=2):
    return json.dumps({"format": "qdeq-circuit", "version": 1, "num_qubits": num_qubits, "operations": [operation]})


@pytest.mark.parametrize(
    "text",
    [
        "",
        "null",
        "[]",
        "{",
        '{"format": "qdeq-circuit"}',
        '{"format": "qdeq-circuit", "version": 2, "num_qubits": 1, "operations": []}',
        '{"format": "qdeq-circuit", "version": 1, "num_qubits": 1, "operations": {}}',
        '{"format": "qdeq-circuit", "version": 1, "num_qubits": 1, "operations": [], "more": 1}',
        with_operation(["H", [0], []], num_qubits=10**9),
        with_operation(["H", [0], []], num_qubits="2"),
        with_operation(["H", [0], []], num_qubits=None),
        with_operation(["H", [0], []], num_qubits=True),
        with_operation("H"),
        with_operation(["H", [0]]),
        with_operation(["H", 0, []]),
        with_operation(["H", [[0]], []]),
        with_operation(["H", [10**30], []]),
        with_operation(["H", [True], []]),
        with_operation([["H"], [0], []]),
        with_operation([None, [0], []]),
        with_operation([{}, [0], []]),
        with_operation(["__class__", [0], []]),
        with_operation(["RX", [0], [float("nan")]]),
        with_operation(["RX", [0], [float("inf")]]),
        with_operation(["RX", [0], ["0.5"]]),
        with_operation(["RX", [0], [{}]]),
        with_operation(["RX", [0], [None]]),
        with_operation(["RX", [0], [[]]]),
        with_operation(["RX", [0], [["weight", 0]]]),
        with_operation(["RX", [0], [["angle", 0, 1, 0]]]),
        with_operation(["RX", [0], [[["weight"], 0, 1, 0]]]),
        with_operation(["RX", [0], [["weight", 2**20, 1, 0]]]),
        with_operation(["RX", [0], [["weight", -1, 1, 0]]]),
        with_operation(["RX", [0], [["weight", 0, float("nan"), 0]]]),
        with_operation(["RX", [0], [["weight", 0, 1, None]]]),
        with_operation(["RX", [0], [10**400]]),
        with_operation(["AmplitudeEncoding", 10**12, None], num_qubits=1024),
        with_operation(["AmplitudeEncoding", 8, None]),
        with_operation(["AmplitudeEncoding", 2, 5]),
        with_operation(["AmplitudeEncoding", 2, [1.0, "x"]]),
        with_operation(["AmplitudeEncoding", [2], None]),
        with_operation(["RX", [0], [0.1]]).replace("0.1", "1" * 6000),
        *("[" * depth + "]" * depth for depth in (900, 100_000)),
        *(with_operation(["RX", [0], "?"]).replace('"?"', "[" * d + "]" * d) for d in (50, 900, 980, 100_000)),
        *(with_operation(["H", "?", []]).replace('"?"', "[" * d + "]" * d) for d in (50, 900, 980, 100_000)),
    ],
    ids=lambda text: text[-60:],
)
def test_hostile_text_is_a_circuit_error(text):
    with pytest.raises(CircuitError) as caught:
        Circuit.from_json(text)
    assert len(str(caught.value)) < 600


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=5)
    | st.sampled_from(["H", "RX", "weight"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=8,
)


@settings(max_examples=150)
@given(JSON | st.tuples(st.sampled_from(["H", "RX", "CNOT", "AmplitudeEncoding"]), JSON, JSON))
def test_any_json_is_a_circuit_or_a_circuit_error(operation):
    try:
        circuit = Circuit.from_json(with_operation(operation))
    except CircuitError:
        return
    assert Circuit.from_json(circuit.to_json()) == circuit


@pytest.mark.parametrize("text", [None, 3, b"\xff\xfe\xfa"])
def test_what_is_not_text_is_a_circuit_error(text):
    with pytest.raises(CircuitError, match="not a circuit"):
        Circuit.from_json(text)


# -- numbers into places --------------------------------------------------------------------------------------------


def test_affine_angles():
    assert Input(1, 2.0, 0.5).value([9.0, 3.0]) == 6.5
    assert [
        str(a) for a in (Input(2, 0.5, 0.1), Weight(3), Weight(3, -1), Input(0, 1, -0.25), Weight(1, 0.123456))
    ] == [
        "0.5·x2+0.1",
        "θ3",
        "-θ3",
        "x0-0.25",
        "0.123·θ1",
    ]


def test_bind_puts_numbers_where_they_belong():
    inputs, weights = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0], [0.7]
    whole = MODEL.bind(inputs, weights)
    assert whole.operations == (
        AmplitudeEncoding(5, (1.0, 2.0, 3.0, 4.0, 5.0)),
        Gate("RX", 1, 0.7),
        Gate("CRZ", (2, 0), 0.5 * 7.0 + 0.1),
        Gate("H", 0),
    )
    assert (whole.num_inputs, whole.num_weights) == (0, 0)
    assert MODEL.bind(weights=weights).bind(inputs=inputs) == MODEL.bind(inputs=inputs).bind(weights=weights) == whole
    assert MODEL.bind() == MODEL
    assert MODEL.bind(torch.tensor(inputs), np.array(weights)) == whole
    assert MODEL.num_inputs == 7  # unchanged


def test_counts_of_inputs_and_weights_are_the_largest_index_plus_one():
    assert (MODEL.num_inputs, MODEL.num_weights) == (7, 1)
    assert (Circuit(1).num_inputs, Circuit(1).num_weights) == (0, 0)
    assert Circuit(1, (Gate("RX", 0, Weight(9)),)).num_weights == 10
    assert Circuit(2, (AmplitudeEncoding(4, (1, 2, 3, 4)),)).num_inputs == 0


def test_addition_runs_the_left_circuit_first_and_shares_weights():
    a, b = Circuit(1, (Gate("RX", 0, Weight(0)),)), Circuit(1, (Gate("RZ", 0, Weight(0)), Gate("RY", 0, Input(0))))
    both = a + b
    assert [gate.name for gate in both.gates] == ["RX", "RZ", "RY"]
    assert both.num_weights == 1
    separate = a + b.shift_weights(a.num_weights)
    assert separate.gates[1:] == (Gate("RZ", 0, Weight(1)), Gate("RY", 0, Input(0)))
    np.testing.assert_allclose(
        unitary(separate.bind([0.3], [0.1, 0.2])),
        unitary(b.bind([0.3], [0.2])) @ unitary(a.bind(weights=[0.1])),
        atol=EXACT,
    )
    assert b.shift_weights(0) == b
    assert (
        Gate("RX", 0, Weight(2, 3.0, 0.5))
        == Circuit(1, (Gate("RX", 0, Weight(0, 3.0, 0.5)),)).shift_weights(2).gates[0]
    )
    with pytest.raises(TypeError):
        a + 1


# -- size -----------------------------------------------------------------------------------------------------------


def test_depth_and_counts_by_hand():
    circuit = Circuit(3, (Gate("H", 0), Gate("CNOT", (0, 1)), Gate("X", 2), Gate("H", 0), Gate("CZ", (2, 1))))
    # 0: H ● H        layers: {H0, X2}, {CNOT}, {H0, CZ}
    assert circuit.depth() == circuit.depth(preparation=True) == 3
    assert circuit.gate_counts() == {"H": 2, "CNOT": 1, "X": 1, "CZ": 1}
    assert next(iter(circuit.gate_counts())) == "H"
    assert Circuit(2).depth() == 0
    assert Circuit(2).gate_counts() == {}


def test_depth_and_counts_with_preparation_by_hand():
    circuit = Circuit(2, (AmplitudeEncoding(4), Gate("H", 0), Gate("RX", 1, Weight(0))))
    assert circuit.depth() == 1
    assert circuit.gate_counts() == {"H": 1, "RX": 1}
    # 0: RY -- ● -- ● H     RY of qubit 1 stands beside that of qubit 0
    # 1: RY -- ⊕ RY ⊕ RX
    assert circuit.depth(preparation=True) == 5
    assert circuit.gate_counts(preparation=True) == {"RY": 3, "CNOT": 2, "H": 1, "RX": 1}
    bound = circuit.bind(inputs=[0.0, 1.0, 0.0, -1.0])
    assert bound.depth(preparation=True) == 5
    assert bound.gate_counts(preparation=True) == circuit.gate_counts(preparation=True)
    assert Circuit(1, (Gate("H", 0),)).prepared() == Circuit(1, (Gate("H", 0),))


def test_numpys_integers_give_the_circuits_of_pythons():
    def build(i, x):
        operations = [
            AmplitudeEncoding(i(4)),
            Gate("RX", i(0), Input(i(4), x(2), x(0.5))),
            Gate("CRZ", [i(0), i(1)], Weight(i(0))),
            Gate("RY", i(1), x(0.25)),
        ]
        return Circuit(i(2), operations, [ReadoutError(i(1), x(0.125), x(0.25))])

    own = build(int, float)
    for integer, number in ((np.int64, np.float64), (np.uint8, np.float32)):
        other = build(integer, number)
        assert other == own
        assert hash(other) == hash(own)
        assert other.to_json() == own.to_json()
        assert Circuit.from_json(other.to_json()) == own
        assert type(other.num_inputs) is int
        assert type(other.num_weights) is int
    assert Circuit(2, np.array(own.operations, dtype=object), own.readout) == own


@pytest.mark.parametrize(
    ("build", "says"),
    [
        (lambda: Circuit(1, Gate("H", 0)), r"operations is a list of Gate, Channel objects.*\[\.\.\.\]"),
        (lambda: Circuit(1, 3), r"operations is a list"),
        (lambda: Circuit(1, AmplitudeEncoding(2)), r"operations is a list"),
        (lambda: Circuit(1, [], ReadoutError(0, 0.1, 0.1)), r"readout is a list of ReadoutError objects.*\[\.\.\.\]"),
        (lambda: Circuit(1, [], [(0, 0.1, 0.1)]), "readout holds objects of ReadoutError"),
        (lambda: Circuit(2.0), "num_qubits must be a whole number from 1 to 1024, not 2.0"),
        (lambda: Circuit(True), "num_qubits must be a whole number .* not True"),
        (lambda: Gate("H", 0.5), "qubit of H must be a whole number"),
        (lambda: Gate("H", np.float64(0)), "qubit of H must be a whole number"),
        (lambda: Gate("RX", 0, float("nan")), "angle of RX on .* must be a finite number"),
        (lambda: Input(1.0), "index of Input must be a whole number"),
        (lambda: Weight(True), "index of Weight must be a whole number"),
        (lambda: Channel("BitFlip", 0, float("nan")), "must be a finite number"),
        (lambda: ReadoutError(0, True, 0.1), "zero_to_one of ReadoutError must be a finite number"),
    ],
)
def test_what_is_meant_is_said(build, says):
    with pytest.raises(CircuitError, match=says):
        build()
