"""The adapters under test: their names, and the tolerances that their precision allows."""

import importlib.util
from types import SimpleNamespace

import pytest

PACKAGES = {
    "cirq": "cirq",
    "cirq-dm": "cirq",
    "qsim": "qsimcirq",
    "braket-local": "braket",
    "braket-local-dm": "braket",
    "pennylane": "pennylane",
    "pennylane:lightning.qubit": "pennylane",
    "pennylane:default.mixed": "pennylane",
}

DOUBLE = SimpleNamespace(value=1e-9, gradient=1e-8)
SINGLE = SimpleNamespace(value=1e-6, gradient=1e-5)
"""qsim computes in complex64: a circuit of tens of gates is right to a few 1e-7."""


def tolerance(name):
    return SINGLE if name == "qsim" else DOUBLE


def adapters(*names):
    """Parameters for pytest: the named adapters (default all), skipped where their package is missing."""
    return [
        pytest.param(
            name,
            marks=pytest.mark.skipif(
                importlib.util.find_spec(PACKAGES[name]) is None, reason=f"{PACKAGES[name]} is not installed"
            ),
        )
        for name in names or PACKAGES
    ]
