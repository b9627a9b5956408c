"""Labels as people save them: in a column, one-hot, as whole floats, as names; made into numbers and class names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from qdeq.data.arrays import Array
from qdeq.errors import DataError, is_hidden, printable

LARGEST_LABEL = 9999
_LONGEST_NAME = 100
_NUMBER_THEM = "Number the classes: names, labels = numpy.unique(labels, return_inverse=True), and save these labels."

IntArray = np.ndarray[Any, np.dtype[np.int64]]


def class_labels(parts: Mapping[str, Array]) -> tuple[dict[str, IntArray], tuple[str, ...]]:
    """Return labels [N], int64, from 0, and the names of their classes.

    Names are numbered in alphabetical order; numbers, also those written as text, keep their value and are the names.

    Args:
        parts: Labels by what they are called in messages, of one data set: integers, whole floating-point numbers,
            booleans or text, [N] or [N, 1]; or one-hot, [N, K].

    Raises:
        DataError: They are something else, outside 0 to 9999, or text in one part and numbers in another.
    """
    columns = {what: _column(what, array) for what, array in parts.items()}
    texts = [what for what, column in columns.items() if column.dtype.kind == "U"]
    if texts and len(texts) < len(columns):
        raise DataError(f"{texts[0]} are text, and others of the data set are numbers\n{_NUMBER_THEM}")
    if texts and not all(np.char.isdecimal(column).all() for column in columns.values()):
        return _numbered(columns)
    numbers = {what: _whole(what, column) for what, column in columns.items()}
    largest = max(int(labels.max()) for labels in numbers.values())
    return numbers, tuple(str(label) for label in range(largest + 1))


def _column(what: str, labels: Array) -> Array:
    """Return labels [N] of text or of numbers."""
    shape, kind = list(labels.shape), labels.dtype.kind
    if kind not in "iufbSU" or labels.ndim not in (1, 2) or labels.size == 0:
        raise DataError(
            f"{what} is {labels.dtype} of shape {shape}; allowed: integers of shape [N], N >= 1\n"
            "Whole floats, text, [N, 1] and one-hot [N, K] are understood, too."
        )
    if kind == "S":
        labels = np.char.decode(labels, "utf-8", "replace")
    if labels.ndim == 1:
        return labels
    if shape[1] == 1:
        return labels[:, 0]
    if kind in "SU":
        raise DataError(f"{what} is text of shape {shape}; allowed: one label an image, [N] or [N, 1]")
    wrong = ((labels != 0) & (labels != 1)).any(axis=1) | ((labels == 1).sum(axis=1) != 1)
    if wrong.any():
        first = int(np.flatnonzero(wrong)[0])
        raise DataError(
            f"{what} of shape {shape} is not one-hot: row {first} is not a single 1 beside zeros\n"
            "An image has one label: probabilities become labels by labels.argmax(axis=1); of several, choose a column."
        )
    return np.asarray(labels.argmax(axis=1))


def _whole(what: str, labels: Array) -> IntArray:
    if labels.dtype.kind == "U":
        labels = labels.astype(np.float64)  # exact for all that is allowed, and no text is too long for it
    if labels.dtype.kind == "f" and not (whole := labels == np.floor(labels)).all():
        first = int(np.flatnonzero(~whole)[0])
        raise DataError(f"{what}[{first}] is {labels[first]:g}; allowed: whole numbers from 0 to {LARGEST_LABEL}")
    if labels.min() < 0 or labels.max() > LARGEST_LABEL:
        first = int(np.flatnonzero((labels < 0) | (labels > LARGEST_LABEL))[0])
        raise DataError(f"{what}[{first}] is {labels[first]:.10g}; allowed: 0 to {LARGEST_LABEL}")
    return labels.astype(np.int64)


def _numbered(columns: Mapping[str, Array]) -> tuple[dict[str, IntArray], tuple[str, ...]]:
    names = np.unique(np.concatenate(list(columns.values())))
    bad = [name for name in names.tolist() if not name or len(name) > _LONGEST_NAME or any(map(is_hidden, name))]
    if bad or len(names) > LARGEST_LABEL + 1:
        what = next(iter(columns))
        why = f"has the class name {printable(bad[0])!r}" if bad else f"names {len(names):,} classes"
        raise DataError(
            f"{what} {why}; allowed: {LARGEST_LABEL + 1:,} printable names of 1 to {_LONGEST_NAME} characters"
        )
    numbers = {what: np.searchsorted(names, column).astype(np.int64) for what, column in columns.items()}
    return numbers, tuple(names.tolist())
