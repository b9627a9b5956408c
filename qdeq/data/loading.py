"""From a data set's name, with options or without, to its images."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from qdeq.data.base import Dataset, RawDataset
from qdeq.errors import DataError, PluginError
from qdeq.plugins import DATASETS


def make_dataset(choice: str | Mapping[str, Any]) -> Dataset:
    """Return the data set plug-in with its options checked; nothing is read yet.

    Args:
        choice: A name, ``"mnist"``, or a mapping with ``name`` and options, ``{"name": "mnist", "download": False}``.

    Raises:
        DataError: The mapping has no name, an unknown option, lacks one or has one out of range.
        PluginError: There is no such data set, or its plug-in cannot be imported.
    """
    dataset: Dataset = DATASETS.build(choice, Dataset, DataError)
    return dataset


def load_dataset(choice: str | Mapping[str, Any]) -> RawDataset:
    """Read a data set; see `make_dataset` for how to name it.

    Raises:
        DataError: An option is wrong, or the data are missing or damaged.
        PluginError: There is no such data set, its plug-in cannot be imported, or it breaks its contract.
    """
    raw = make_dataset(choice).load()
    if not isinstance(raw, RawDataset):
        raise PluginError(f"data set {choice!r}: load() returned {type(raw).__name__}, not a qdeq.data.RawDataset")
    return raw
