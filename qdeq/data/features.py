"""Feature maps: from images to the n x n numbers that a circuit on n qubits encodes.

The order is fixed: grey, scaled to [0, 1], resized, normalised, pooled. Normalising comes before pooling because the
paper's 10 x 10 pooling pads with zeros, which stand for the mean grey only then.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor
from torch.nn import functional

from qdeq.errors import DataError, did_you_mean

FeatureMapKind = Literal["paper", "pool"]

_PAPER_SIDE = 28
_LUMA = (0.2989, 0.587, 0.114)
_CHUNK_VALUES = 1 << 22  # 16 MB of float32: an image set is never held as a whole in float32 at full resolution


@dataclass(frozen=True, kw_only=True)
class FeatureMap:
    """Images [N, C, H, W] to features [N, n²], float32; feature i is row i // n, column i % n of the pooled image.

    Args:
        size: n, the side of the pooled image, which is also the number of qubits; at least 2.
        kind: ``"paper"``: the published maps of 28 x 28 pixels (other sizes are first resized to that), for n = 4
            average pooling of 6 x 6, and for n = 10 of 5 x 5 with stride 3 and zero padding 2, the padding counted.
            ``"pool"``: adaptive average pooling to n x n, for any n.
        mean: Subtracted from the grey values.
        std: The differences are divided by it.

    Resizing is bilinear with antialiasing; ``"pool"`` resizes only where the image is smaller than n x n.

    Raises:
        DataError: An unknown kind, a size that it does not have, or a mean or std that cannot be used.
    """

    size: int
    kind: FeatureMapKind = "paper"
    mean: float = 0.0
    std: float = 1.0

    def __post_init__(self) -> None:
        if self.kind not in get_args(FeatureMapKind):
            raise DataError(
                f"unknown feature map {self.kind!r}; allowed: {', '.join(get_args(FeatureMapKind))}."
                f"{did_you_mean(self.kind, get_args(FeatureMapKind))}"
            )
        if self.kind == "paper" and self.size not in (4, 10):
            raise DataError(
                f"the feature map 'paper' has only the sizes 4 and 10, not {self.size}\n"
                "Use the feature map 'pool', which has every size from 2."
            )
        if self.size < 2:
            raise DataError(f"features need a size of at least 2, not {self.size}")
        if not (math.isfinite(self.mean) and math.isfinite(self.std) and self.std > 0):
            raise DataError(
                f"cannot normalise by mean {self.mean} and std {self.std}: both finite and std > 0 are needed"
            )

    def __call__(self, images: Tensor) -> Tensor:
        """Return the features [N, n²], float32, of images [N, C, H, W], uint8 or float32."""
        # a chunk's memory is that of what it is resized to, which may be far more than it has itself
        parts = [self._features(part) for part in _chunks(images, math.prod(self._side(*images.shape[2:])))]
        return torch.cat(parts) if parts else torch.empty(0, self.size**2)

    def _features(self, images: Tensor) -> Tensor:
        grey = grayscale(images)
        side = self._side(*grey.shape[2:])
        if grey.shape[2:] != side:
            grey = functional.interpolate(grey, side, mode="bilinear", align_corners=False, antialias=True)
        normal = (grey - self.mean) / self.std
        if self.kind == "pool":
            pooled = functional.adaptive_avg_pool2d(normal, self.size)
        elif self.size == 4:
            pooled = functional.avg_pool2d(normal, 6)
        else:
            pooled = functional.avg_pool2d(normal, 5, stride=3, padding=2)
        return pooled.flatten(1)

    def _side(self, height: int, width: int) -> tuple[int, int]:
        """Return the height and width to which such images are resized."""
        if self.kind == "paper":
            return _PAPER_SIDE, _PAPER_SIDE
        return max(height, self.size), max(width, self.size)


def grayscale(images: Tensor) -> Tensor:
    """Return grey values [N, 1, H, W], float32.

    uint8 is divided by 255, float32 taken as it is. RGB becomes 0.2989 R + 0.587 G + 0.114 B (ITU-R BT.601 with the
    rounding that torchvision, and thus the paper's code, has; white becomes 0.9999).

    Args:
        images: [N, C, H, W], uint8 or float32, C = 1 or 3.
    """
    values = images.to(torch.float32) / 255 if images.dtype == torch.uint8 else images
    if values.shape[1] == 1:
        return values
    red, green, blue = values.unbind(dim=1)
    return (_LUMA[0] * red + _LUMA[1] * green + _LUMA[2] * blue).unsqueeze(1)


def pixel_statistics(images: Tensor) -> tuple[float, float]:
    """Return the mean and the standard deviation (of the population) of all grey values, at the images' own resolution.

    Args:
        images: [N, C, H, W], uint8 or float32.

    Raises:
        DataError: All pixels are equal, so that nothing can be normalised.
    """
    pixels = math.prod((images.shape[0], *images.shape[2:]))
    mean = math.fsum(float(grayscale(part).sum(dtype=torch.float64)) for part in _chunks(images)) / pixels
    # A second pass: the difference of two sums would lose the digits of a small spread about a large mean.
    squares = (float((grayscale(part).to(torch.float64) - mean).square().sum()) for part in _chunks(images))
    std = math.sqrt(math.fsum(squares) / pixels)
    if std <= 4 * torch.finfo(torch.float32).eps * abs(mean):
        raise DataError(
            f"all pixels of the training images have the value {mean:.6g}, so there is nothing to normalise or learn\n"
            "Check the images; or give the mean and the standard deviation as numbers."
        )
    return mean, std


def _chunks(images: Tensor, values: int = 1) -> Iterator[Tensor]:
    """Return the images in parts; ``values`` is how many numbers one takes, if more than its own."""
    size = max(1, _CHUNK_VALUES // max(1, values, math.prod(images.shape[1:])))
    return iter(images.split(size)) if len(images) else iter(())
