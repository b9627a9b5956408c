"""Arrays in NumPy's file format: read without trust, and made into pixels."""

from __future__ import annotations

import io
import math
import struct
import tokenize
from collections.abc import Callable
from typing import IO, Any

import numpy as np

from qdeq.errors import DataError, printable

_LONGEST_HEADER = 10_000
_SMALLEST_SIDE = 4
_CIFAR_ROW = 3 * 32 * 32
_format = np.lib.format

Array = np.ndarray[Any, Any]


def read_array(what: str, opened: Callable[[], IO[bytes]], most: int) -> Array:
    """Read an array of numbers; pickled objects are refused.

    Args:
        what: It is called so in messages.
        opened: Opens it, at its beginning; called twice.
        most: Bytes that its values may take.

    Raises:
        DataError: It is damaged, larger, or no plain array.
    """
    try:
        with opened() as file:
            shape, dtype = _read_header(file)
        if min(shape, default=0) < 0:
            raise ValueError(f"its shape is {list(shape)}")
        # numpy allocates what the header says before it reads; a header that lies must not get that far
        if not dtype.hasobject and math.prod(shape) * dtype.itemsize > most:
            raise DataError(f"{what} claims the shape {list(shape)}, more than the file holds")
        with opened() as file:
            return np.asarray(_format.read_array(file, allow_pickle=False))
    except (ValueError, TypeError, OverflowError, MemoryError, tokenize.TokenError, SyntaxError, struct.error) as error:
        if isinstance(error, DataError):
            raise
        first = printable((str(error).splitlines() or [type(error).__name__])[0])
        raise DataError(
            f"{what} cannot be read ({first})\n"
            "Save it as an array of numbers, with numpy.save or savez_compressed; pickled objects are never loaded."
        ) from error


def _read_header(file: IO[bytes]) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """Return shape and type. The header is parsed by numpy, which would read gigabytes of it before it minds."""
    version = _format.read_magic(file)
    form = "<H" if version == (1, 0) else "<I"
    size = file.read(struct.calcsize(form))
    (length,) = struct.unpack(form, size)
    if length > _LONGEST_HEADER:
        raise ValueError(f"its header is {length} bytes long")
    parse = _format.read_array_header_1_0 if version == (1, 0) else _format.read_array_header_2_0
    shape, _, dtype = parse(io.BytesIO(size + file.read(length)))
    return shape, dtype


def channels_first(what: str, array: Array) -> Array:
    """Return images as [N, C, H, W].

    Raises:
        DataError: They are not [N, H, W], [N, H, W, C] or [N, C, H, W], C = 1 or 3, or it cannot be told which.
    """
    if array.ndim == 3:
        return array[:, None]
    last, second = (array.ndim == 4 and array.shape[axis] in (1, 3) for axis in (3, 1))
    if last == second:
        why = ", where both the second and the last axis could be the channels" if last else ""
        way = picture_shape(array.shape[-1]) if array.ndim in (1, 2) else None
        raise DataError(
            f"{what} has the shape {list(array.shape)}{why}\n"
            "Allowed are [N, H, W], [N, H, W, C] and [N, C, H, W], C = 1 or 3"
            + (f": array.reshape({way}) makes rows into pictures." if way else ".")
        )
    return np.moveaxis(array, 3, 1) if last else array


def picture_shape(length: int) -> str | None:
    """Return how rows of so many numbers are made into pictures, the arguments of ``reshape``; None if nothing fits.

    A square of grey values; or what CIFAR has, three planes of 32 x 32.
    """
    side = math.isqrt(length)
    if side >= _SMALLEST_SIDE and side * side == length:
        return f"-1, {side}, {side}"
    return "-1, 3, 32, 32" if length == _CIFAR_ROW else None


def pixels(what: str, array: Array) -> Array:
    """Return the array as uint8, if it holds integers, or as float32.

    Raises:
        DataError: It holds something else, or integers outside 0 to 255.
    """
    if array.dtype == np.uint8:
        return array
    if array.dtype.kind in "iu":
        outside = (array < 0) | (array > 255)
        if outside.any():
            first = int(np.flatnonzero(outside.reshape(len(array), -1).any(axis=1))[0])
            raise DataError(f"{what}[{first}] has a pixel outside 0 to 255, which integers must lie in")
        return array.astype(np.uint8)
    if array.dtype.kind in "fb":
        with np.errstate(over="ignore"):  # what overflows becomes infinite, which Images reports with its index
            return array.astype(np.float32)
    raise DataError(f"{what} is {array.dtype}; allowed: integers, floating-point numbers and booleans")
