"""The scale of pixels: which raw values the training images had, and what is far outside of them.

Integers are divided by 255 and floating-point numbers taken as they are, so that the same picture on another scale
gives other features, and another class. Nothing in an array says which scale was meant; the training images do.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

FAR = 10.0
"""A pixel is far outside where it lies beyond the training range by more than so many times the range's width."""
FAINT = 0.1
"""An image is on a smaller scale, it seems, where its contrast is below this part of the faintest training image's."""
GAP = 50.0
"""Images of one set are on two scales, it seems, where the brightest of some and of the others are so far apart."""
_CONVENTION = (-0.05, 1.05)  # floats that mean 0..1; resampling overshoots a little


@dataclass(frozen=True, kw_only=True)
class PixelScale:
    """The raw values of the training images.

    Attributes:
        integers: Whether they are integers from 0 to 255; else floating-point numbers.
        low: The smallest value.
        high: The largest value.
        faintest: The smallest contrast, ``max - min``, of an image that is not blank; 0 where all are blank.
    """

    integers: bool
    low: float
    high: float
    faintest: float

    @classmethod
    def of(cls, images: Tensor) -> PixelScale:
        """Return the scale of images ``[N, C, H, W]``, uint8 or float32, N >= 1."""
        low, high = _extremes(images)
        contrast = high - low
        visible = contrast[contrast > 0]
        return cls(
            integers=images.dtype == torch.uint8,
            low=float(low.min()),
            high=float(high.max()),
            faintest=float(visible.min()) if len(visible) else 0.0,
        )

    def __str__(self) -> str:
        """Return the scale in words: ``integers from 0 to 255``."""
        return f"{'integers' if self.integers else 'floating-point numbers'} from {self.low:g} to {self.high:g}"

    def refusal(self, images: Tensor) -> str | None:
        """Return why images cannot be meant on this scale, in two lines; None where they can.

        Args:
            images: ``[N, C, H, W]``, uint8 or float32.
        """
        integers = images.dtype == torch.uint8
        if integers:
            if self.integers or self._conventional:
                return None
            return (
                f"integers, which are divided by 255, and the training images are {self}\n"
                "Give them as floating-point numbers on the training images' scale."
            )
        lowest, highest = self._bounds()
        low, high = _extremes(images)
        far = (low < lowest) | (high > highest)
        if not far.any():
            return None
        first = int(far.nonzero()[0])
        remedy = "Bring them to the training images' scale."
        if self.integers or self._conventional:
            remedy = "Floats are taken as they are: divide them by 255, or save integers as uint8."
        return (
            f"image {first} (counted from 0; images like that: {int(far.sum())} of {len(images)}) has values from "
            f"{low[first]:g} to {high[first]:g}, far outside those of training ({self})\n{remedy}"
        )

    def doubt(self, images: Tensor) -> str | None:
        """Return what makes images look as if they were on a smaller scale, in a line; None where nothing does.

        Args:
            images: ``[N, C, H, W]``, uint8 or float32.
        """
        low, high = _extremes(images)
        contrast = (high - low) / self._divisor(images.dtype == torch.uint8)
        faint = (contrast > 0) & (contrast < FAINT * self.faintest / self._divisor(self.integers))
        if not faint.any():
            return None
        first = int(faint.nonzero()[0])
        return (
            f"image {first} (images like that: {int(faint.sum())} of {len(images)}) has values from {low[first]:g} to "
            f"{high[first]:g}, and no training image so little contrast (theirs are {self}): on another scale?"
        )

    @property
    def _conventional(self) -> bool:
        return self.low >= _CONVENTION[0] and self.high <= _CONVENTION[1]

    @staticmethod
    def _divisor(integers: bool) -> float:
        return 255.0 if integers else 1.0

    def _bounds(self) -> tuple[float, float]:
        """Return the least and the largest floating-point value that is not far outside."""
        low, high = self.low, self.high
        if self.integers or self._conventional:
            low, high = 0.0, 1.0
        reach = FAR * (high - low)
        return low - reach, high + reach


def two_scales(images: Tensor) -> str | None:
    """Return what makes images of one set look as if they were on two scales, in a line; None where nothing does."""
    low, high = _extremes(images)
    peaks = torch.maximum(low.abs(), high.abs())[high > low].sort().values
    wide = (peaks[1:] > GAP * peaks[:-1]).nonzero()
    if not len(wide):
        return None
    under = int(wide[-1]) + 1
    return (
        f"{under} images have values up to {peaks[under - 1]:g}, and {len(peaks) - under} from {peaks[under]:g} to "
        f"{peaks[-1]:g}: two scales in one set?"
    )


def _extremes(images: Tensor) -> tuple[Tensor, Tensor]:
    """Return the smallest and the largest value of each image, ``[N]``, float32."""
    low, high = images.flatten(1).aminmax(dim=1)
    return low.to(torch.float32), high.to(torch.float32)
