"""The test images of an experiment as they are in the data set, and pictures of them within a page."""

from __future__ import annotations

import base64
import io
from typing import Any

import numpy as np
import torch
from torch import Tensor

from qdeq.data import load_dataset
from qdeq.training.metrics import FloatArray

PIXELS = 64
"""Longest side of an embedded picture; a larger image is reduced to it."""


def pictures_of(dataset: dict[str, Any], chosen: Tensor) -> Tensor:
    """Return test images ``[B, C, h, w]``, float32, by convention in [0, 1], reduced to :data:`PIXELS`.

    Args:
        dataset: The data set, as a spec has it.
        chosen: ``[B]``, which ones: of :attr:`qdeq.data.FeatureSplits.test_images`.

    Raises:
        DataError: The data are no longer there.
    """
    raw = load_dataset(dataset)
    images = (raw.train if raw.test is None else raw.test).images[chosen]
    scaled = images.float() / 255 if images.dtype == torch.uint8 else images
    height, width = scaled.shape[2:]
    if max(height, width) > PIXELS:
        size = tuple(max(1, round(side * PIXELS / max(height, width))) for side in (height, width))
        scaled = torch.nn.functional.interpolate(scaled, size, mode="bilinear", align_corners=False, antialias=True)
    return scaled


def data_uri(image: FloatArray) -> str:
    """Return a picture as a ``data:`` URI, a PNG.

    Args:
        image: ``[h, w]`` grey or ``[3, h, w]``; 0 is black and 1 white, what lies beyond is cut off.
    """
    from matplotlib.image import imsave

    grey = np.broadcast_to(image, (3, *image.shape[-2:])) if image.shape[:1] != (3,) or image.ndim == 2 else image
    pixels = np.ascontiguousarray(np.moveaxis(np.round(np.clip(grey, 0, 1) * 255), 0, 2).astype(np.uint8))
    file = io.BytesIO()
    imsave(file, pixels, format="png")
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()
