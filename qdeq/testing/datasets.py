"""The conformance kit of data sets: the same images each time, and an error that helps where there are none."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Iterable, Mapping
from typing import Any
from unittest import mock

from pydantic import ValidationError

from qdeq.data import Dataset, RawDataset, make_dataset
from qdeq.errors import DataError, PluginError
from qdeq.plugins import DATASETS, explain_options
from qdeq.testing.dataset_checks import DATASET_CHECKS
from qdeq.testing.dataset_subject import DatasetSubject
from qdeq.testing.option_checks import given_options
from qdeq.testing.report import DatasetReport, chosen
from qdeq.testing.solver_harness import run_check
from qdeq.testing.surroundings import surroundings_kept

CHECK_NAMES = tuple(DATASET_CHECKS)
"""The checks, in the order in which they run."""


def check_dataset(dataset: str | Mapping[str, Any] | Dataset, *, checks: Iterable[str] | None = None) -> DatasetReport:
    """Check a data set against the contract of data sets. Nothing is downloaded.

    Args:
        dataset: A name, a mapping with options, or a data set. The option ``download`` is turned off where there is
            one, so the files have to be there.
        checks: Names of the checks to run; all of them by default. See :data:`CHECK_NAMES`.

    Returns:
        The report. ``report.raise_if_failed()`` makes it a test.

    Raises:
        QdeqError: There is no such data set or check, or an option is wrong.

    Example:
        >>> check_dataset("digits", checks=["contents", "options"]).ok
        True
    """
    names = chosen(checks, CHECK_NAMES)
    made: Any = make_dataset(dataset) if isinstance(dataset, str | Mapping) else dataset
    options = given_options(made)
    if "download" in options:
        options["download"] = False
        made = type(made)(**options)
    name = dataset if isinstance(dataset, str) else type(made).__name__
    if isinstance(dataset, Mapping):
        name = str(dataset["name"])
    subject = DatasetSubject(made, name)
    with surroundings_kept():
        results = tuple(run_check(DATASET_CHECKS[check], subject) for check in names)
    return DatasetReport(dataset=name, options=options, results=results, **_found(subject))


def _found(subject: DatasetSubject) -> dict[str, Any]:
    try:
        raw = subject.attempt()
    except Exception:  # which `loads` tells
        return {}
    if not isinstance(raw, RawDataset):
        return {}
    return {
        "train": len(raw.train),
        "test": None if raw.test is None else len(raw.test),
        "class_names": raw.train.class_names,
    }


def named_dataset(name: str, options: Mapping[str, Any]) -> Mapping[str, Any] | Dataset:
    """Return the choice of a registered data set, or an object of the class that ``module:Class`` names.

    A class needs no package: its module is looked for in the working folder, too.

    Raises:
        PluginError: There is no such module or class.
        DataError: An option is wrong, or the class is no data set.
    """
    module, colon, attribute = name.partition(":")
    if not colon or module in DATASETS.names():
        return {"name": name, **options}
    try:
        with mock.patch.object(sys, "path", [os.getcwd(), *sys.path]):
            kind = getattr(importlib.import_module(module), attribute)
    except Exception as error:  # a plug-in may fail in any way
        raise PluginError(
            f"data set {name!r} could not be loaded: {type(error).__name__}: {error}\n"
            f"Give MODULE:CLASS, or one that is installed: {', '.join(DATASETS.names())}."
        ) from error
    try:
        made = kind(**options)
    except ValidationError as invalid:
        raise DataError(explain_options(f"data set {name!r}", kind, invalid)) from invalid
    if not isinstance(made, Dataset):
        raise DataError(f"{name} has no method load(), which makes a class a data set")
    return made
