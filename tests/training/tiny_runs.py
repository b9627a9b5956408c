"""A spec that trains in a second, and what reads its metrics."""

import json

import torch

from qdeq.data import FeatureMap, PixelScale
from qdeq.spec import ExperimentSpec, parse_spec
from qdeq.training import Machine, RunFolder, RunRecord

torch.set_num_threads(1)  # the tensors are tiny: more threads only wait for each other


def tiny_spec(**sections) -> ExperimentSpec:
    """Two epochs of four steps on 60 digits, the last batch of an epoch being smaller; keywords update the sections."""
    data = {
        "name": "tiny",
        "data": {"dataset": "digits", "classes": [0, 3, 6, 9], "limit": 60},
        "solver": {"name": "broyden", "rtol": 1e-3},
        "training": {"epochs": 2, "batch_size": 16, "learning_rate": 0.03},
    }
    for key, value in sections.items():
        data[key] = {**data.get(key, {}), **value} if isinstance(value, dict) else value
    return parse_spec(data, "tiny")


def tiny_record(spec=None) -> RunRecord:
    """What a run knows of itself, without data."""
    spec = spec or tiny_spec()
    splits = ("train", "validation", "test")
    return RunRecord(
        identity=spec.identity(),
        class_names=("0", "3", "6", "9"),
        feature_map=FeatureMap(size=4, kind="pool", mean=0.3, std=0.4),
        pixels=PixelScale(integers=False, low=0.0, high=1.0, faintest=0.9),
        data="digits",
        sizes=dict.fromkeys(splits, 60),
        digests=dict.fromkeys(splits, "ab" * 32),
        machine=Machine.here(spec),
    )


def read_metrics(folder, kind=None):
    records = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [record for record in records if kind in (None, record["kind"])]


def untimed(records):
    return [{key: value for key, value in record.items() if key != "time"} for record in records]


def differences(one, other):
    """Return the names of the files in which two finished runs differ that should be equal.

    Of the states to go on from this is the last: where a run was cut, it has others than a run that was not.
    """
    a, b = RunFolder(one), RunFolder(other)
    pairs = [(a.checkpoint(which), b.checkpoint(which)) for which in ("best", "last")]
    names = [x.name for x, y in pairs if x.name != y.name or x.read_bytes() != y.read_bytes()]
    if untimed(read_metrics(one)) != untimed(read_metrics(other)):
        names.append(a.metrics.name)
    first, second = (json.loads(run.summary.read_text()) for run in (a, b))
    if untimed([first | {"memory": 0}]) != untimed([second | {"memory": 0}]):
        names.append(a.summary.name)
    return names
