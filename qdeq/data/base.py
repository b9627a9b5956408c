"""What a data set is: images with labels, an official test split or none, and the contract of a data set plug-in.

A plug-in is a frozen, keyword-only pydantic dataclass of options with a ``load`` method, registered under the
entry-point group ``qdeq.datasets``. It only reads; selecting classes, splitting and pooling are the same for all and
happen in `qdeq.data.prepare`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from qdeq.data.arrays import picture_shape
from qdeq.errors import DataError

MAX_SIDE = 16_384
"""Pixels; a strip of a million pixels in one row would be blown up by pooling it to n x n."""


@dataclass(frozen=True, eq=False)
class Images:
    """Labelled images, checked when built.

    Args:
        images: [N, C, H, W], C = 1 (grey) or 3 (RGB); uint8 in 0..255, or float32, by convention in [0, 1].
        labels: [N], int64; label k is the class ``class_names[k]``.
        class_names: One name per label, whether or not it occurs.

    Raises:
        DataError: Shapes, types or lengths do not fit, there are no images, or they are a pixel high or wide; a label
            has no name, or a pixel is not finite.
    """

    images: Tensor
    labels: Tensor
    class_names: tuple[str, ...]

    def __post_init__(self) -> None:
        images, labels = self.images, self.labels
        if images.ndim != 4 or images.shape[1] not in (1, 3) or images.numel() == 0:
            raise DataError(
                f"images have the shape {list(images.shape)}; "
                "allowed: [N, C, H, W] with at least one image and pixel, and C = 1 or 3"
            )
        if max(images.shape[2:]) > MAX_SIDE:
            raise DataError(f"images have {images.shape[2]} x {images.shape[3]} pixels; at most {MAX_SIDE} a side")
        if min(images.shape[2:]) == 1:
            way = picture_shape(images.shape[2] * images.shape[3])
            raise DataError(
                f"images have {images.shape[2]} x {images.shape[3]} pixels: rows of numbers, no pictures\n"
                + (f"Make them pictures, array.reshape({way}); or give" if way else "Give")
                + " them as features [B, I] to a qdeq.QDEQClassifier."
            )
        if images.dtype not in (torch.uint8, torch.float32):
            raise DataError(f"images have the type {images.dtype}; allowed: torch.uint8 and torch.float32")
        if labels.ndim != 1 or labels.dtype != torch.int64:
            raise DataError(
                f"labels are {labels.dtype} of shape {list(labels.shape)}; allowed: torch.int64 of shape [N]"
            )
        if len(labels) != len(images):
            raise DataError(
                f"there are {len(images)} images but {len(labels)} labels; each image needs exactly one label"
            )
        unnamed = (labels < 0) | (labels >= len(self.class_names))
        if unnamed.any():
            first = int(unnamed.nonzero()[0])
            raise DataError(
                f"image {first} (counted from 0) has the label {int(labels[first])}; "
                f"allowed: 0 to {len(self.class_names) - 1}"
            )
        if images.is_floating_point():
            _require_finite(images)

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.labels)


@dataclass(frozen=True, eq=False)
class RawDataset:
    """A data set as it was published: nothing selected, split, scaled or pooled yet.

    Args:
        name: For reports; it says so where only a sample of the published set was found, ``"cifar10 (sample)"``, or
            other files in its place, ``"mnist (not the published files)"``.
        train: The published training images, or all images.
        test: The published test images; None if there is no official test split, so that one has to be cut off.
        notes: What a user has to know of the files, a line each.

    Raises:
        DataError: Training and test images name their classes differently.
    """

    name: str
    train: Images
    test: Images | None = None
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.test is not None and self.test.class_names != self.train.class_names:
            raise DataError(f"{self.name}: training and test images have different class names")


@runtime_checkable
class Dataset(Protocol):
    """A data set plug-in: options, and one method that reads."""

    def load(self) -> RawDataset:
        """Read the data set, downloading it first if its options allow that.

        Raises:
            DataError: It is missing, damaged or not what it claims to be.
        """
        ...


def _require_finite(images: Tensor) -> None:
    # isfinite needs a byte per pixel: in one go for all images that is little beside the float32 images themselves.
    finite = torch.isfinite(images).flatten(1).all(dim=1)
    if not finite.all():
        first = int((~finite).nonzero()[0])
        raise DataError(
            f"image {first} (counted from 0) has a pixel that is not a finite float32 number "
            f"(images like that: {int((~finite).sum())}); mend them or leave them out"
        )
