"""Backends by name, with their options checked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from qdeq.backends.base import Backend
from qdeq.errors import BackendError
from qdeq.plugins import BACKENDS


def get_backend(choice: str | Mapping[str, Any] | Backend) -> Backend:
    """Return a backend from its name, or from a mapping ``{"name": ..., option: value, ...}``.

    Raises:
        PluginError: There is no such backend, or it could not be loaded.
        BackendError: An option that it does not have, or a value that it does not take.
    """
    backend: Backend = BACKENDS.build(choice, Backend, BackendError)
    return backend
