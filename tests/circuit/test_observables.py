import json

import numpy as np
import pytest
from circuit_reference import EXACT, SEED, pauli_matrix
from hypothesis import given, settings
from hypothesis import strategies as st

from qdeq.errors import CircuitError
from qdeq.observables import (
    PauliString,
    PauliSum,
    X,
    Y,
    Z,
    as_sum,
    check_observables,
    from_data,
    measurement_groups,
    to_data,
)

QUBITS = 3
STRINGS = st.dictionaries(st.integers(0, QUBITS - 1), st.sampled_from("XYZ")).map(
    lambda letters: PauliString(tuple(letters.items()))
)
SUMS = st.lists(st.tuples(st.floats(-4, 4), STRINGS), max_size=5).map(lambda terms: PauliSum(tuple(terms)))


def matrix(observable):
    whole = np.zeros((2**QUBITS, 2**QUBITS), dtype=complex)
    for coefficient, string in as_sum(observable).terms:
        whole += coefficient * pauli_matrix(string, QUBITS)
    return whole


def test_factors_are_sorted_and_identities_dropped():
    assert X(2) @ Z(0) == Z(0) @ X(2) == PauliString(((2, "X"), (1, "I"), (0, "Z")))
    assert (X(2) @ Z(0)).factors == ((0, "Z"), (2, "X"))
    assert PauliString(((4, "I"),)) == PauliString()
    assert hash(X(2) @ Z(0)) == hash(Z(0) @ X(2))
    assert len({X(0), Y(0), Z(0), X(1)}) == 4


@pytest.mark.parametrize(
    "factors",
    [((0, "A"),), ((-1, "X"),), ((True, "X"),), ((0.0, "X"),), (("0", "X"),), ((0, "X"), (0, "Z")), ((0, ["X"]),)],
)
def test_a_string_that_is_none_is_refused(factors):
    with pytest.raises(CircuitError, match="Pauli"):
        PauliString(factors)


def test_two_factors_on_one_qubit_are_refused_even_equal_ones():
    with pytest.raises(CircuitError, match="one factor a qubit"):
        X(1) @ X(1)


@pytest.mark.parametrize("build", [lambda: Z(0) * float("nan"), lambda: PauliSum(((float("inf"), Z(0)),))])
def test_coefficients_are_finite(build):
    with pytest.raises(CircuitError, match="must be a finite number"):
        build()


@pytest.mark.parametrize("wrong", [lambda: check_observables([3], 2), lambda: as_sum("Z")])
def test_what_is_no_observable_is_refused(wrong):
    with pytest.raises(CircuitError, match="an observable is a PauliString or PauliSum"):
        wrong()


def test_algebra_by_hand():
    total = 2 * X(0) + Z(1) * 0.5 - X(0) + 3 * PauliString()
    assert total == PauliSum(((3.0, PauliString()), (1.0, X(0)), (0.5, Z(1))))
    assert -total == -1 * total == PauliSum(((-3.0, PauliString()), (-1.0, X(0)), (-0.5, Z(1))))
    assert X(0) - Z(1) == PauliSum(((1.0, X(0)), (-1.0, Z(1))))
    assert -X(0) == PauliSum(((-1.0, X(0)),))
    assert total + X(0) == X(0) + total
    assert str(X(0) @ Z(2)) == "X0 Z2"
    assert str(X(0) @ Z(2) * 0.5 + Y(1)) == "0.5·X0 Z2 + 1·Y1"
    assert str(PauliString()) == "I"
    assert str(PauliSum(())) == "0"


def test_products_distribute_over_sums():
    assert 0.5 * X(0) @ Y(2) == 0.5 * (X(0) @ Y(2)) == X(0) @ (0.5 * Y(2))
    assert (X(0) + 2 * Y(1)) @ (Z(2) - Z(3)) == (X(0) @ Z(2) - X(0) @ Z(3) + 2 * (Y(1) @ Z(2)) - 2 * (Y(1) @ Z(3)))
    with pytest.raises(CircuitError, match="one factor a qubit"):
        (X(0) + Y(1)) @ Z(1)
    with pytest.raises(CircuitError, match="not int"):
        X(0) @ 2


def test_equal_strings_are_merged():
    assert len((X(0) + X(0) + Y(1)).terms) == 2
    assert (X(0) + X(0)).terms == ((2.0, X(0)),)


@settings(max_examples=50)
@given(SUMS, SUMS, st.floats(-3, 3))
def test_algebra_is_that_of_the_matrices(a, b, factor):
    np.testing.assert_allclose(matrix(a + b), matrix(a) + matrix(b), atol=EXACT)
    np.testing.assert_allclose(matrix(a - b), matrix(a) - matrix(b), atol=EXACT)
    np.testing.assert_allclose(matrix(factor * a), factor * matrix(a), atol=EXACT)
    np.testing.assert_allclose(matrix(-a), -matrix(a), atol=EXACT)


