"""Plug-ins: one registry over entry points. A broken one is named, and does not break the others."""

import sys
import types
from importlib.metadata import EntryPoint

import pytest
import torch

import qdeq.plugins
from qdeq.backends import Backend, get_backend
from qdeq.errors import BackendError, PluginError
from qdeq.plugins import BACKENDS, DATASETS, SOLVERS, Registry
from qdeq.solvers import Broyden, Naive, get_solver, solve


@pytest.fixture
def installed(monkeypatch):
    """Install fake plug-ins: ``installed(name=object or module path)``."""

    def install(group="qdeq.fakes", **plugins):
        module = types.ModuleType("fake_plugins")
        entries = {}
        for name, thing in plugins.items():
            if isinstance(thing, str):
                entries[name] = EntryPoint(name, thing, group)
            else:
                setattr(module, name, thing)
                entries[name] = EntryPoint(name, f"fake_plugins:{name}", group)
        monkeypatch.setitem(sys.modules, "fake_plugins", module)
        found = qdeq.plugins._entry_points
        monkeypatch.setattr(qdeq.plugins, "_entry_points", lambda wanted: entries if wanted == group else found(wanted))
        return Registry(group, "fake")

    return install


def test_what_qdeq_ships_is_registered_like_any_plug_in():
    assert "torch" in BACKENDS.names()
    assert {"anderson", "broyden", "naive"} <= set(SOLVERS.names())
    assert {"digits", "mnist", "fashion-mnist", "cifar10", "npz"} <= set(DATASETS.names())
    for registry in (BACKENDS, SOLVERS, DATASETS):
        assert registry.names() == sorted(registry.names())
        assert all(registry.load(name) for name in registry.names())


def test_listing_imports_nothing(installed):
    registry = installed(good=dict, missing="no_such_module:Thing")
    assert registry.names() == ["good", "missing"]


def test_a_broken_plug_in_is_named_and_the_others_load(installed, tmp_path, monkeypatch):
    (tmp_path / "broken_plugin.py").write_text("1 / 0\n")
    monkeypatch.syspath_prepend(tmp_path)
    registry = installed(
        good=dict, missing="no_such_module:Thing", raising="broken_plugin:Thing", hollow="fake_plugins:Gone"
    )
    assert registry.load("good") is dict
    for name, reason in (
        ("missing", "ModuleNotFoundError: No module named 'no_such_module'"),
        ("raising", "ZeroDivisionError: division by zero"),
        ("hollow", "AttributeError"),
    ):
        with pytest.raises(PluginError, match=rf"^fake '{name}' \(.*\) could not be loaded: {reason}") as caught:
            registry.load(name)
        assert caught.value.__cause__ is not None
    assert registry.load("good") is dict


def test_a_plug_in_that_explains_itself_is_quoted(installed, tmp_path, monkeypatch):
    (tmp_path / "needy_plugin.py").write_text(
        "from qdeq.errors import PluginError\nraise PluginError('needs cirq: pip install qdeq[cirq]')\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(PluginError, match=r"^needs cirq: pip install qdeq\[cirq\]$"):
        installed(needy="needy_plugin:Thing").load("needy")


def test_an_unknown_name_is_answered_with_the_names_and_a_guess(installed):
    registry = installed(braket=dict, cirq=dict)
    with pytest.raises(
        PluginError, match=r"^unknown fake 'bracket'; installed: braket, cirq\. Did you mean 'braket'\?$"
    ):
        registry.load("bracket")
    with pytest.raises(PluginError, match=r"installed: none\.$"):
        installed("qdeq.empty").load("anything")


def test_a_backend_plug_in_is_built_with_its_options_checked(installed):
    from pydantic import ConfigDict
    from pydantic.dataclasses import dataclass

    @dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
    class Faked(Backend):
        noise: float = 0.0
        level: int
        name = "faked"
        version = "0"
        capabilities = None

        def evaluate(self, *args, **kwargs): ...

        def freeze(self, *args): ...

    installed("qdeq.backends", faked=Faked, dictionary=dict)
    choice = {"name": "faked", "level": 3, "noise": 0.5}
    made = get_backend(choice)
    assert (made.level, made.noise) == (3, 0.5)
    assert choice == {"name": "faked", "level": 3, "noise": 0.5}  # the caller's mapping is not touched
    assert get_backend(made) is made
    for options, says in (
        ({"level": 1, "nose": 1}, r"unknown option 'nose'\. Did you mean 'noise'\?\nIts options.*level"),
        ({}, r"option 'level' is missing"),
        ({"level": "many"}, r"level: .*valid integer.*not 'many'"),
    ):
        with pytest.raises(BackendError, match=rf"^backend 'faked': {says}") as caught:
            get_backend({"name": "faked", **options})
        assert len(str(caught.value).splitlines()) <= 2
    with pytest.raises(PluginError, match=r"'dictionary' is <class 'dict'>, which is no qdeq\.backends\.base\.Backend"):
        get_backend({"name": "dictionary"})


def test_a_solver_plug_in_solves(installed):
    installed("qdeq.solvers", mine=Naive, broyden=Broyden)
    found = solve(get_solver({"name": "mine", "damping": 0.5, "max_steps": 200}), torch.cos, torch.zeros(1, 1))
    assert float(found.value) == pytest.approx(0.739085, abs=1e-3)


def test_a_broken_backend_leaves_the_native_one_alone(installed):
    installed("qdeq.backends", torch="qdeq.backends.torch:TorchBackend", broken="no_such_module:X")
    with pytest.raises(PluginError, match="backend 'broken'"):
        get_backend("broken")
    assert get_backend("torch").name == "torch"
