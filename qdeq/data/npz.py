"""A user's own images, from a NumPy archive."""

from __future__ import annotations

import struct
import zipfile
import zlib
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from qdeq.data.arrays import Array, channels_first, pixels, read_array
from qdeq.data.base import Images, RawDataset
from qdeq.data.files import DataPath, expanded, most_bytes, open_file
from qdeq.data.foreign import recognise
from qdeq.data.labels import IntArray, class_labels
from qdeq.errors import DataError, did_you_mean, printable


class _Names(NamedTuple):
    """What images and labels are called, of each part."""

    train: tuple[str, str]
    test: tuple[str, str]
    validation: tuple[str, str] | None = None


_LAYOUTS = (
    _Names(("images", "labels"), ("test_images", "test_labels")),
    _Names(("train_images", "train_labels"), ("test_images", "test_labels"), ("val_images", "val_labels")),
    _Names(("x_train", "y_train"), ("x_test", "y_test")),
)
"""Our own, MedMNIST's and Keras'."""


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class NPZ:
    """An ``.npz`` file with the arrays ``images`` and ``labels``, and perhaps ``test_images`` and ``test_labels``.

    Images are [N, H, W] (grey), [N, H, W, C] or [N, C, H, W] with C = 1 or 3. Of four axes the channels are the last or
    the second one, whichever has the length 1 or 3; if both have, nothing is guessed and the file is refused. Integers
    must lie in 0..255 and are later divided by 255; floating-point numbers are taken as they are, by convention in
    [0, 1]; booleans become 0 and 1. Labels are whole numbers from 0 to 9999, [N] or [N, 1], and their classes are named
    by them; or one-hot, [N, K]; or text, the classes' names in alphabetical order.

    MedMNIST's names (``train_images``, ``val_images``, ...) and Keras' (``x_train``, ``y_train``, ...) do as well.
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
        names, arrays = _read(path)
        notes = _join_validation(path, names, arrays)
        parts = [pair for pair in (names.train, names.test) if pair[0] in arrays]
        labels, class_names = class_labels({f"{path}: {name}": arrays[name] for _, name in parts})
        made = [
            _images(f"{path}: {images}", arrays[images], labels[f"{path}: {name}"], class_names)
            for images, name in parts
        ]
        return RawDataset(name=path.stem, train=made[0], test=made[1] if len(made) > 1 else None, notes=notes)


def _read(path: Path) -> tuple[_Names, dict[str, Array]]:
    """Return what the arrays are called in the file, and those that there are."""
    try:
        with open_file(path) as file, zipfile.ZipFile(file) as archive:
            present = [name.removesuffix(".npy") for name in archive.namelist() if name.endswith(".npy")]
            names = next((names for names in _LAYOUTS if {*names.train} & {*present}), _LAYOUTS[0])
            pairs = [names.train, *(pair for pair in (names.test, names.validation) if pair and {*pair} & {*present})]
            wanted = [name for pair in pairs for name in pair]
            missing = [name for name in wanted if name not in present]
            if missing:
                raise DataError(
                    f"{path}: lacks the array {missing[0]!r}; "
                    f"it holds: {printable(', '.join(sorted(present))) or 'nothing'}."
                    f"{did_you_mean(missing[0], present)}\n"
                    "Save it with numpy.savez_compressed(path, images=..., labels=...), "
                    "and test_images=... and test_labels=... if you like."
                )
            return names, {name: _read_array(path, archive, name) for name in wanted}
    except (OSError, zipfile.BadZipFile, EOFError, zlib.error, RuntimeError, ValueError, struct.error) as error:
        if isinstance(error, DataError):
            raise
        if isinstance(error, FileNotFoundError):
            what = f"not found (looked for {path.absolute()}; in a file a relative path starts at the file's folder)"
            remedy = "Check the path, or save the file anew with numpy.savez_compressed."
        elif foreign := recognise(path):
            what, remedy = f"is no .npz file but {foreign.kind}", foreign.as_npz(path)
        else:
            what = f"cannot be read as an .npz file ({printable(str(error))})"
            remedy = "Check the path, or save the file anew with numpy.savez_compressed."
        raise DataError(f"{path}: {what}\n{remedy}") from error


def _join_validation(path: Path, names: _Names, arrays: dict[str, Array]) -> tuple[str, ...]:
    """Join the validation part, if there is one, to the training part in place; return a note of it."""
    if names.validation is None or names.validation[0] not in arrays:
        return ()
    for train, validation in zip(names.train, names.validation, strict=True):
        first, second = arrays[train], arrays[validation]
        if first.dtype.kind != second.dtype.kind or first.ndim == 0 or first.shape[1:] != second.shape[1:]:
            named = ((validation, second), (train, first))
            described = (f"{name} is {array.dtype} of shape {list(array.shape)}" for name, array in named)
            raise DataError(
                f"{path}: {', and '.join(described)}\n"
                "Give both the same type and the same shape but for the number of images."
            )
        arrays[train] = np.concatenate([first, second])
    return (f"{path}: {names.validation[0]} are joined to {names.train[0]}, of which a validation split is cut off",)


def _read_array(path: Path, archive: zipfile.ZipFile, name: str) -> Array:
    member = archive.getinfo(f"{name}.npy")
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise DataError(f"{path}: the array {name!r} is packed as numpy never does; save it with savez_compressed")
    # the archive's own figure may lie, too
    most = min(member.file_size, most_bytes(path.stat().st_size))
    return read_array(f"{path}: the array {name!r}", lambda: archive.open(member), most)


def _images(what: str, array: Array, labels: IntArray, class_names: tuple[str, ...]) -> Images:
    values = pixels(what, channels_first(what, array))
    try:
        return Images(
            images=torch.from_numpy(np.ascontiguousarray(values)),
            labels=torch.from_numpy(labels),
            class_names=class_names,
        )
    except DataError as error:
        raise DataError(f"{what}: {error}") from error
