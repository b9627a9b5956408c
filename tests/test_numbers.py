"""Numbers from outside: what is whole, what is finite, and what an option takes."""

import math
from dataclasses import asdict
from typing import Annotated, Literal

import numpy as np
import pytest
import torch
from pydantic import ConfigDict, Field, ValidationError, field_validator
from pydantic.dataclasses import dataclass

from qdeq import NoiseModel, get_backend
from qdeq.billing.budget import Budget
from qdeq.errors import BackendError, CircuitError, SpecError
from qdeq.numbers import as_number, finite, whole
from qdeq.spec import parse_spec

NOT_WHOLE = [
    1.5,
    100.0,
    True,
    False,
    "3",
    None,
    math.nan,
    math.inf,
    1 + 0j,
    [3],
    np.float64(3),
    np.True_,
    np.array([3]),
]


@pytest.mark.parametrize("value", [3, np.int64(3), np.uint8(3), np.array(3), torch.tensor(3)])
def test_every_integer_is_whole_and_comes_back_as_pythons(value):
    assert type(whole(value, "count", 1, 3)) is int
    assert whole(value, "count", 3) == 3


@pytest.mark.parametrize("value", [*NOT_WHOLE, 0, -1, pytest.param(10**5000, id="huge")])
def test_what_is_not_whole_or_out_of_range_is_named(value):
    with pytest.raises(SpecError, match=r"^count must be a whole number from 1 to 9, not ") as caught:
        whole(value, "count", 1, 9, error=SpecError)
    assert len(str(caught.value)) < 150


def test_without_an_upper_bound_the_lower_one_is_named():
    with pytest.raises(CircuitError, match=r"^count must be a whole number of at least 1, not 0$"):
        whole(0, "count", 1)


@pytest.mark.parametrize(
    "value", [math.nan, math.inf, True, np.True_, "1", b"1", None, 1j, [1.0, 2.0], pytest.param(10**400, id="huge")]
)
def test_what_is_no_finite_number_is_named(value):
    with pytest.raises(CircuitError, match=r"^angle must be a finite number, not "):
        finite(value, "angle")


def test_negative_zero_is_zero():
    assert math.copysign(1, finite(-0.0, "angle")) == 1


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class Base:
    _numbers = field_validator("*", mode="before")(as_number)


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class Options(Base):
    count: Annotated[int, Field(ge=1)] = 1
    perhaps: int | None = None
    order: Literal[1, 2] = 1
    share: float = 0.5
    flag: bool = False
    name: str = "x"
    either: int | bool = 1


@pytest.mark.parametrize("name", ["count", "perhaps", "order"])
@pytest.mark.parametrize("value", [True, np.True_, 2.0, np.float64(2), "2", 1.5])
def test_an_option_that_counts_takes_whole_numbers_only(name, value):
    with pytest.raises(ValidationError):
        Options(**{name: value})


def test_numpys_numbers_are_pythons_in_options():
    made = Options(count=np.int64(3), perhaps=np.uint8(4), order=np.int32(2), share=np.float32(0.25))
    assert asdict(made) == asdict(Options(count=3, perhaps=4, order=2, share=0.25))
    assert {type(made.count), type(made.perhaps), type(made.order)} == {int}


def test_a_number_that_need_not_be_whole_is_no_truth_value_but_may_be_text():
    with pytest.raises(ValidationError, match="valid number"):
        Options(share=True)
    assert Options(share="1e-4").share == 1e-4  # YAML has no other form of it
    assert Options(share=1).share == 1.0


def test_options_that_are_truth_values_stay_what_they_are():
    assert Options(flag=True).flag is True
    assert Options(either=True).either is True
    assert Options(perhaps=None).perhaps is None


@pytest.mark.parametrize("workers", [True, 2.0, "2"])
def test_a_backends_options_are_checked(workers):
    pytest.importorskip("cirq")
    with pytest.raises(BackendError, match="workers: input should be a valid integer, not"):
        get_backend({"name": "cirq", "workers": workers})


@pytest.mark.parametrize(
    ("where", "value"),
    [
        ("shots", True),
        ("shots", 100.0),
        ("training.learning_rate", True),
        ("training.clip", True),
        ("model.dropout", False),
        ("solver.shots_growth", True),
        ("solver.shots_growth", math.inf),
        ("solver.fixed_steps", 2.0),
        ("budget.max_usd", True),
        ("noise.readout.zero_to_one", False),
    ],
)
def test_an_experiment_takes_no_truth_value_for_a_number(where, value):
    data = {"solver": {"name": "broyden"}}
    *sections, key = where.split(".")
    inner = data
    for section in sections:
        inner = inner.setdefault(section, {})
    inner[key] = value
    with pytest.raises(SpecError, match=where.replace(".", r"\.")):
        parse_spec(data, "file")


@pytest.mark.parametrize(
    "rates",
    [{"readout": {"qubits": {True: 0.1}}}, {"amplitude_damping": {"gates": {"H": True}}}, {"readout": math.nan}],
)
def test_noise_takes_no_truth_value_for_a_number(rates):
    with pytest.raises(ValidationError):
        NoiseModel(**rates)


def test_qubits_of_noise_may_be_text_as_in_json():
    assert NoiseModel(readout={"qubits": {"1": 0.1}}) == NoiseModel(readout={"qubits": {1: 0.1}})


def test_money_is_no_truth_value():
    with pytest.raises(ValidationError, match="valid number"):
        Budget(max_usd=True)
