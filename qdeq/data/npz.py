"""A user's own images, from a NumPy archive."""

from __future__ import annotations

import struct
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from qdeq.data.arrays import channels_first, pixels, read_array
from qdeq.data.base import Images, RawDataset
from qdeq.data.files import DataPath, expanded, most_bytes, open_file
from qdeq.errors import DataError, did_you_mean, printable

_LARGEST_LABEL = 9999
_NUMBER_THEM = "\nNumber the classes: names, labels = numpy.unique(labels, return_inverse=True), and save these labels."


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class NPZ:
    """An ``.npz`` file with the arrays ``images`` and ``labels``, and perhaps ``test_images`` and ``test_labels``.

    Images are [N, H, W] (grey), [N, H, W, C] or [N, C, H, W] with C = 1 or 3. Of four axes the channels are the last or
    the second one, whichever has the length 1 or 3; if both have, nothing is guessed and the file is refused. Integers
    must lie in 0..255 and are later divided by 255; floating-point numbers are taken as they are, by convention in
    [0, 1]; booleans become 0 and 1. Labels are integers from 0 to 9999; their classes are named by their numbers.
    """

    path: DataPath = Field(
        description="The .npz file; a relative path starts at the folder of the experiment file, or of the sweep's."
    )

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
            what = f"not found (looked for {path.absolute()}; in a file a relative path starts at the file's folder)"
        remedy = "Check the path, or save the file anew with numpy.savez_compressed."
        raise DataError(f"{path}: {what}\n{remedy}") from error


def _read_array(path: Path, archive: zipfile.ZipFile, name: str) -> np.ndarray[Any, Any]:
    member = archive.getinfo(f"{name}.npy")
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise DataError(f"{path}: the array {name!r} is packed as numpy never does; save it with savez_compressed")
    # the archive's own figure may lie, too
    most = min(member.file_size, most_bytes(path.stat().st_size))
    return read_array(f"{path}: the array {name!r}", lambda: archive.open(member), most)


def _check_labels(path: Path, name: str, labels: np.ndarray[Any, Any]) -> int:
    """Return the largest label."""
    if labels.ndim != 1 or labels.dtype.kind not in "iu" or labels.size == 0:
        raise DataError(
            f"{path}: {name} is {labels.dtype} of shape {list(labels.shape)}; allowed: integers of shape [N], N >= 1"
            + _NUMBER_THEM * (labels.dtype.kind in "US")
        )
    if labels.min() < 0 or labels.max() > _LARGEST_LABEL:
        first = int(np.flatnonzero((labels < 0) | (labels > _LARGEST_LABEL))[0])
        raise DataError(f"{path}: {name}[{first}] is {labels[first]}; allowed: 0 to {_LARGEST_LABEL}")
    return int(labels.max())


def _images(path: Path, arrays: dict[str, np.ndarray[Any, Any]], prefix: str, class_names: tuple[str, ...]) -> Images:
    name = prefix + "images"
    values = pixels(f"{path}: {name}", channels_first(f"{path}: {name}", arrays[name]))
    try:
        return Images(
            images=torch.from_numpy(np.ascontiguousarray(values)),
            labels=torch.from_numpy(arrays[prefix + "labels"].astype(np.int64)),
            class_names=class_names,
        )
    except DataError as error:
        raise DataError(f"{path}: {name}: {error}") from error
