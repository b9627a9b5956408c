"""The contenders: each makes whole training steps of the same problem, and says beforehand what it would need."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from benchmarks.loop import plain_equilibrium
from benchmarks.pennylane_circuit import pennylane_function
from benchmarks.problem import LEARNING_RATE, MAX_STEPS, Cell, data_of, model_of
from qdeq.injection import upsample


class Unfit(Exception):
    """The contender cannot do the cell; the message is the reason, for the table."""


class Contender(ABC):
    """A model, its optimiser and a batch.

    Args:
        cell: What to train.
    """

    execution = "auto"
    layers: int | None = None
    checked = True  # whether it computes the same loss and gradient as the others

    def __init__(self, cell: Cell) -> None:
        self.cell = cell
        self.evaluations = 0
        self.failed = 0
        self.model = model_of(cell, execution=self.execution, layers=self.layers)
        self.x, self.labels = data_of(cell)
        self.parameters = [self.model.weights, *self.model.readout.parameters()]
        self.optimizer = torch.optim.Adam(self.parameters, lr=LEARNING_RATE)
        self._first = [parameter.detach().clone() for parameter in self.parameters]

    def reset(self) -> None:
        """Go back to the first weights, so that who makes more steps is not timed on another problem."""
        self.optimizer.state.clear()
        with torch.no_grad():
            for parameter, first in zip(self.parameters, self._first, strict=True):
                parameter.copy_(first)

    @staticmethod
    def needed_bytes(cell: Cell) -> float:
        """Return a low estimate of a step's peak memory; only large figures matter."""
        return 0.0

    def step(self) -> float:
        """Train one step: forward, adjoint, optimiser. Returns the loss."""
        self.optimizer.zero_grad()
        y = self.equilibrium(self.x.new_zeros(len(self.x), self.cell.qubits))
        loss = self.loss(y)
        loss.backward()
        self.optimizer.step()
        return float(loss.detach())

    def check(self, y0: Tensor, counted: Tensor) -> tuple[float, Tensor]:
        """Return loss ``[]`` and gradient ``[P']`` of a solve that starts from ``y0``, over the samples ``counted``."""
        self.optimizer.zero_grad()
        loss = self.loss(self.equilibrium(y0.to(self.x)), counted.to(self.x.device))
        loss.backward()
        gradient = torch.cat([parameter.grad.flatten() for parameter in self.parameters])
        self.optimizer.zero_grad()
        return float(loss.detach()), gradient.cpu()

    def loss(self, y: Tensor, counted: Tensor | None = None) -> Tensor:
        """Return the cross entropy of the read-out of y ``[B, n]``."""
        logits = self.model.readout(torch.relu(upsample(y, self.x.shape[1])))
        if counted is None:
            return F.cross_entropy(logits, self.labels)
        return F.cross_entropy(logits[counted], self.labels[counted])

    @abstractmethod
    def equilibrium(self, y0: Tensor) -> Tensor:
        """Return the differentiable equilibrium ``[B, n]``; the weights are frozen, and compiled, in here."""

    def frozen(self) -> tuple[Callable[..., Tensor], tuple[Tensor, ...]]:
        """Freeze qdeq's function at the weights of this step (this is where it compiles)."""
        return self.model.function.at(self.model.weights).inject(self.x, self.model.state_scale, self.cell.qubits)


class Native(Contender):
    """qdeq as it is shipped: ``QDEQClassifier`` and its own equilibrium layer."""

    def step(self) -> float:
        """Train one step through the classifier itself."""
        self.optimizer.zero_grad()
        prediction = self.model(self.x)
        loss = F.cross_entropy(prediction.logits, self.labels)
        loss.backward()
        self.optimizer.step()
        self._count(prediction.equilibrium)
        return float(loss.detach())

    def equilibrium(self, y0: Tensor) -> Tensor:
        """Return the equilibrium, from another first iterate than the classifier's zero."""
        f, rows = self.frozen()
        found = self.model.equilibrium(f, y0, rows)
        self._count(found)
        self.found = found
        return found.value

    def _count(self, found: Any) -> None:
        self.evaluations = int(found.evaluations.max())
        self.failed = 0 if found.status is None else int((found.status != 0).sum())


class NativeCircuits(Native):
    """qdeq with ``execution: circuits``: every evaluation runs the whole circuit on every sample."""

    execution = "circuits"

    @staticmethod
    def needed_bytes(cell: Cell) -> float:
        """Return three complex64 states per sample; the path is reversible, so the number of gates does not enter."""
        return 3 * cell.batch * 2.0**cell.qubits * 8


class Direct(Native):
    """DIRECT 10: the compiled circuit applied ten times, all recorded (another model, shown for its memory)."""

    layers = 10
    checked = False


class DirectCircuits(Direct):
    """DIRECT 10 that runs the whole circuit ten times; in ``benchmarks.memory`` only."""

    execution = "circuits"

    @staticmethod
    def needed_bytes(cell: Cell) -> float:
        """Return one recorded state for each layer, and two to work on."""
        return 12 * cell.batch * 2.0**cell.qubits * 8


