"""Data sets: whether they are there, where they are looked for, and whether they are the published ones."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

from qdeq.doctor.finding import Finding

if TYPE_CHECKING:
    from qdeq.data.stored import StoredDataset


def datasets() -> Iterator[Finding]:
    """Look at the data folder, and at qdeq's own data sets; nothing is downloaded."""
    from qdeq.data import make_dataset
    from qdeq.data.stored import DATA_VARIABLE, StoredDataset
    from qdeq.errors import QdeqError
    from qdeq.plugins import DATASETS, installed

    named = os.environ.get(DATA_VARIABLE)
    if named and not os.path.isdir(os.path.expanduser(named)):
        yield Finding("data", DATA_VARIABLE, "broken", f"{named}: no such folder", f"make it, or unset {DATA_VARIABLE}")
    else:
        yield Finding("data", DATA_VARIABLE, "ok", named or "not set: data sets lie in the user's cache")
    for plugin in installed(DATASETS):
        if not plugin.ok:
            continue  # told of among the plug-ins
        try:
            dataset = make_dataset(plugin.name)
        except QdeqError:
            yield Finding("data", plugin.name, "ok", "takes options that name your own data")
            continue
        if isinstance(dataset, StoredDataset):
            yield _stored(plugin.name, dataset)
        elif plugin.package.partition(" ")[0] == "qdeq":
            images = dataset.load().train
            yield Finding("data", plugin.name, "ok", f"{len(images):,} images, comes with a package", required=True)


def _stored(name: str, dataset: StoredDataset) -> Finding:
    from qdeq.data import load_dataset
    from qdeq.errors import DataError

    folder, sample, missing = dataset.search()
    if len(missing) == len(dataset.files):
        mend = "it is downloaded when it is first used, or put its files there"
        return Finding(
            "data", name, "missing", f"not in {folder}", mend if dataset.download else dataset.remedy(folder)
        )
    try:
        raw = load_dataset({"name": name, "download": False})
    except DataError as error:
        first, _, second = str(error).partition("\n")
        return Finding("data", name, "broken", first, second or None)
    altered = None if sample else dataset.altered(folder)
    if altered:
        what = f"{folder}: not the published files: {', '.join(altered)}"
        return Finding("data", name, "broken", what, "delete them to have them downloaded again")
    test = f" + {len(raw.test):,}" if raw.test else ""
    kind = "a sample" if sample else "as published" if altered is not None else "sizes and labels are right"
    return Finding("data", name, "ok", f"{folder}: {len(raw.train):,}{test} images, {kind}")
