"""Shots that grow: what an experiment file may ask for, and what is made of it."""

import pytest

from qdeq.builders import build_model
from qdeq.errors import SpecError
from qdeq.spec import parse_spec


def test_the_first_shots_reach_the_layer():
    spec = parse_spec({"shots": 1000, "solver": {"name": "broyden", "first_shots": 50, "shots_growth": 3}}, "x")
    layer = build_model(spec, 4).equilibrium
    assert (layer.first_shots, layer.shots_growth, layer.fixed_steps) == (50, 3.0, None)
    assert spec.content_hash != parse_spec({"shots": 1000}, "x").content_hash


def test_by_default_all_shots_are_used_from_the_start():
    layer = build_model(parse_spec({"shots": 1000}, "x"), 4).equilibrium
    assert layer.first_shots is None
    assert layer.fixed_steps is None


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"solver": {"first_shots": 50}}, "solver.first_shots is 50, and shots is None"),
        ({"shots": 20, "solver": {"first_shots": 50}}, "first_shots is 50, and shots is 20: it needs at least as many"),
        ({"shots": 100, "solver": {"first_shots": 50, "fixed_steps": 5}}, "set one of them to null"),
        ({"shots": 100, "solver": {"first_shots": 0}}, "greater than or equal to 1"),
        ({"shots": 100, "solver": {"first_shots": 50, "shots_growth": 1}}, "greater than 1"),
        ({"shots": 100, "solver": {"first_shots": 50}, "adjoint": "unrolled"}, "leave solver.first_shots out"),
    ],
)
def test_what_cannot_be_is_refused(data, message):
    with pytest.raises(SpecError, match=message):
        parse_spec(data, "x")