def test_check_names_string_and_range():
    check_observables([Z(0), X(1) @ Z(2) + Y(0), PauliString()], 3)
    with pytest.raises(CircuitError, match="observable X1 Z2: qubits run from 0 to 1"):
        check_observables([Z(0), X(1) @ Z(2)], 2)
    with pytest.raises(CircuitError, match="no observable"):
        check_observables([], 2)


def test_groups_by_hand():
    groups = measurement_groups([Z(0) + 2 * X(1), Z(1), Z(0) @ Z(1) * 3, X(0) @ X(1)])
    assert [group.strings for group in groups] == [(Z(0), X(1)), (Z(1), Z(0) @ Z(1)), (X(0) @ X(1),)]
    assert [group.basis for group in groups] == [((0, "Z"), (1, "X")), ((0, "Z"), (1, "Z")), ((0, "X"), (1, "X"))]
    np.testing.assert_array_equal(groups[0].coefficients, [[1, 2], [0, 0], [0, 0], [0, 0]])
    np.testing.assert_array_equal(groups[1].coefficients, [[0, 0], [1, 0], [0, 3], [0, 0]])


def test_the_model_needs_one_group():
    (group,) = measurement_groups([Z(q) for q in range(10)])
    assert group.basis == tuple((q, "Z") for q in range(10))
    np.testing.assert_array_equal(group.coefficients, np.eye(10))


@settings(max_examples=60)
@given(st.lists(SUMS, min_size=1, max_size=4))
def test_groups_commute_qubit_by_qubit_and_cover_everything_once(observables):
    groups = measurement_groups(observables)
    for group in groups:
        basis = dict(group.basis)
        for string in group.strings:
            assert all(basis[qubit] == letter for qubit, letter in string.factors)
    strings = [string for group in groups for string in group.strings]
    assert len(strings) == len(set(strings))
    for row, observable in enumerate(observables):
        again = sum(
            (c * pauli_matrix(s, QUBITS) for g in groups for c, s in zip(g.coefficients[row], g.strings, strict=True)),
            np.zeros((2**QUBITS, 2**QUBITS), dtype=complex),
        )
        np.testing.assert_allclose(again, matrix(observable), atol=EXACT)


def test_signs_put_qubit_0_in_the_most_significant_bit():
    (group,) = measurement_groups([Z(0), Z(1), Z(0) @ Z(1), PauliString()])
    np.testing.assert_array_equal(group.signs(2), [[1, 1, 1, 1], [1, -1, -1, 1], [-1, 1, -1, 1], [-1, -1, 1, 1]])
    (group,) = measurement_groups([Z(0)])
    np.testing.assert_array_equal(group.signs(3)[:, 0], [1, 1, 1, 1, -1, -1, -1, -1])


def test_signs_weigh_probabilities_into_expectations():
    observable = 0.5 * X(0) @ Y(2) - 2 * Y(2) + 0.25 * PauliString() + Z(1)
    draws = np.random.default_rng(SEED)
    state = draws.normal(size=8) + 1j * draws.normal(size=8)
    state /= np.linalg.norm(state)
    (group,) = measurement_groups([observable])
    turns = {  # rows are the bras of the letter's eigenvectors
        "X": np.array([[1, 1], [1, -1]]) / np.sqrt(2),
        "Y": np.array([[1, -1j], [1, 1j]]) / np.sqrt(2),
        "Z": np.eye(2),
    }
    rotation = np.ones((1, 1))
    for q in range(3):
        rotation = np.kron(rotation, turns[dict(group.basis)[q]])
    probabilities = np.abs(rotation @ state) ** 2
    wanted = (state.conj() @ matrix(observable) @ state).real
    np.testing.assert_allclose(group.coefficients @ (probabilities @ group.signs(3)), [wanted], atol=EXACT)


@settings(max_examples=50)
@given(st.lists(SUMS, max_size=4))
def test_data_there_and_back(observables):
    assert from_data(json.loads(json.dumps(to_data(observables)))) == tuple(observables)


def test_data_by_hand():
    assert to_data([Z(0), 0.5 * X(1) @ Y(3)]) == [[[1.0, [[0, "Z"]]]], [[0.5, [[1, "X"], [3, "Y"]]]]]


