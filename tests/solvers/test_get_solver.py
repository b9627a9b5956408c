"""From a name or a mapping to a solver, and the messages when there is none."""

import pytest
from pydantic import ValidationError

from qdeq.errors import PluginError, SolverError
from qdeq.plugins import SOLVERS
from qdeq.solvers import Anderson, Broyden, Naive, get_solver


@pytest.mark.parametrize(("name", "cls"), [("naive", Naive), ("anderson", Anderson), ("broyden", Broyden)])
def test_bare_name_gives_the_defaults(name, cls):
    assert get_solver(name) == cls()
    assert get_solver({"name": name}) == cls()


def test_mapping_gives_options_and_is_left_alone():
    choice = {"name": "anderson", "memory": 3, "rtol": 1e-6}
    assert get_solver(choice) == Anderson(memory=3, rtol=1e-6)
    assert choice == {"name": "anderson", "memory": 3, "rtol": 1e-6}


def test_solver_is_returned_as_it_is():
    solver = Naive(damping=0.3)
    assert get_solver(solver) is solver


def test_yaml_reads_1e_6_as_text_and_it_is_accepted():
    assert get_solver({"name": "naive", "rtol": "1e-6"}).rtol == 1e-6


def test_unknown_name_is_answered_with_the_closest():
    with pytest.raises(PluginError, match=r"unknown solver 'broyen'.*Did you mean 'broyden'"):
        get_solver("broyen")


def test_unknown_option_is_answered_with_the_closest_and_all_of_them():
    with pytest.raises(SolverError) as caught:
        get_solver({"name": "broyden", "memroy": 5})
    first, second = str(caught.value).splitlines()
    assert first == "solver 'broyden': unknown option 'memroy'. Did you mean 'memory'?"
    assert second == "Its options are: max_steps, rtol, atol, memory, update, line_search."
    assert isinstance(caught.value.__cause__, ValidationError)


def test_option_out_of_range_names_value_and_range():
    with pytest.raises(SolverError, match=r"naive.*damping: input should be less than or equal to 1, not 1\.5"):
        get_solver({"name": "naive", "damping": 1.5})


def test_all_bad_options_are_named_at_once():
    with pytest.raises(SolverError, match=r"max_steps: .*not -1; rtol: .*not 'x'; unknown option 'z'"):
        get_solver({"name": "naive", "max_steps": -1, "rtol": "x", "z": 1})


def test_option_that_is_no_word_is_refused():
    with pytest.raises(SolverError, match="a solver is a name or a mapping"):
        get_solver({"name": "naive", 3: 1})


@pytest.mark.parametrize("choice", [None, {}, {"memory": 5}, 7, {"name": 3}])
def test_choice_that_names_no_solver(choice):
    with pytest.raises(SolverError, match=r"a solver is a name or a mapping.*broyden"):
        get_solver(choice)


def test_plug_in_that_is_no_solver(monkeypatch):
    monkeypatch.setattr(type(SOLVERS), "load", lambda self, name: dict)
    with pytest.raises(PluginError, match="'odd' is <class 'dict'>"):
        get_solver("odd")
