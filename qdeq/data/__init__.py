"""Data sets and feature maps.

    raw = load_dataset("mnist")
    splits = prepare(raw, classes=[0, 3, 6, 9], size=4)
    features, labels = splits.train

A data set of your own is an ``.npz`` file (``{"name": "npz", "path": ...}``) or a plug-in (`Dataset`).
"""

from qdeq.data.base import Dataset, Images, RawDataset
from qdeq.data.features import FeatureMap, grayscale, pixel_statistics
from qdeq.data.loading import load_dataset, make_dataset
from qdeq.data.scale import PixelScale
from qdeq.data.splits import FeatureSplits, Split, prepare

__all__ = [
    "Dataset",
    "FeatureMap",
    "FeatureSplits",
    "Images",
    "PixelScale",
    "RawDataset",
    "Split",
    "grayscale",
    "load_dataset",
    "make_dataset",
    "pixel_statistics",
    "prepare",
]
