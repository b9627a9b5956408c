"""What a process has once for everybody: random generators, defaults of PyTorch, warnings, the environment.

A plug-in that changes any of it changes what other code does, far away. The kits look for that, and put it back.
"""

from __future__ import annotations

import os
import random
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch


@dataclass(frozen=True)
class Setting:
    """One part of the surroundings.

    Attributes:
        name: What it is, for messages.
        get: Returns its value; values can be compared by ``==``.
        put: Sets it to what ``get`` returned.
    """

    name: str
    get: Callable[[], Any]
    put: Callable[[Any], None]


def _torch_generator() -> bytes:
    return torch.get_rng_state().numpy().tobytes()


def _put_torch_generator(state: bytes) -> None:
    torch.set_rng_state(torch.frombuffer(bytearray(state), dtype=torch.uint8))


def _cuda_generators() -> list[bytes]:
    if not torch.cuda.is_initialized():
        return []
    return [state.numpy().tobytes() for state in torch.cuda.get_rng_state_all()]


def _put_cuda_generators(states: list[bytes]) -> None:
    for device, state in enumerate(states):
        torch.cuda.set_rng_state(torch.frombuffer(bytearray(state), dtype=torch.uint8), device)


def _numpy_generator() -> tuple[Any, ...]:
    kind, keys, *rest = np.random.get_state(legacy=True)
    return (kind, tuple(np.asarray(keys).tolist()), *rest)


def _put_deterministic(state: tuple[bool, bool]) -> None:
    torch.use_deterministic_algorithms(state[0], warn_only=state[1])


def _put_grad_mode(enabled: bool) -> None:
    torch.set_grad_enabled(enabled)


def _put_numpy_errors(state: Any) -> None:
    np.seterr(**state)


def _put_anomaly(state: tuple[bool, bool]) -> None:
    torch.autograd.set_detect_anomaly(*state)


def _flushes_denormal() -> bool:
    return bool(torch.full((1,), 1e-310, dtype=torch.float64).mul(0.5).eq(0).all())


def _put_flush_denormal(flushes: bool) -> None:
    torch.set_flush_denormal(flushes)


def _put_environment(values: dict[str, str]) -> None:
    os.environ.clear()
    os.environ.update(values)


def _put_filters(filters: list[Any]) -> None:
    warnings.filters[:] = filters  # type: ignore[index]
    warnings._filters_mutated()  # type: ignore[attr-defined]


SETTINGS = (
    Setting("PyTorch's global random generator", _torch_generator, _put_torch_generator),
    Setting("CUDA's global random generators", _cuda_generators, _put_cuda_generators),
    Setting("NumPy's global random generator", _numpy_generator, np.random.set_state),
    Setting("the global generator of the module random", random.getstate, random.setstate),
    Setting("PyTorch's default dtype", torch.get_default_dtype, torch.set_default_dtype),
    Setting("PyTorch's default device", torch.get_default_device, torch.set_default_device),
    Setting("PyTorch's grad mode", torch.is_grad_enabled, _put_grad_mode),
    Setting("PyTorch's number of threads", torch.get_num_threads, torch.set_num_threads),
    Setting(
        "PyTorch's choice of deterministic algorithms",
        lambda: (torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()),
        _put_deterministic,
    ),
    Setting(
        "PyTorch's precision of matrix products",
        torch.get_float32_matmul_precision,
        torch.set_float32_matmul_precision,
    ),
    Setting(
        "PyTorch's anomaly detection",
        lambda: (torch.is_anomaly_enabled(), torch.is_anomaly_check_nan_enabled()),
        _put_anomaly,
    ),
    Setting("the flushing of denormal numbers", _flushes_denormal, _put_flush_denormal),
    Setting("NumPy's handling of floating-point errors", np.geterr, _put_numpy_errors),
    Setting("the filters of warnings", lambda: list(warnings.filters), _put_filters),
    Setting("the environment variables", lambda: dict(os.environ), _put_environment),
    Setting("the working directory", os.getcwd, os.chdir),
)
"""What is watched."""

Surroundings = dict[str, Any]
"""The value of each setting, by its name."""


def surroundings() -> Surroundings:
    """Return all settings as they are now."""
    return {setting.name: setting.get() for setting in SETTINGS}


def changed_since(before: Surroundings) -> list[str]:
    """Return the names of the settings that are not what they were, and put them back."""
    changed = [setting for setting in SETTINGS if setting.get() != before[setting.name]]
    for setting in changed:
        setting.put(before[setting.name])
    return [setting.name for setting in changed]


@contextmanager
def surroundings_kept() -> Iterator[None]:
    """Put everything back at the end, whatever ran within."""
    before = surroundings()
    try:
        yield
    finally:
        changed_since(before)


@contextmanager
def unusual_generators() -> Iterator[None]:
    """Have the global generators in states that no seed that anybody chooses gives, so that a new seed shows."""
    with surroundings_kept():
        torch.manual_seed(0x5EED_0F_0DD)
        np.random.seed(0x0DD_5EED)
        random.seed("a seed that nobody chooses")
        torch.rand(3), np.random.random(3), random.random()
        yield
