"""A spec that trains in a second, and what reads its metrics."""

import json

import torch

from qdeq.spec import ExperimentSpec, parse_spec

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


def read_metrics(folder, kind=None):
    records = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [record for record in records if kind in (None, record["kind"])]


def untimed(records):
    return [{key: value for key, value in record.items() if key != "time"} for record in records]
