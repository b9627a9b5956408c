import sys
import types
from importlib.metadata import EntryPoint

import pytest

import qdeq.plugins
from qdeq.spec import parse_spec


@pytest.fixture
def register(monkeypatch):
    """Add backends to the registry: ``register(name=class or module path)``."""

    def add(**plugins):
        module = types.ModuleType("fake_backends")
        added = {}
        for name, thing in plugins.items():
            target = thing if isinstance(thing, str) else f"fake_backends:{name}"
            if not isinstance(thing, str):
                setattr(module, name, thing)
            added[name] = EntryPoint(name, target, "qdeq.backends")
        monkeypatch.setitem(sys.modules, "fake_backends", module)
        found = qdeq.plugins._entry_points
        monkeypatch.setattr(
            qdeq.plugins,
            "_entry_points",
            lambda group: {**found(group), **added} if group == "qdeq.backends" else found(group),
        )

    return add


@pytest.fixture
def digits():
    """Return an experiment that is measured in a fraction of a second: ``digits(shots=100)``."""

    def build(**sections):
        data = {
            "name": "small",
            "data": {"dataset": "digits", "classes": [0, 3, 6, 9], "limit": 40},
            "model": {"ansatz": "hardware-efficient"},
            "training": {"learning_rate": 0.02},
        }
        for key, value in sections.items():
            data[key] = {**data.get(key, {}), **value} if isinstance(value, dict) else value
        return parse_spec(data, "small")

    return build
