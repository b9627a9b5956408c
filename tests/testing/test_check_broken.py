"""Each broken backend is caught by the check named for its mistake, with a small failing circuit.

On two seeds; on five, and those of noise on two, with QDEQ_LONG=1.
"""

import json
import os

import pytest
from broken import BROKEN, ROOTS, ForgetsAHelper, Good, ReadoutError
from broken_noise import BROKEN_NOISE, EXPLAINED, GoodNoise, GoodReadout

from qdeq.circuit import Circuit
from qdeq.errors import BackendError
from qdeq.testing import check_backend, harness

ALL = BROKEN | BROKEN_NOISE
LONG = bool(os.environ.get("QDEQ_LONG"))
SEEDS = [(*pair, seed) for pair in BROKEN.items() for seed in range(5 if LONG else 2)]
SEEDS += [(*pair, seed) for pair in BROKEN_NOISE.items() for seed in range(2 if LONG else 1)]
SMALL = 5
"""Operations in the smallest failing circuit; the longest is that of `observables`, whose circuits all have five."""
LARGE = ("noise-model", "noise-gradients")
"""Checks whose circuits have an encoder and gates with the noise of each: it takes long to make them smaller."""


@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")  # of shots = 0, which one of them lets pass
@pytest.mark.parametrize(("broken", "name", "seed"), SEEDS, ids=[f"{case[0].__name__}-{case[2]}" for case in SEEDS])
def test_the_check_named_for_it_catches(broken, name, seed, monkeypatch):
    found_only = seed > 0 or name in LARGE  # one seed shows how small the circuit gets, the others that it is found
    if found_only:
        monkeypatch.setattr(harness, "SHRINKING_SECONDS", 0.1)
    report = check_backend(broken(), seed=seed, checks=[name])
    result = report[name]
    assert result.status == "failed"
    assert found_only or len(Circuit.from_json(result.failure.circuit).operations) <= SMALL
    text = str(report)
    assert f"FAILED  {name}" in text
    assert found_only or result.failure.circuit in text
    assert all(line in text for line in result.failure.drawing.splitlines())
    assert "expected:" in text
    assert "got:" in text
    assert found_only or max(len(explanation.splitlines()) for explanation in report.explanations()) <= 20
    with pytest.raises(BackendError, match=name):
        report.raise_if_failed()


@pytest.mark.parametrize("name", sorted(set(ALL.values())))
def test_and_the_same_check_passes_the_backend_without_the_mistake(name):
    right = {"readout": GoodReadout(), **dict.fromkeys(set(BROKEN_NOISE.values()) - {"readout"}, GoodNoise())}
    assert check_backend(right.get(name, Good()), examples=20, checks=[name])[name].status == "passed"


def test_a_reversed_register_is_shown_on_one_gate_or_vector():
    failure = check_backend(_named("ReversedQubits"), checks=["qubit-order"])["qubit-order"].failure
    assert len(Circuit.from_json(failure.circuit).operations) == 1
    assert Circuit.from_json(failure.circuit).num_qubits == 2


def test_the_gate_with_the_wrong_sign_is_named():
    report = check_backend(_named("WrongSignRY"), checks=["gates"])
    assert report["gates"].reason == "fails for RY"
    assert json.loads(report["gates"].failure.circuit)["operations"][0][0] == "RY"


@pytest.mark.parametrize("seed", range(5))
def test_a_readout_error_does_not_show_in_exact_expectations(seed):
    assert check_backend(ReadoutError(), seed=seed, examples=10, checks=["random-circuits"]).ok


def test_a_crash_is_shown_with_its_place():
    report = check_backend(_named("Crashes"), checks=["gates"])
    assert "it raised KeyError: 'RYY'" in str(report)
    assert "broken.py" in str(report)


def test_a_backend_that_remembers_is_said_to():
    report = check_backend(_named("IgnoredSeed"), checks=["shots-seed"])
    assert "the same key gives the same shots" in str(report)


@pytest.mark.filterwarnings("ignore:Casting complex values to real")  # which one of them has qdeq do
@pytest.mark.parametrize("broken", ROOTS, ids=lambda broken: broken.__name__)
def test_what_is_wrong_everywhere_fails_one_check_whatever_was_asked_for(broken):
    name = BROKEN[broken]
    report = check_backend(broken(), examples=4)
    assert [result.name for result in report.failed] == [name], report
    if name == "purity":  # which takes two calls with different weights
        return
    some = check_backend(broken(), examples=4, checks=["gradients", "inputs-and-weights", "amplitude-encoding"])
    assert [result.name for result in some.failed] == [name], some
    with pytest.raises(BackendError, match=f"FAILED  {name}"):
        some.raise_if_failed()


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("SinglePrecision", "as in float32; declared is 'float64'"),
        ("TooShortVectors", "run returned an array [1, 1], not [1, 2]"),
        ("OneStateForAll", "run returned an array [2], not [1, 2]"),
        ("UnnormalisedStates", "run gives amplitudes that are not normalised"),
        ("SaysAmplitudes", "they are probabilities, so say gives = 'probabilities'"),
        ("SaysProbabilities", "they are amplitudes, so say gives = 'amplitudes'"),
        ("RemembersWeights", "the values are those of the call before, at other weights"),
        ("RemembersFunctions", "the values are those of the call before, at other weights"),
        ("SeedsTheProcess", "the backend changes NumPy's global random generator, for everybody"),
    ],
)
def test_the_cause_is_named(name, says):
    assert says in str(check_backend(_named(name), examples=4, checks=["run", "precision", "purity"]))


@pytest.mark.parametrize(("case", "says"), EXPLAINED.items(), ids=lambda part: str(part))
def test_noise_that_is_left_out_is_told_from_noise_twice(case, says):
    broken, check = case
    failure = check_backend(broken(), examples=12, checks=[check])[check].failure
    assert failure.problem.endswith(f"they are what they would be with {says}")


def test_the_same_exception_is_shown_once_with_all_checks_that_it_fails():
    report = check_backend(ForgetsAHelper(), examples=1, checks=["gates", "observables", "batch", "unsupported"])
    assert len(report.failed) == 4
    assert len(report.explanations()) == 1
    assert "The same exception fails 3 more: observables, batch, unsupported" in str(report)
    assert str(report).count("has no attribute 'transpiled'") == 1


def _named(name):
    return next(broken for broken in BROKEN if broken.__name__ == name)()
