"""Backends: whatever can turn a circuit, its inputs and its weights into expectations."""

from qdeq.backends.base import Backend, Capabilities, Expectation
from qdeq.backends.function import FrozenFunction
from qdeq.backends.registry import get_backend
from qdeq.backends.sampling import ShotKey

__all__ = ["Backend", "Capabilities", "Expectation", "FrozenFunction", "ShotKey", "get_backend"]
