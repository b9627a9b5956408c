"""Backends that are wrong on purpose, and one that only draws other shots."""

from dataclasses import replace

import torch

from qdeq.backends import ShotKey
from qdeq.backends.function import FrozenFunction
from qdeq.backends.torch import TorchBackend
from qdeq.errors import UnsupportedError


class Fine(TorchBackend):
    name = "fine"


class WrongValue(TorchBackend):
    """Weights a little off: everything differs."""

    name = "wrong_value"

    def at(self, circuit, weights, observables, **options):
        return super().at(circuit, weights + 1e-4, observables, **options)


class WrongGradient(TorchBackend):
    """The gradient in the weights has the wrong size; the function is right."""

    name = "wrong_gradient"

    def at(self, circuit, weights, observables, **options):
        scaled = weights + 1e-3 * (weights - weights.detach())
        return super().at(circuit, scaled, observables, **options)


class _Tilted(FrozenFunction):
    def __init__(self, function):
        self.function = function

    def __call__(self, inputs):
        return self.function(inputs)

    def jacobian(self, inputs, *, create_graph=False):
        return self.function.jacobian(inputs, create_graph=create_graph) * (1 + 1e-3)


class WrongJacobian(TorchBackend):
    """The Jacobian has the wrong size; values and autograd are right."""

    name = "wrong_jacobian"

    def at(self, circuit, weights, observables, **options):
        return _Tilted(super().at(circuit, weights, observables, **options))


class NotANumber(TorchBackend):
    name = "not_a_number"

    def at(self, circuit, weights, observables, **options):
        function = super().at(circuit, weights, observables, **options)

        class Broken(FrozenFunction):
            def __call__(self, inputs):
                return function(inputs) * torch.nan

        return Broken()


class Raises(TorchBackend):
    name = "raises"

    def at(self, circuit, weights, observables, **options):
        raise ZeroDivisionError("a bug")


class Refuses(TorchBackend):
    name = "refuses"

    def at(self, circuit, weights, observables, **options):
        raise UnsupportedError("backend 'refuses' has no gate RX; torch has it")


class OtherShots(TorchBackend):
    """Right, with a generator of its own, as a device would be."""

    name = "other_shots"

    def evaluate(self, circuits, inputs, weights, observables, *, shots=None, key=None, part=0):
        own = None if key is None else replace(key, seed=ShotKey(seed=key.seed + 12345).seed)
        return super().evaluate(circuits, inputs, weights, observables, shots=shots, key=own, part=part)


class ReadoutError(TorchBackend):
    """Every measured bit is flipped with a probability of 5 %."""

    name = "readout_error"

    def evaluate(self, circuits, inputs, weights, observables, **options):
        values, errors = super().evaluate(circuits, inputs, weights, observables, **options)
        return 0.9 * values, errors