@pytest.mark.parametrize(
    "data",
    [
        None,
        5,
        "Z0",
        {},
        [5],
        ["Z0"],
        [[5]],
        [[[1.0]]],
        [[[1.0, 3]]],
        [[["x", [[0, "Z"]]]]],
        [[[float("nan"), [[0, "Z"]]]]],
        [[[10**400, [[0, "Z"]]]]],
        [[[1.0, [[0, "Q"]]]]],
        [[[1.0, [[0, ["Z"]]]]]],
        [[[1.0, [[-1, "Z"]]]]],
        [[[1.0, [["0", "Z"]]]]],
        [[[1.0, [[0, "Z", 1]]]]],
        [[[None, [[0, "Z"]]]]],
    ],
)
def test_hostile_data_is_a_circuit_error(data):
    with pytest.raises(CircuitError):
        from_data(data)


def test_a_number_that_is_added_is_so_much_of_the_identity():
    assert 1 - Z(0) / 2 == PauliSum(((1.0, PauliString()), (-0.5, Z(0))))
    assert sum([Z(0), Z(1), X(2)]) == Z(0) + Z(1) + X(2)
    assert sum([2 * Z(0)]) == 2 * Z(0)
    assert Z(0) + 0 == 0 + Z(0) == PauliSum(((1.0, Z(0)),))
    assert X(0) + Y(1) - 3 == PauliSum(((1.0, X(0)), (1.0, Y(1)), (-3.0, PauliString())))
    assert np.float32(2) - X(0) == 2 - X(0)
    assert np.float64(0.5) * X(0) == X(0) / 2 == X(0) * np.float32(0.5) == 0.5 * X(0)


@settings(max_examples=50, deadline=None)
@given(SUMS, st.floats(-3, 3), st.floats(0.1, 3))
def test_numbers_are_multiples_of_the_identity_matrix(a, number, divisor):
    identity = np.eye(len(matrix(a)))
    np.testing.assert_allclose(matrix(a + number), matrix(a) + number * identity, atol=EXACT)
    np.testing.assert_allclose(matrix(number - a / divisor), number * identity - matrix(a) / divisor, atol=EXACT)


@pytest.mark.parametrize(
    ("build", "says"),
    [
        (lambda: Z(True), "qubit of Pauli Z must be a whole number from 0 to 1023, not True"),
        (lambda: X(0.5), "qubit of Pauli X must be a whole number from 0 to 1023, not 0.5"),
        (lambda: Y(-1), "qubit of Pauli Y must be a whole number from 0 to 1023, not -1"),
        (lambda: Z("0"), "qubit of Pauli Z must be a whole number from 0 to 1023, not '0'"),
        (lambda: Z(0) * Z(1), "a factor must be a real number, not an observable; products.* are written with @"),
        (lambda: Z(0) * (X(0) + Y(1)), "are written with @"),
        (lambda: Z(0) ** 2, "an observable has no powers"),
        (lambda: 1j * Z(0), "a factor must be a real number, not 1j: observables are Hermitian"),
        (lambda: np.complex64(1) * Z(0), "observables are Hermitian"),
        (lambda: Z(0) / 0, "cannot be divided by 0"),
        (lambda: Z(0) / Z(1), "a divisor must be a real number"),
        (lambda: Z(0) * "2", "a factor must be a finite number, not '2'"),
        (lambda: "2" + Z(0), "what is added to an observable must be a finite number, not '2'"),
        (lambda: Z(0) + float("inf"), "what is added to an observable must be a finite number, not inf"),
        (lambda: True * Z(0), "a factor must be a finite number, not True"),
        (lambda: np.ones(2) * Z(0), "a factor must be a finite number, not array"),
        (lambda: PauliString("Z0"), r"a Pauli factor is \(qubit, one of I X Y Z\), not 'Z'"),
        (lambda: PauliSum((Z(0),)), r"a term of a sum is \(coefficient, PauliString\)"),
        (lambda: PauliSum(((Z(0), 1.0),)), r"a term of a sum is \(coefficient, PauliString\)"),
        (lambda: check_observables([sum([])], 1), r"not int; a constant c is c \* PauliString\(\)"),
        (lambda: check_observables(Z(0), 1), "observables are a list, not Z0 alone"),
    ],
)
def test_what_is_no_arithmetic_of_observables_says_what_is(build, says):
    with pytest.raises(CircuitError, match=says):
        build()


def test_numpys_integers_give_the_observables_of_pythons():
    own, numpys = Z(0) @ X(2) + 2, Z(np.int64(0)) @ X(np.uint8(2)) + np.int32(2)
    assert own == numpys
    assert hash(own) == hash(numpys)
    assert json.dumps(to_data([numpys])) == json.dumps(to_data([own]))
    assert from_data(json.loads(json.dumps(to_data([numpys])))) == (own,)
    assert [Z(qubit) for qubit in np.arange(3)] == [Z(0), Z(1), Z(2)]


def test_a_sum_without_terms_has_one_group_and_no_coefficients():
    (group,) = measurement_groups([PauliSum(()), PauliSum(())])
    assert group.basis == ()
    assert group.coefficients.tolist() == [[0.0], [0.0]]
