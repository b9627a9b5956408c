"""Quantum functions, and the classifier of the paper built from one."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor, nn

from qdeq.backends import Backend, FrozenFunction, ShotKey, get_backend
from qdeq.backends.function import require_tensor
from qdeq.backends.sampling import number_of_shots
from qdeq.circuit import Circuit
from qdeq.dropout import MaskedState, keep_mask
from qdeq.equilibrium import Equilibrated, Equilibrium
from qdeq.errors import CircuitError
from qdeq.functions import Function
from qdeq.injection import upsample
from qdeq.jacobians import jacobian
from qdeq.numbers import between, finite, shown, whole
from qdeq.observables import Observable, Z, check_observables
from qdeq.seeds import Share, draw_seed, torch_generator
from qdeq.torch_modes import own_precision


@dataclass(frozen=True)
class QuantumFunction:
    """A circuit and observables on a backend: inputs and weights to expectations.

    Args:
        circuit: The circuit.
        observables: What to measure; Z on every qubit by default.
        backend: What runs it, by name or as an object.

    Raises:
        CircuitError: An observable that is none, or outside the register.

    Example:
        >>> f = QuantumFunction(Circuit(1, [Gate("RY", 0, Input(0)), Gate("RY", 0, Weight(0))]))
        >>> f([[0.25], [0.5]], [1.0]).shape
        torch.Size([2, 1])
    """

    circuit: Circuit
    observables: tuple[Observable, ...] = ()
    backend: Backend | str = "torch"

    def __post_init__(self) -> None:
        chosen = self.observables or tuple(Z(qubit) for qubit in range(self.circuit.num_qubits))
        object.__setattr__(self, "observables", check_observables(chosen, self.circuit.num_qubits))
        object.__setattr__(self, "backend", get_backend(self.backend))

    def at(self, weights: Tensor, *, shots: int | None = None, key: ShotKey | None = None) -> FrozenFunction:
        """Freeze the weights ``[P]``, for as many evaluations as a solver wants; see :meth:`Backend.at`."""
        assert isinstance(self.backend, Backend)
        return self.backend.at(self.circuit, weights, self.observables, shots=shots, key=key)

    @own_precision
    def __call__(self, inputs: ArrayLike, weights: ArrayLike) -> Tensor:
        """Return the expectations ``[B, O]`` at inputs ``[B, I]`` and weights ``[P]``.

        Either may be a list, or an array of numpy's. Lists and whole numbers take the precision of the tensor that the
        other one is, or PyTorch's default; floating-point arrays keep their own.
        """
        like = next((each for each in (inputs, weights) if isinstance(each, Tensor)), torch.empty(0))
        return self.at(_tensor(weights, "weights", like))(_tensor(inputs, "inputs", like))


def _tensor(values: ArrayLike, what: str, like: Tensor) -> Tensor:
    """Return numbers as a tensor on the device of ``like``, and of its type unless they have a precision of their own.

    Raises:
        CircuitError: They are no numbers, or no array of them.
    """
    if isinstance(values, Tensor):
        return values
    try:
        array = np.asarray(values)
    except (TypeError, ValueError, RuntimeError) as error:  # ragged lists, and lists of tensors that have a graph
        raise CircuitError(f"{what} are a tensor, an array or nested lists of numbers, not {shown(values)}") from error
    if array.dtype.kind not in "iuf":
        raise CircuitError(f"{what} are real numbers, not {shown(values)}")
    kept = isinstance(values, np.ndarray) and array.dtype.kind == "f"
    return torch.tensor(array, dtype=None if kept else like.dtype, device=like.device)


class _Default(Enum):
    MODEL = "the model's own mode"


@dataclass(frozen=True, eq=False)
class Prediction:
    """What the classifier returns.

    Attributes:
        logits: ``[B, K]``.
        equilibrium: What they rest on, and how it was had.
        function: f, whose equilibrium it is: ``f(y, *rows)``; in training with the state's dropout mask among the rows.
        rows: The samples' own arguments of f, the batch first.
        compiled: Whether f runs no circuits; its Jacobian then costs about as much as an evaluation.
    """

    logits: Tensor
    equilibrium: Equilibrated
    function: Function
    rows: tuple[Tensor, ...]
    compiled: bool

    def jacobian(self) -> Tensor:
        """Return ``∂f/∂y`` ``[B, n, n]`` at the equilibrium, without a graph."""
        with torch.no_grad():
            return jacobian(self.function, self.equilibrium.value.detach(), self.rows)


class QDEQClassifier(nn.Module):
    """The paper's classifier: equilibrium of a measured circuit, up-sampled, dropout, ReLU, linear layer.

    Args:
        function: n qubits, n observables, and a number of inputs that n divides.
        num_classes: K.
        equilibrium: The equilibrium layer.
        layers: None to solve for the equilibrium (IMPLICIT); L to apply the circuit L times (DIRECT).
        num_features: I; the circuit's number of inputs by default.
        state_scale: First value of s in ``x + s W y``.
        learn_state_scale: Whether s is trained.
        dropout: Dropout probability before the ReLU.
        state_dropout: Probability that an entry of the fed-back state is dropped, for a whole solve; see
            :class:`~qdeq.dropout.MaskedState`.
        shots: Measurements per circuit; None for exact expectations.
        generator: Source of the first weights (CPU): angles uniform in (-π, π), linear layer as in PyTorch.

    Raises:
        CircuitError: A number is not whole where it has to be, or out of its range; or the features do not fit.
        UnsupportedError: The shots are no whole number.
    """

    def __init__(
        self,
        function: QuantumFunction,
        num_classes: int,
        *,
        equilibrium: Equilibrium | None = None,
        layers: int | None = None,
        num_features: int | None = None,
        state_scale: float = 1.0,
        learn_state_scale: bool = False,
        dropout: float = 0.05,
        state_dropout: float = 0.0,
        shots: int | None = None,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        self.function = function
        self.circuit = function.circuit
        self.state_size = len(function.observables)
        num_classes = whole(num_classes, "num_classes", 1)
        features = self.circuit.num_inputs if num_features is None else whole(num_features, "num_features", 1)
        if features < self.circuit.num_inputs or features % self.state_size:
            raise CircuitError(
                f"{features} features do not fit: the circuit takes {self.circuit.num_inputs} inputs, "
                f"and the {self.state_size} measured values have to divide their number"
            )
        self.equilibrium = equilibrium or Equilibrium()
        self.layers = None if layers is None else whole(layers, "layers", 1)
        self.dropout = _below_one(dropout, "dropout")
        self.state_dropout = _below_one(state_dropout, "state_dropout")
        self.shots = number_of_shots(shots)
        self.weights = nn.Parameter((2 * torch.rand(self.circuit.num_weights, generator=generator) - 1) * math.pi)
        scale = torch.tensor(finite(state_scale, "state_scale"))
        if learn_state_scale:
            self.state_scale: Tensor = nn.Parameter(scale)
        else:
            self.register_buffer("state_scale", scale)
        self.readout = nn.utils.skip_init(nn.Linear, features, num_classes)  # draws nothing from the global generator
        bound = 1 / math.sqrt(features)
        for parameter in (self.readout.weight, self.readout.bias):
            nn.init.uniform_(parameter, -bound, bound, generator=generator)

    @own_precision
    def forward(
        self,
        x: Tensor,
        *,
        layers: int | _Default | None = _Default.MODEL,
        y0: Tensor | None = None,
        generator: torch.Generator | None = None,
        key: ShotKey | None = None,
        share: Share | None = None,
    ) -> Prediction:
        """Classify features.

        Args:
            x: ``[B, I]``.
            layers: Overrides the model's mode for this call: L direct layers, or None for the equilibrium.
            y0: ``[B, n]``, first iterate; zeros by default.
            generator: In training, one number is drawn from it; it names the streams of the state's mask, of the
                read-out's mask and of the Jacobian's random vector, which do not depend on each other.
            key: Names the streams of the shots; the same key gives the same shots.
            share: Which part of a batch these samples are, where processes share it: masks are those of the whole.

        Raises:
            CircuitError: Features of another number or precision than the model's.
        """
        require_tensor(x, "features")
        if x.dim() != 2 or x.shape[1] != self.readout.in_features:
            single = "; one sample alone is x[None]" if x.dim() == 1 else ""
            wanted = f"[batch, {self.readout.in_features}]"
            raise CircuitError(f"the model takes features {wanted}, not {list(x.shape)}{single}")
        if x.dtype != self.weights.dtype:
            raise CircuitError(
                f"the features are {x.dtype}, but the model is {self.weights.dtype}; convert one of them"
            )
        chosen = self.layers if isinstance(layers, _Default) else layers
        if chosen is not None:
            chosen = whole(chosen, "layers", 1)
        frozen = self.function.at(self.weights, shots=self.shots, key=key)
        f, rows = frozen.inject(x, self.state_scale, self.state_size)
        y0 = x.new_zeros(len(x), self.state_size) if y0 is None else y0
        seed = draw_seed(generator) if self.training else 0

        def stream(name: str) -> torch.Generator:
            return torch_generator(seed, name, device=x.device)

        if self.training and self.state_dropout:
            f, rows = MaskedState(f), (keep_mask(y0, self.state_dropout, stream("state-dropout"), share), *rows)
        if chosen is None:
            found = self.equilibrium(f, y0, rows, generator=stream("jacobian") if self.training else None, share=share)
        else:
            found = self.equilibrium.direct(f, y0, rows, layers=chosen)
        z = upsample(found.value, self.readout.in_features)
        if self.training and self.dropout:
            z = z * keep_mask(z, self.dropout, stream("dropout"), share)
        return Prediction(self._read_out(torch.relu(z)), found, f, rows, frozen.compiled)

    def _read_out(self, z: Tensor) -> Tensor:
        """Return the logits ``[B, K]``; NaN for a sample without an equilibrium, which leaves the gradients alone."""
        lost = z.isnan().any(dim=1, keepdim=True)
        if not bool(lost.any()):
            return self.readout(z)
        # 0 x NaN would reach the weights that all samples share
        logits: Tensor = self.readout(z.masked_fill(lost, 0.0)).masked_fill(lost, math.nan)
        return logits


def _below_one(probability: float, what: str) -> float:
    """Return a dropout probability; what is left is divided by ``1 - p``."""
    if between(probability, what, 1.0) == 1.0:
        raise CircuitError(f"{what} must be below 1: at 1 nothing is left")
    return float(probability)
