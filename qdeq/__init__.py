"""Quantum Deep Equilibrium Models: the fixed point of a measured circuit, as a trainable PyTorch layer.

The names below are imported when they are first used, so that ``import qdeq`` alone loads neither PyTorch nor any
quantum SDK.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from qdeq._version import __version__

if TYPE_CHECKING:
    from qdeq.adjoints import (
        Adjoint,
        AdjointRecord,
        DenseAdjoint,
        GmresAdjoint,
        IterativeAdjoint,
        JacobianFreeAdjoint,
        PhantomAdjoint,
        UnrolledAdjoint,
        get_adjoint,
    )
    from qdeq.backends import Backend, Capabilities, ShotKey, get_backend
    from qdeq.billing.account import spending
    from qdeq.billing.budget import Budget
    from qdeq.circuit import AmplitudeEncoding, Channel, Circuit, Gate, Input, ReadoutError, Weight
    from qdeq.data import load_dataset, prepare
    from qdeq.equilibrium import Equilibrated, Equilibrium
    from qdeq.errors import ConvergenceWarning, QdeqError
    from qdeq.functions import Function
    from qdeq.injection import InjectedFunction, upsample
    from qdeq.models import Prediction, QDEQClassifier, QuantumFunction
    from qdeq.noise import NoiseModel
    from qdeq.observables import PauliString, PauliSum, X, Y, Z
    from qdeq.solvers import (
        Anderson,
        Broyden,
        Fallback,
        Naive,
        Newton,
        NewtonKrylov,
        Solution,
        Solver,
        Status,
        get_solver,
        solve,
    )
    from qdeq.spec import ExperimentSpec, load_spec
    from qdeq.training import Predictions, RunSummary, SavedRun, evaluate_run, load_run, resume, train
    from qdeq.wrappers import Wrapper

_MODULE_OF = {
    name: module
    for module, names in {
        "qdeq.adjoints": (
            "Adjoint",
            "AdjointRecord",
            "DenseAdjoint",
            "GmresAdjoint",
            "IterativeAdjoint",
            "JacobianFreeAdjoint",
            "PhantomAdjoint",
            "UnrolledAdjoint",
            "get_adjoint",
        ),
        "qdeq.backends": ("Backend", "Capabilities", "ShotKey", "get_backend"),
        "qdeq.billing.account": ("spending",),
        "qdeq.billing.budget": ("Budget",),
        "qdeq.circuit": ("AmplitudeEncoding", "Channel", "Circuit", "Gate", "Input", "ReadoutError", "Weight"),
        "qdeq.data": ("load_dataset", "prepare"),
        "qdeq.equilibrium": ("Equilibrated", "Equilibrium"),
        "qdeq.errors": ("ConvergenceWarning", "QdeqError"),
        "qdeq.functions": ("Function",),
        "qdeq.wrappers": ("Wrapper",),
        "qdeq.injection": ("InjectedFunction", "upsample"),
        "qdeq.models": ("Prediction", "QDEQClassifier", "QuantumFunction"),
        "qdeq.noise": ("NoiseModel",),
        "qdeq.observables": ("PauliString", "PauliSum", "X", "Y", "Z"),
        "qdeq.solvers": (
            "Anderson",
            "Broyden",
            "Fallback",
            "Naive",
            "Newton",
            "NewtonKrylov",
            "Solution",
            "Solver",
            "Status",
            "get_solver",
            "solve",
        ),
        "qdeq.spec": ("ExperimentSpec", "load_spec"),
        "qdeq.training": (
            "Predictions",
            "RunSummary",
            "SavedRun",
            "evaluate_run",
            "load_run",
            "resume",
            "train",
        ),
    }.items()
    for name in names
}

__all__ = [
    "Adjoint",
    "AdjointRecord",
    "AmplitudeEncoding",
    "Anderson",
    "Backend",
    "Broyden",
    "Budget",
    "Capabilities",
    "Channel",
    "Circuit",
    "ConvergenceWarning",
    "DenseAdjoint",
    "Equilibrated",
    "Equilibrium",
    "ExperimentSpec",
    "Fallback",
    "Function",
    "Gate",
    "GmresAdjoint",
    "InjectedFunction",
    "Input",
    "IterativeAdjoint",
    "JacobianFreeAdjoint",
    "Naive",
    "Newton",
    "NewtonKrylov",
    "NoiseModel",
    "PauliString",
    "PauliSum",
    "PhantomAdjoint",
    "Prediction",
    "Predictions",
    "QDEQClassifier",
    "QdeqError",
    "QuantumFunction",
    "ReadoutError",
    "RunSummary",
    "SavedRun",
    "ShotKey",
    "Solution",
    "Solver",
    "Status",
    "UnrolledAdjoint",
    "Weight",
    "Wrapper",
    "X",
    "Y",
    "Z",
    "__version__",
    "evaluate_run",
    "get_adjoint",
    "get_backend",
    "get_solver",
    "load_dataset",
    "load_run",
    "load_spec",
    "prepare",
    "resume",
    "solve",
    "spending",
    "train",
    "upsample",
]

if not TYPE_CHECKING:  # a type checker takes the imports above, and would take this for "any name exists"

    def __getattr__(name: str) -> Any:
        """Import a public name on its first use (PEP 562)."""
        if name not in _MODULE_OF:
            raise AttributeError(f"module 'qdeq' has no attribute {name!r}")
        value = getattr(importlib.import_module(_MODULE_OF[name]), name)
        globals()[name] = value
        return value

    def __dir__() -> list[str]:
        """List the public names, imported or not."""
        return sorted({*globals(), *__all__})
