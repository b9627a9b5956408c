"""One small equilibrium and its gradient on every local backend, against the native one."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from qdeq.doctor.finding import Finding

if TYPE_CHECKING:
    from torch import Tensor

NATIVE = "torch"
TOLERANCE = 1e-4
"""Backends in single precision stay far below; a wrong sign or order of qubits does not."""


def selftest() -> Iterator[Finding]:
    """Solve on the native backend, then on the others that run here and are installed."""
    from qdeq.doctor.checks import described
    from qdeq.plugins import BACKENDS, installed

    expected: tuple[Tensor, ...] | None = None
    found = sorted((plugin for plugin in installed(BACKENDS) if plugin.ok), key=lambda plugin: plugin.name != NATIVE)
    for plugin in found:
        backend = plugin.made()
        if backend.capabilities.remote or backend.capabilities.costs_money or not backend.capabilities.exact:
            continue
        native, began = plugin.name == NATIVE, time.perf_counter()
        try:
            values = _solve(backend)
        except Exception as error:  # a backend may fail in any way
            mend = "install qdeq anew" if native else f"qdeq check-backend {plugin.name}"
            yield Finding("self-test", plugin.name, "broken", described(error), mend, required=native)
            continue
        took = time.perf_counter() - began
        if expected is None:
            expected = values
        worst = max(float((own - right).abs().max()) for own, right in zip(values, expected, strict=True))
        if worst <= TOLERANCE:
            what = f"equilibrium and gradient in {took:.2f} s" + ("" if native else f", off by {worst:.0e}")
            yield Finding("self-test", plugin.name, "ok", what, required=native)
        else:
            what = f"equilibrium or gradient is off by {worst:.1e} from {NATIVE}'s"
            yield Finding("self-test", plugin.name, "broken", what, f"qdeq check-backend {plugin.name}")


def _solve(backend: Any) -> tuple[Tensor, ...]:
    """Return the equilibria of two samples on two qubits, and the gradient in the weights; float32."""
    import torch

    from qdeq.equilibrium import Equilibrium
    from qdeq.library import angle_encoder, hardware_efficient
    from qdeq.models import QuantumFunction
    from qdeq.solvers import get_solver

    circuit = angle_encoder(2) + hardware_efficient(2, 1)
    weights = torch.linspace(-1.0, 1.3, circuit.num_weights, requires_grad=True)
    x = torch.tensor([[0.3, -0.2, 0.5, 0.1], [-0.6, 0.4, 0.2, -0.1]])
    function, rows = QuantumFunction(circuit, backend=backend).at(weights).inject(x, 0.5, 2)
    layer = Equilibrium(get_solver({"name": "broyden", "rtol": 1e-6}), on_failure="raise")
    y = layer(function, x.new_zeros(2, 2), rows).value
    y.square().sum().backward()
    assert weights.grad is not None
    return y.detach(), weights.grad
