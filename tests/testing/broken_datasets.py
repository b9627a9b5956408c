"""A right data set, small; and one data set for each mistake that the kit has to find."""

from __future__ import annotations

import contextlib
import dataclasses
import random
import socket
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from qdeq.data import Images, RawDataset
from qdeq.errors import DataError

options = dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
NAMES = ("vertical", "horizontal")


def stripes(count, seed):
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(count) % 2
    pattern = (torch.arange(8) % 4 < 2).float().expand(8, 8)
    clean = torch.where(labels[:, None, None] == 0, pattern, pattern.T)
    return 0.7 * clean[:, None] + 0.3 * torch.rand(count, 1, 8, 8, generator=generator), labels


@options
class Good:
    """Stripes with noise, training and test images."""

    count: int = Field(default=60, ge=20, description="Number of training images.")

    def load(self):
        return self.made(*(Images(*stripes(n, seed), NAMES) for n, seed in ((self.count, 0), (30, 1))))

    def made(self, train, test):
        return RawDataset("stripes", train, test)


@options
class GoodFiles:
    """One file of NumPy's."""

    path: Path = Field(description="The file.")

    def load(self):
        try:
            images = np.load(self.path, allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            raise DataError(f"{self.path} cannot be read ({error})\nSave the images by numpy.save.") from error
        labels = torch.arange(len(images)) % 2
        return RawDataset("file", Images(torch.from_numpy(images), labels, NAMES))


@options
class ReturnsATuple(Good):
    def load(self):
        return stripes(self.count, 0)


@options
class Raises(Good):
    def load(self):
        raise KeyError("images")


@options
class NaNAfterTheCheck(Good):
    def made(self, train, test):
        train.images[3, 0, 2, 2] = torch.nan
        return RawDataset("stripes", train, test)


@options
class LabelsWithoutNames(Good):
    def made(self, train, test):
        test.labels[-1] = 2
        return RawDataset("stripes", train, test)


@options
class WithGradient(Good):
    def made(self, train, test):
        train.images.requires_grad_()
        return RawDataset("stripes", train, test)


@options
class OneClass(Good):
    def made(self, train, test):
        train.labels.zero_()
        return RawDataset("stripes", train, test)


@options
class SameNames(Good):
    def made(self, train, test):
        same = ("stripes", "stripes")
        return RawDataset("stripes", Images(train.images, train.labels, same), Images(test.images, test.labels, same))


@options
class TestsOnTraining(Good):
    def made(self, train, test):
        test.images[::2] = train.images[: len(test) : 2]
        return RawDataset("stripes", train, test)


@options
class DrawsAnew(Good):
    """A generator that nobody seeds."""

    def made(self, train, test):
        train.images.add_(torch.from_numpy(np.random.default_rng().random(train.images.shape, dtype=np.float32)))
        return RawDataset("stripes", train, test)


@options
class DrawsFromTheGlobalGenerator(Good):
    def made(self, train, test):
        train.images.add_(torch.rand_like(train.images))
        return RawDataset("stripes", train, test)


@options
class SeedsTheGlobalGenerator(Good):
    def made(self, train, test):
        torch.manual_seed(0)
        return RawDataset("stripes", train, test)


@options
class ShufflesByRandom(Good):
    def made(self, train, test):
        random.shuffle([0, 1])
        return RawDataset("stripes", train, test)


_KEPT = {}


@options
class HandsOutItsCache(Good):
    def load(self):
        return _KEPT.setdefault(self.count, super().load())


@options
class AsksTheNetwork(Good):
    """Looks whether there is a newer version; goes on where there is no network."""

    def load(self):
        with contextlib.suppress(OSError):
            socket.create_connection(("data.example", 443)).close()
        return super().load()


@options
class CrashesWithoutItsFile(GoodFiles):
    def load(self):
        images = np.load(self.path, allow_pickle=False)
        return RawDataset("file", Images(torch.from_numpy(images), torch.arange(len(images)) % 2, NAMES))


@options
class HelpsNobody(GoodFiles):
    def load(self):
        try:
            return super().load()
        except DataError as error:
            raise DataError("no data") from error


@options
class InventsWhatIsMissing(GoodFiles):
    def load(self):
        try:
            return super().load()
        except DataError:
            return Good().load()


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="ignore"))
class SwallowsOptions(Good):
    pass


@dataclass(kw_only=True, config=ConfigDict(extra="forbid"))
class NotFrozen:
    count: int = Field(default=60, ge=20, description="Number of training images.")

    def load(self):
        return Good(count=self.count).load()


@options
class UndescribedOption(Good):
    noise: float = 0.3


@dataclasses.dataclass(frozen=True, kw_only=True)
class UncheckedOptions:
    """The standard library's dataclass checks nothing."""

    load = NotFrozen.load
    count: Annotated[int, Field(ge=20, description="Number of training images.")] = 60
    noise: Annotated[int, Field(ge=1, description="Unused.")] = 1


class NoDataclass:
    def load(self):
        return Good().load()


@options
class TooRare(Good):
    """One image of the second class: no split has it on both sides."""

    def made(self, train, test):
        train.labels.zero_()
        train.labels[0] = 1
        return RawDataset("stripes", train, test)


BROKEN = {
    ReturnsATuple: "loads",
    Raises: "loads",
    NaNAfterTheCheck: "contents",
    LabelsWithoutNames: "contents",
    WithGradient: "contents",
    OneClass: "contents",
    SameNames: "contents",
    TestsOnTraining: "disjoint",
    DrawsAnew: "purity",
    DrawsFromTheGlobalGenerator: "purity",
    SeedsTheGlobalGenerator: "purity",
    ShufflesByRandom: "purity",
    HandsOutItsCache: "purity",
    AsksTheNetwork: "network",
    CrashesWithoutItsFile: "missing-files",
    HelpsNobody: "missing-files",
    InventsWhatIsMissing: "missing-files",
    SwallowsOptions: "options",
    NotFrozen: "options",
    UndescribedOption: "options",
    UncheckedOptions: "options",
    NoDataclass: "options",
    TooRare: "prepares",
}
"""Each broken data set, and the check named for its mistake."""