class TorchDEQ(Contender):
    """TorchDEQ's Broyden forward and backward, driving qdeq's circuits path."""

    execution = "circuits"

    def __init__(self, cell: Cell) -> None:
        try:
            from torchdeq import get_deq
        except ImportError as error:
            raise Unfit("torchdeq is not installed: pip install -r benchmarks/requirements.txt") from error
        super().__init__(cell)
        self.deq = get_deq(
            ift=True,
            f_solver="broyden",
            b_solver="broyden",
            f_max_iter=MAX_STEPS,
            b_max_iter=MAX_STEPS,
            f_tol=cell.rtol,
            b_tol=cell.rtol,
            f_stop_mode="rel",
            b_stop_mode="rel",
        ).train()

    needed_bytes = NativeCircuits.needed_bytes

    def equilibrium(self, y0: Tensor) -> Tensor:
        """Return the equilibrium that TorchDEQ finds: its test is the largest relative residual of the batch."""
        f, rows = self.frozen()
        out, info = self.deq(lambda y: f(y, *rows), y0)
        self.evaluations = int(info["nstep"].max()) + 1
        self.failed = int((info["rel_lowest"] > self.cell.rtol).sum())
        return out[-1]


class TorchDEQCompiled(TorchDEQ):
    """TorchDEQ driving qdeq's compiled function."""

    execution = "auto"
    needed_bytes = Contender.needed_bytes


class PennyLane(Contender):
    """A plain loop around PennyLane's ``default.qubit`` (torch, backprop, one broadcast call for the batch)."""

    device_name, diff_method = "default.qubit", "backprop"

    def __init__(self, cell: Cell) -> None:
        super().__init__(cell)
        self.q = pennylane_function(self.model.circuit, self.device_name, self.diff_method)

    @staticmethod
    def needed_bytes(cell: Cell) -> float:
        """Return what a recorded evaluation keeps: a state per gate and sample; the simulator takes complex128."""
        return recorded_states(cell) * 16

    def f(self, y: Tensor, x: Tensor) -> Tensor:
        """Return ``q(x + W y)``."""
        return self.q(x + upsample(y, x.shape[1]), self.model.weights).to(y.dtype)

    def equilibrium(self, y0: Tensor) -> Tensor:
        """Return the equilibrium of the plain loop; see :mod:`benchmarks.loop`."""
        found = plain_equilibrium(self.f, y0, self.x, rtol=self.cell.rtol)
        self.evaluations, self.failed = found.evaluations, found.failed
        return found.value

    def probe(self, samples: int) -> None:
        """Run one forward-and-backward evaluation of the first samples."""
        x = self.x[:samples]
        y = x.new_zeros(len(x), self.cell.qubits).requires_grad_()
        self.f(y, x).sum().backward()
        self.optimizer.zero_grad()


class Lightning(PennyLane):
    """The same loop around ``lightning.qubit`` (adjoint differentiation; PennyLane splits the batch into samples)."""

    device_name, diff_method = "lightning.qubit", "adjoint"
    needed_bytes = Contender.needed_bytes

    def __init__(self, cell: Cell) -> None:
        if cell.device != "cpu":
            raise Unfit("lightning.qubit runs on the CPU")
        if cell.encoding == "amplitude" and cell.qubits**2 < 2**cell.qubits:
            raise Unfit("PennyLane's gradient of a zero-padded state preparation is NaN (it decomposes it into angles)")
        super().__init__(cell)

    def f(self, y: Tensor, x: Tensor) -> Tensor:
        """Return ``q(x + W y)``, in double precision: in float32 the decomposed encoder's gradient is good to 1e-3."""
        return self.q((x + upsample(y, x.shape[1])).double(), self.model.weights).to(y.dtype)


class Reference(PennyLane):
    """The unit: ONE forward-and-backward evaluation of circuit and batch by ``default.qubit``, and no more."""

    checked = False

    def step(self) -> float:
        """Evaluate f at y0 = 0 and differentiate the sum of its values in the weights and in the state."""
        self.probe(len(self.x))
        self.evaluations = 1
        return 0.0


def recorded_states(cell: Cell) -> float:
    """Return amplitudes of all states that one recorded evaluation passes through: gates x batch x 2^n."""
    small = replace(cell, batch=1, device="cpu")
    return len(model_of(small, execution="circuits").circuit.gates) * cell.batch * 2.0**cell.qubits


CONTENDERS: dict[str, type[Contender]] = {
    "reference": Reference,
    "qdeq": Native,
    "qdeq-circuits": NativeCircuits,
    "torchdeq+compiled": TorchDEQCompiled,
    "torchdeq+circuits": TorchDEQ,
    "pennylane": PennyLane,
    "lightning": Lightning,
    "direct-10": Direct,
    "direct-10-circuits": DirectCircuits,
}
"""By the names of the table, in the order in which they run."""

TIMED = tuple(name for name in CONTENDERS if name != "direct-10-circuits")
"""Those that ``benchmarks.step`` runs unless told otherwise."""
