"""Images without labels, from files of several formats; a file's content says which, whatever its name."""

from __future__ import annotations

import io
import os
import struct
import warnings
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from qdeq.data.arrays import Array, channels_first, picture_shape, pixels, read_array
from qdeq.data.base import MAX_SIDE, Images
from qdeq.data.files import GZIP, as_path, expanded, open_file
from qdeq.data.foreign import recognise
from qdeq.data.idx import read_idx
from qdeq.errors import DataError, printable

MAX_FILE_BYTES = 1 << 30
FORMATS = "PNG, JPEG, .npy, IDX (gzipped or not)"
_MAX_PIXELS = 1 << 26
_DAMAGED = (OSError, SyntaxError, ValueError, EOFError, TypeError, struct.error, zlib.error)  # what Pillow may raise


def read_images(path: str | Path) -> Tensor:
    """Read the images in a file.

    * PNG and JPEG hold one image. Grey ones have one channel, all others three; 16-bit grey is scaled to [0, 1]. The
      orientation that a camera notes is applied.
    * ``.npy`` holds an array [H, W], or several images as in an ``.npz`` data set (`qdeq.data.npz.NPZ`).
    * An IDX file, gzipped or not, holds images as MNIST has them.

    Args:
        path: The file.

    Returns:
        [N, C, H, W], uint8 in 0..255 or float32, C = 1 or 3; what a `qdeq.data.FeatureMap` takes.

    Raises:
        DataError: The file is missing, damaged, of another format, or a pixel of it is not finite.
    """
    path = expanded(as_path(path, "read_images", "For an array take qdeq.data.pictures.array_images."))
    try:
        with open_file(path) as file:
            if (size := os.fstat(file.fileno()).st_size) > MAX_FILE_BYTES:
                raise DataError(f"{path}: holds {size:,} bytes; at most {MAX_FILE_BYTES:,} are read")
            begin = file.read(8)
    except (OSError, ValueError) as error:
        raise error if isinstance(error, DataError) else _unreadable(path, error) from error
    if begin.startswith((b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff")):
        images = _picture(path)
    elif begin.startswith(b"\x93NUMPY"):
        images = _array(path, size)
    elif begin.startswith((GZIP, b"\0\0")):
        images = _idx(path)
    else:
        foreign = recognise(path)
        if foreign is not None and foreign.images:
            raise DataError(f"{path}: is {foreign.kind}\n{foreign.as_npy(path)}")
        kind = f" but {foreign.kind}" if foreign else " of a known format"
        raise DataError(f"{path}: is no image{kind}\nAllowed are {FORMATS}.")
    return _checked(str(path), images)


def array_images(array: Any, what: str = "the array") -> Tensor:
    """Return an array of one image ``[H, W]``, or of several as in an ``.npz`` data set, as :func:`read_images` does.

    Args:
        array: Of NumPy or PyTorch, or nested lists; integers in 0..255, floating-point numbers or booleans.
        what: It is called so in messages.

    Returns:
        [N, C, H, W], uint8 in 0..255 or float32, C = 1 or 3.

    Raises:
        DataError: It has another shape, it cannot be told which axis holds channels, or a pixel cannot be used.
    """
    if isinstance(array, str | os.PathLike):
        raise DataError(
            f"{array!r} is a path, not an array of images\nRead the file with qdeq.data.pictures.read_images."
        )
    try:
        values = array.detach().cpu().numpy() if isinstance(array, Tensor) else np.asarray(array)
    except (ValueError, TypeError) as error:  # nested lists of different lengths; a type that NumPy lacks
        raise DataError(f"{what} cannot be read as numbers ({printable(str(error))})") from error
    return _checked(what, _stacked(what, values))


def _checked(what: str, images: Tensor) -> Tensor:
    """Return the images if they pass the checks of a data set; there are no labels here."""
    try:
        return Images(images=images, labels=torch.zeros(len(images), dtype=torch.int64), class_names=("",)).images
    except DataError as error:
        raise DataError(f"{what}: {error}") from error


def _picture(path: Path) -> Tensor:
    from PIL import Image, ImageOps, UnidentifiedImageError

    try:
        with open_file(path) as file, warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(file, formats=("PNG", "JPEG")) as opened:
                width, height = opened.size
                if max(width, height) > MAX_SIDE or width * height > _MAX_PIXELS:
                    raise DataError(f"{path}: has {height} x {width} pixels, which is too large; scale it down")
                picture = ImageOps.exif_transpose(opened)
                picture.load()
    except (*_DAMAGED, Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        if isinstance(error, DataError):
            raise
        damaged = isinstance(error, UnidentifiedImageError)  # its text names an object in memory
        raise DataError(f"{path}: is a damaged image") if damaged else _unreadable(path, error) from error
    if picture.has_transparency_data:
        alpha = np.asarray(picture.convert("RGBA"))[:, :, 3]
        if alpha.min() < 255:
            raise DataError(f"{path}: has transparent pixels, and nothing says what is behind them\nFill them.")
    if picture.mode.startswith("I") or picture.mode == "F":  # 16 bits, which Pillow's own conversion would cut off
        values = np.asarray(picture).astype(np.float32) / 65535
    else:
        values = np.asarray(picture.convert("L" if picture.mode in ("1", "L", "LA") else "RGB"))
    stacked = values[None, None] if values.ndim == 2 else np.moveaxis(values, 2, 0)[None]
    return torch.from_numpy(np.array(stacked))


def _array(path: Path, size: int) -> Tensor:
    try:
        with open_file(path) as file:
            content = file.read(size)
    except OSError as error:
        raise _unreadable(path, error) from error
    return _stacked(f"{path}: the array", read_array(f"{path}: the array", lambda: io.BytesIO(content), size))


def _stacked(what: str, array: Array) -> Tensor:
    """Return one image or several as [N, C, H, W]."""
    if array.ndim == 2:
        height, width = array.shape
        if height != width and (way := picture_shape(width)):
            raise DataError(
                f"{what}: the shape {list(array.shape)} may be {height} pictures, a row each, or one picture\n"
                f"Give pictures as array.reshape({way}), and one of {height} x {width} pixels as array[None]."
            )
        array = array[None]
    elif array.ndim == 3 and array.shape[2] in (1, 3):
        raise DataError(
            f"{what}: the shape {list(array.shape)} may be one image with channels, or several narrow ones\n"
            "Give one image as [1, H, W, C], several as [N, H, W]."
        )
    return torch.from_numpy(np.ascontiguousarray(pixels(what, channels_first(what, array))))


def _idx(path: Path) -> Tensor:
    try:
        return read_idx(path, dimensions=3).unsqueeze(1)
    except DataError as error:  # its remedy is for a data set's own files
        raise DataError(str(error).partition("\n")[0]) from error


def _unreadable(path: Path, error: Exception) -> DataError:
    if isinstance(error, FileNotFoundError):
        return DataError(f"{path}: not found")
    why = (isinstance(error, OSError) and error.strerror) or printable(str(error))
    return DataError(f"{path}: cannot be read ({why})")
