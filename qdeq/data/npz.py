"""A user's own images, from a NumPy archive."""

from __future__ import annotations

import io
import math
import struct
import tokenize
import zipfile
import zlib
from pathlib import Path
from typing import IO, Any

import numpy as np
import torch
from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from qdeq.data.base import Images, RawDataset
from qdeq.data.files import DataPath, expanded, most_bytes, open_file
from qdeq.errors import DataError, did_you_mean, printable

_LARGEST_LABEL = 9999
_LONGEST_HEADER = 10_000
_format = np.lib.format


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class NPZ:
    """An ``.npz`` file with the arrays ``images`` and ``labels``, and perhaps ``test_images`` and ``test_labels``.

    Images are [N, H, W] (grey), [N, H, W, C] or [N, C, H, W] with C = 1 or 3. Of four axes the channels are the last or
    the second one, whichever has the length 1 or 3; if both have, nothing is guessed and the file is refused. Integers
    must lie in 0..255 and are later divided by 255; floating-point numbers are taken as they are, by convention in
    [0, 1]; booleans become 0 and 1. Labels are integers from 0 to 9999; their classes are named by their numbers.
    """

    path: DataPath = Field(description="The .npz file; a relative path starts at the working directory.")

    def load(self) -> RawDataset:
        """Read the file; pickled objects are refused.

        Raises:
            DataError: It is missing, damaged, lacks an array, or an array is not as described above.
        """
        path = expanded(self.path)
        arrays = _read(path)
        largest = max(_check_labels(path, name, arrays[name]) for name in ("labels", "test_labels") if name in arrays)
        class_names = tuple(str(label) for label in range(largest + 1))
        parts = [_images(path, arrays, prefix, class_names) for prefix in ("", "test_") if prefix + "images" in arrays]
        return RawDataset(name=path.stem, train=parts[0], test=parts[1] if len(parts) > 1 else None)


def _read(path: Path) -> dict[str, np.ndarray[Any, Any]]:
    wanted = ("images", "labels", "test_images", "test_labels")
    try:
        with open_file(path) as file, zipfile.ZipFile(file) as archive:
            present = [name.removesuffix(".npy") for name in archive.namelist() if name.endswith(".npy")]
            missing = [name for name in wanted[:2] if name not in present]
            if ("test_images" in present) != ("test_labels" in present):
                missing += [name for name in wanted[2:] if name not in present]
            if missing:
                raise DataError(
                    f"{path}: lacks the array {missing[0]!r}; "
                    f"it holds: {printable(', '.join(sorted(present))) or 'nothing'}."
                    f"{did_you_mean(missing[0], present)}\n"
                    "Save it with numpy.savez_compressed(path, images=..., labels=...), "
                    "and test_images=... and test_labels=... if you like."
                )
            return {name: _read_array(path, archive, name) for name in wanted if name in present}
    except (OSError, zipfile.BadZipFile, EOFError, zlib.error, RuntimeError, ValueError, struct.error) as error:
        if isinstance(error, DataError):
            raise
        what = f"cannot be read as an .npz file ({printable(str(error))})"
        if isinstance(error, FileNotFoundError):
            what = f"not found (looked for {path.absolute()}; a path is relative to where you run qdeq)"
        remedy = "Check the path, or save the file anew with numpy.savez_compressed."
        raise DataError(f"{path}: {what}\n{remedy}") from error


def _read_array(path: Path, archive: zipfile.ZipFile, name: str) -> np.ndarray[Any, Any]:
    member = archive.getinfo(f"{name}.npy")
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise DataError(f"{path}: the array {name!r} is packed as numpy never does; save it with savez_compressed")
    try:
        with archive.open(member) as file:
            shape, dtype = _read_header(file)
        if min(shape, default=0) < 0:
            raise ValueError(f"its shape is {list(shape)}")
        # numpy allocates what the header says before it reads; a header that lies must not get that far. Neither may
        # the archive's own figure.
        most = min(member.file_size, most_bytes(path.stat().st_size))
        if not dtype.hasobject and math.prod(shape) * dtype.itemsize > most:
            raise DataError(f"{path}: the array {name!r} claims the shape {list(shape)}, more than the file holds")
        with archive.open(member) as file:
            return np.asarray(_format.read_array(file, allow_pickle=False))
    except (ValueError, TypeError, OverflowError, MemoryError, tokenize.TokenError, SyntaxError) as error:
        if isinstance(error, DataError):
            raise
        first = printable((str(error).splitlines() or [type(error).__name__])[0])
        raise DataError(
            f"{path}: the array {name!r} cannot be read ({first})\n"
            "Save it as a plain array of numbers, with numpy.savez_compressed; pickled objects are never loaded."
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


def _check_labels(path: Path, name: str, labels: np.ndarray[Any, Any]) -> int:
    """Return the largest label."""
    if labels.ndim != 1 or labels.dtype.kind not in "iu" or labels.size == 0:
        raise DataError(
            f"{path}: {name} is {labels.dtype} of shape {list(labels.shape)}; allowed: integers of shape [N], N >= 1"
        )
    if labels.min() < 0 or labels.max() > _LARGEST_LABEL:
        first = int(np.flatnonzero((labels < 0) | (labels > _LARGEST_LABEL))[0])
        raise DataError(f"{path}: {name}[{first}] is {labels[first]}; allowed: 0 to {_LARGEST_LABEL}")
    return int(labels.max())


def _images(path: Path, arrays: dict[str, np.ndarray[Any, Any]], prefix: str, class_names: tuple[str, ...]) -> Images:
    name = prefix + "images"
    pixels = _pixels(path, name, _channels_first(path, name, arrays[name]))
    try:
        return Images(
            images=torch.from_numpy(np.ascontiguousarray(pixels)),
            labels=torch.from_numpy(arrays[prefix + "labels"].astype(np.int64)),
            class_names=class_names,
        )
    except DataError as error:
        raise DataError(f"{path}: {name}: {error}") from error


def _channels_first(path: Path, name: str, array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    if array.ndim == 3:
        return array[:, None]
    last, second = (array.ndim == 4 and array.shape[axis] in (1, 3) for axis in (3, 1))
    if last == second:
        why = ", where both the second and the last axis could be the channels" if last else ""
        raise DataError(
            f"{path}: {name} has the shape {list(array.shape)}{why}\n"
            "Allowed are [N, H, W], [N, H, W, C] and [N, C, H, W], C = 1 or 3."
        )
    return np.moveaxis(array, 3, 1) if last else array


def _pixels(path: Path, name: str, array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Return the array as uint8, if it holds integers, or as float32."""
    if array.dtype == np.uint8:
        return array
    if array.dtype.kind in "iu":
        outside = (array < 0) | (array > 255)
        if outside.any():
            first = int(np.flatnonzero(outside.reshape(len(array), -1).any(axis=1))[0])
            raise DataError(f"{path}: {name}[{first}] has a pixel outside 0 to 255, which integers must lie in")
        return array.astype(np.uint8)
    if array.dtype.kind in "fb":
        with np.errstate(over="ignore"):  # what overflows becomes infinite, which Images reports with its index
            return array.astype(np.float32)
    raise DataError(f"{path}: {name} is {array.dtype}; allowed: integers, floating-point numbers and booleans")
