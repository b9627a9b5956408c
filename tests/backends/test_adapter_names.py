"""Adapters by name: arguments after a colon, options, missing extras, missing devices, and nothing imported unasked."""

import importlib
import math
import pickle
import subprocess
import sys
import types
from importlib.metadata import EntryPoint
from typing import ClassVar

import numpy as np
import pytest
from adapters import PACKAGES, adapters

import qdeq.plugins
from qdeq.backends import get_backend
from qdeq.errors import BackendError, PluginError
from qdeq.plugins import BACKENDS, EXTRAS, install_command
from qdeq.spec import ExperimentSpec, parse_spec


def test_listing_backends_imports_no_quantum_package():
    code = (
        "import sys, qdeq; from qdeq.plugins import BACKENDS; print(*BACKENDS.names());"
        "assert not {'cirq', 'qsimcirq', 'braket', 'pennylane', 'ray'} & set(sys.modules)"
    )
    names = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.split()
    assert {"cirq", "cirq-dm", "qsim", "braket-local", "braket-local-dm", "pennylane"} <= set(names)


EXTRA_PACKAGES = {  # as pyproject.toml has them: no extra of a package that an index may not have
    "cirq": '"cirq-core>=1.5" "qsimcirq>=0.22"',
    "braket": '"amazon-braket-sdk>=1.100"',
    "pennylane": '"pennylane>=0.42"',
}


@pytest.mark.parametrize("name", PACKAGES)
def test_a_missing_package_is_named_with_the_command_that_installs_it(name, monkeypatch):
    base, package = name.partition(":")[0], PACKAGES[name]
    module = next(entry.module for entry in importlib.metadata.entry_points(group="qdeq.backends", name=base))
    for loaded in list(sys.modules):
        if loaded == package or loaded.startswith((f"{package}.", module)):
            monkeypatch.delitem(sys.modules, loaded)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(PluginError) as caught:
        get_backend(name)
    first, second = str(caught.value).splitlines()
    assert first.startswith(f"backend '{base}' ({module}:")
    assert package in first
    assert second == f"Install what it needs: pip install {EXTRA_PACKAGES[EXTRAS[base]]}"
    assert second.endswith(install_command(name))
    assert get_backend("torch").name == "torch"


def test_every_extra_is_one_of_pyproject():
    provided = importlib.metadata.metadata("qdeq").get_all("Provides-Extra")
    assert set(EXTRAS.values()) <= set(provided)
    assert set(EXTRAS) <= set(BACKENDS.names())
    assert install_command("torch") is None


@pytest.mark.parametrize("name", adapters())
def test_name_options_and_spec_lead_to_the_same_backend(name):
    backend = get_backend(name)
    assert backend.name == name
    assert get_backend({"name": name}) == backend
    assert pickle.loads(pickle.dumps(backend)) == backend
    spec = parse_spec({"backend": {"name": name, "workers": 2}}, "test")
    assert spec.backend["name"] == name
    assert get_backend(spec.backend).workers == 2
    again = ExperimentSpec.model_validate(spec.model_dump(mode="json"))
    assert again.backend == spec.backend
    assert get_backend(again.backend) == get_backend(spec.backend)


@pytest.mark.parametrize("name", adapters("pennylane"))
def test_a_device_is_the_argument_or_the_option(name):
    by_argument = get_backend(f"{name}:lightning.qubit")
    assert by_argument.device == "lightning.qubit"
    assert get_backend({"name": name, "device": "lightning.qubit"}) == by_argument
    assert get_backend({"name": f"{name}:lightning.qubit", "device": "lightning.qubit"}) == by_argument
    assert get_backend(f"{name}:default.qubit") == get_backend(name)
    with pytest.raises(BackendError, match=r"'pennylane:default.mixed' contradicts its option device: 'lightning"):
        get_backend({"name": f"{name}:default.mixed", "device": "lightning.qubit"})


@pytest.mark.parametrize("name", adapters("pennylane"))
def test_an_unknown_device_is_answered_with_those_installed(name):
    with pytest.raises(
        BackendError, match=r"no PennyLane device 'lightning.qbit'; installed: .*default\.qubit.*"
    ) as caught:
        get_backend(f"{name}:lightning.qbit")
    assert "Did you mean 'lightning.qubit'?" in str(caught.value)
    with pytest.raises(BackendError, match="no PennyLane device ''"):
        get_backend(f"{name}:")


@pytest.mark.parametrize("name", adapters("pennylane"))
def test_a_device_that_cannot_be_made_says_why(name, monkeypatch):
    import pennylane as qml

    def failing(*args, **kwargs):
        raise ImportError("needs\n\nstim")

    monkeypatch.setattr(qml, "device", failing)
    with pytest.raises(BackendError, match=r"'default.clifford' cannot be used: ImportError: needs stim"):
        get_backend(f"{name}:default.clifford")


def test_arguments_after_a_colon_work_for_any_plug_in(monkeypatch):
    class Fake:
        name_argument: ClassVar[str] = "address"

        def __init__(self, address="here", level=1):
            self.address, self.level = address, level

    module = types.ModuleType("fake_plugins")
    module.Fake, module.Plain = Fake, dict
    monkeypatch.setitem(sys.modules, "fake_plugins", module)
    entries = {kind: EntryPoint(kind, f"fake_plugins:{kind}", "qdeq.fakes") for kind in ("Fake", "Plain")}
    monkeypatch.setattr(qdeq.plugins, "_entry_points", lambda group: entries)
    registry = qdeq.plugins.Registry("qdeq.fakes", "fake")
    made = registry.build({"name": "Fake:arn:aws:x/y", "level": 2}, Fake, BackendError)
    assert (made.address, made.level) == ("arn:aws:x/y", 2)
    assert registry.build("Fake", Fake, BackendError).address == "here"
    with pytest.raises(BackendError, match=r"fake 'Plain' takes no argument, but 'Plain:7' has one after the colon"):
        registry.build("Plain:7", dict, BackendError)
    with pytest.raises(PluginError, match=r"unknown fake 'Fkae'; installed: Fake, Plain\. Did you mean 'Fake'"):
        registry.build("Fkae:7", Fake, BackendError)


@pytest.mark.parametrize(
    ("choice", "says"),
    [
        ({"name": "qsim", "threads": 0}, r"threads: .*greater than or equal to 1"),
        ({"name": "qsim", "fusion": 2}, r"unknown option 'fusion'"),
        ({"name": "qsim", "max_fused_gate_size": 9}, r"max_fused_gate_size"),
    ],
)
def test_options_are_checked(choice, says):
    pytest.importorskip("qsimcirq")
    with pytest.raises(BackendError, match=rf"^backend 'qsim': {says}"):
        get_backend(choice)


def test_a_device_that_simulates_nothing_is_no_backend():
    pytest.importorskip("pennylane")
    with pytest.raises(BackendError, match=r"^PennyLane device 'null.qubit' simulates nothing: after X on \|0>"):
        get_backend("pennylane:null.qubit")
    for name in ("default.qubit", "default.mixed", "reference.qubit", "lightning.qubit"):
        assert get_backend(f"pennylane:{name}").capabilities.exact


@pytest.mark.parametrize("answer", [[0.5, 0.5], [0.0, 0.0], [1.0, 0.0], [math.nan, math.nan]])
def test_made_up_probabilities_of_any_kind_are_found(monkeypatch, answer):
    pennylane = pytest.importorskip("qdeq.backends.pennylane")
    monkeypatch.setattr(pennylane, "flipped_qubit", lambda name: np.array(answer))
    with pytest.raises(BackendError, match="simulates nothing"):
        get_backend("pennylane:default.mixed")
