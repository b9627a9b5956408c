"""Finds tensors that a solver makes on the host, without an accelerator: what would fail on one fails here."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

_MARK = "_qdeq_host"
_MOVES: frozenset[Any] = frozenset({Tensor.to, Tensor.copy_, Tensor.__getitem__, Tensor.__setitem__})
"""What takes a host tensor beside one of another device: moves, and indices."""
_CARRIERS: frozenset[Any] = frozenset({Tensor.to, Tensor.cpu})
_TO_NUMPY: tuple[Any, ...] = (Tensor.numpy, Tensor.__array__)


class HostWatch(TorchFunctionMode):
    """Follows tensors that a function made from none without ``device=``, or with a device given as text.

    They are on the host, wherever y is. To make one is no mistake, but to let it meet a tensor of y's device is, unless
    it is moved there first; so is to read that device's memory by NumPy without ``cpu()``. Tensors without a dimension
    go with any device. What ``torch.from_numpy`` and the class ``torch.Tensor`` make is not seen.

    Args:
        found: Where mistakes are noted.
    """

    def __init__(self, found: list[str]) -> None:
        super().__init__()
        self._found = found

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Call ``func``, and note what would fail."""
        options = kwargs or {}
        given = list(_tensors([args, list(options.values())]))
        host = [tensor for tensor in given if on_host(tensor)]
        elsewhere = [tensor for tensor in given if not on_host(tensor)]
        name = getattr(func, "__name__", str(func))
        if func in _TO_NUMPY and elsewhere:
            self._found.append(f"{name} of a tensor that may be on another device")
        if host and any(tensor.dim() for tensor in elsewhere) and func not in _MOVES:
            self._found.append(f"{name} of a tensor on the host and one that may be on another device")
        result = func(*args, **options)
        if isinstance(result, Tensor) and result.dim():
            if func in _CARRIERS and any(result is tensor for tensor in given):
                result = result.view_as(result)  # there was nowhere to carry it; the view has a mark of its own
            device = options.get("device", next((arg for arg in args if isinstance(arg, torch.device)), None))
            to_text = isinstance(device, str) or (func is Tensor.to and isinstance(args[-1], str))
            carried = isinstance(device, torch.device) or bool(elsewhere)
            if to_text or func is Tensor.cpu or not carried:
                setattr(result, _MARK, True)
        return result


def on_host(tensor: Tensor) -> bool:
    """Whether a tensor is followed as one on the host."""
    return getattr(tensor, _MARK, False)


def _tensors(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _tensors(item)
