"""From a published data set to training, validation and test features."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor

from qdeq.data.base import Images, RawDataset
from qdeq.data.features import FeatureMap, FeatureMapKind, pixel_statistics
from qdeq.data.scale import PixelScale, two_scales
from qdeq.errors import DataError

IntArray = np.ndarray[Any, np.dtype[np.int64]]


class Split(NamedTuple):
    """Features [N, n²], float32, and labels [N], int64, from 0 to K - 1."""

    features: Tensor
    labels: Tensor


@dataclass(frozen=True, eq=False)
class FeatureSplits:
    """What an experiment trains, chooses and reports on.

    Args:
        train: For the gradients.
        validation: For choosing a checkpoint or an option.
        test: For the report alone.
        class_names: K names; label k is ``class_names[k]``.
        name: The data set's name; it tells a sample from the whole.
        feature_map: How images became features, with the mean and standard deviation that normalise grey values.
        pixels: The raw values of the training images.
        digests: SHA-256 of each split's raw images and labels, by ``train``, ``validation`` and ``test``: the same on
            every machine, wherever the files lie.
        test_images: ``[N]``, int64: which images the test ones are, by their positions in the data set's official test
            split; where it has none, in its training images.
        notes: What looks wrong with the images and may yet be meant, a line each.
    """

    train: Split
    validation: Split
    test: Split
    class_names: tuple[str, ...]
    name: str
    feature_map: FeatureMap
    pixels: PixelScale
    digests: Mapping[str, str]
    test_images: Tensor
    notes: tuple[str, ...] = ()

    @property
    def parts(self) -> tuple[Split, Split, Split]:
        """Training, validation and test."""
        return self.train, self.validation, self.test

    @property
    def normalisation(self) -> tuple[float, float]:
        """Mean and standard deviation by which the grey values were normalised."""
        return self.feature_map.mean, self.feature_map.std


def prepare(
    raw: RawDataset,
    *,
    size: int,
    classes: Sequence[int] | None = None,
    feature_map: FeatureMapKind = "paper",
    normalise: Literal["train"] | tuple[float, float] = "train",
    split_seed: int = 0,
    validation_fraction: float = 0.2,
    test_fraction: float = 0.2,
    limit: int | None = None,
) -> FeatureSplits:
    """Select classes, split, normalise and pool. The same arguments give the same splits.

    Args:
        raw: The data set.
        size: n; there are n² features, for n qubits.
        classes: Labels to keep; they become 0..K-1 in the given order. None: all that occur.
        feature_map: ``"paper"`` or ``"pool"``, see `FeatureMap`.
        normalise: ``"train"``: by mean and standard deviation of the training split's grey values; or these two numbers
            (the paper: 0.1307, 0.3081).
        split_seed: Decides which images go where, and nothing else.
        validation_fraction: Part of the images that are not for test; stratified.
        test_fraction: Part of all images, stratified; not used where there is an official test split.
        limit: At most so many training images, as balanced as the classes allow; validation and test stay whole.

    Raises:
        DataError: A class that is not there, too few images for the split, or a feature map that cannot be used.
    """
    kept = _check_classes(raw, classes)
    # Built twice: what is impossible is refused before the work of splitting.
    _feature_map(size, feature_map, (0.0, 1.0) if normalise == "train" else normalise)
    for name, fraction in (("validation_fraction", validation_fraction), ("test_fraction", test_fraction)):
        if not 0 < fraction < 1:
            raise DataError(f"{name} must lie between 0 and 1, not {fraction}")

    names = tuple(raw.train.class_names[label] for label in kept)
    rows, labels = _select(raw.train, kept)
    rest: IntArray = np.arange(len(labels))
    if raw.test is None:
        rest, cut = _stratify(rest, labels, test_fraction, split_seed, names, "test")
        tested, test_rows, test_labels = raw.train, rows[cut], labels[cut]
    else:
        tested = raw.test
        test_rows, test_labels = _select(raw.test, kept)
        if len(test_labels) == 0:
            raise DataError(f"{raw.name}: no test image has any of the classes {kept}")
    train, validation = _stratify(rest, labels, validation_fraction, split_seed, names, "validation")
    if limit is not None:
        train = _balanced(train, labels, limit, len(names))

    images = {
        "train": raw.train.images[rows[train]],
        "validation": raw.train.images[rows[validation]],
        "test": tested.images[test_rows],
    }
    targets = {"train": labels[train], "validation": labels[validation], "test": test_labels}
    pixels, notes = _check_scales(raw, images)
    mean, std = pixel_statistics(images["train"]) if normalise == "train" else normalise
    features = _feature_map(size, feature_map, (mean, std))
    return FeatureSplits(
        **{name: Split(features(part), targets[name]) for name, part in images.items()},
        class_names=names,
        name=raw.name,
        feature_map=features,
        pixels=pixels,
        digests={name: digest_images(part, targets[name]) for name, part in images.items()},
        test_images=test_rows,
        notes=raw.notes + notes,
    )


def digest_images(images: Tensor, labels: Tensor) -> str:
    """Return the SHA-256 of images and labels: of types, shapes and bytes, in hexadecimal."""
    total = hashlib.sha256()
    for tensor in (images, labels):
        total.update(f"{tensor.dtype} {list(tensor.shape)}\n".encode())
        total.update(tensor.contiguous().flatten().view(torch.uint8).numpy().data)
    return total.hexdigest()


def _check_scales(raw: RawDataset, images: Mapping[str, Tensor]) -> tuple[PixelScale, tuple[str, ...]]:
    """Return the training images' scale, and what looks wrong with it or with the other splits' scales."""
    pixels = PixelScale.of(images["train"])
    doubts = {"train": two_scales(images["train"])}
    for split in ("validation", "test"):
        refusal = pixels.refusal(images[split])
        if refusal and split == "test" and raw.test is not None:
            raise DataError(f"{raw.name}: the test images: {refusal}")
        # cut off from the training images, a part of them is on the same scale: an image may be an outlier
        doubts[split] = refusal.partition("\n")[0] if refusal else pixels.doubt(images[split])
    return pixels, tuple(f"{raw.name}: {split} images: {doubt}" for split, doubt in doubts.items() if doubt)


def _feature_map(size: int, kind: FeatureMapKind, normalisation: tuple[float, float]) -> FeatureMap:
    if isinstance(normalisation, str) or len(normalisation) != 2:
        raise DataError(f"normalise must be 'train' or a pair of numbers (mean, std), not {normalisation!r}")
    return FeatureMap(size=size, kind=kind, mean=normalisation[0], std=normalisation[1])


def _check_classes(raw: RawDataset, classes: Sequence[int] | None) -> list[int]:
    present = raw.train.labels.unique().tolist()
    allowed = ", ".join(str(label) for label in present)
    if classes is None:
        # With the test images' classes: one that is only there must be refused, not silently left out of the test.
        tested = [] if raw.test is None else raw.test.labels.unique().tolist()
        classes = sorted({*present, *tested})
    for position, label in enumerate(classes):
        if label not in present:
            raise DataError(f"{raw.name}: there are no training images of the class {label!r}; allowed: {allowed}")
        if label in classes[:position]:
            raise DataError(f"{raw.name}: the class {label} is listed twice; allowed, once each: {allowed}")
    if len(classes) < 2:
        raise DataError(f"{raw.name}: at least two classes are needed, not {len(classes)}; allowed: {allowed}")
    return [int(label) for label in classes]


def _select(images: Images, classes: list[int]) -> tuple[Tensor, Tensor]:
    """Return which images are of the classes, and their labels by position in ``classes``."""
    position = torch.full((len(images.class_names),), -1)
    position[classes] = torch.arange(len(classes))
    labels = position[images.labels]
    rows = (labels >= 0).nonzero().squeeze(1)
    return rows, labels[rows]


def _stratify(
    indices: IntArray, labels: Tensor, fraction: float, seed: int, names: Sequence[str], purpose: str
) -> tuple[IntArray, IntArray]:
    """Cut the fraction off, each class in proportion; every class must be left with images in both parts."""
    from sklearn.model_selection import train_test_split  # here, so that importing qdeq.data stays fast

    classes = labels.numpy()[indices]
    counts = np.bincount(classes, minlength=len(names))
    scarcest = int(counts.argmin())
    few = (
        f"too few images for a {purpose} split of {fraction:g} that has every class: "
        f"class {names[scarcest]!r} has only {counts[scarcest]}\n"
        f"Add images, leave the class out, or change {purpose}_fraction."
    )
    try:
        rest, cut = train_test_split(indices, test_size=fraction, random_state=seed, stratify=classes)
    except ValueError as error:
        raise DataError(few) from error
    if any((np.bincount(labels.numpy()[part], minlength=len(names)) == 0).any() for part in (rest, cut)):
        raise DataError(few)
    return rest, cut


def _balanced(indices: IntArray, labels: Tensor, limit: int, classes: int) -> IntArray:
    """Return the first ``limit`` of the indices, taken from the classes in turn."""
    if limit < classes:
        raise DataError(f"limit must be at least {classes}, one training image for each class, not {limit}")
    own = labels.numpy()[indices]
    rank = np.empty(len(own), dtype=np.int64)
    for label in range(classes):
        rank[own == label] = np.arange((own == label).sum())
    return indices[np.sort(np.argsort(rank, kind="stable")[:limit])]
