"""The readers of what a run has written: its checkpoints and its metrics."""

from __future__ import annotations

import json
import math
import struct
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import torch
from hypothesis import strategies as st
from torch import nn

from benchmarks.fuzz.mutations import JSON_RAW, Draw, Pairs, Raw, altered, as_tree, damaged, places, scalars, write
from benchmarks.fuzz.target import Target
from qdeq.data import FeatureMap, PixelScale
from qdeq.spec import ExperimentSpec
from qdeq.training import Machine, RunRecord, read_log
from qdeq.training.checkpoints import CheckpointInfo, load_checkpoint, model_tensors, save_checkpoint

STATE = {"images": "0123", "best": None, "last": {"epoch": 1, "time": {"seconds": 0.0}}, "failed": {}, "solves": 3}
DTYPES = ("F32", "F64", "F16", "BF16", "F8_E4M3", "F8_E5M2", "F4", "I64", "U64", "U8", "BOOL", "C64", "X9")
MEMORY_DISK = Path("/dev/shm")  # writing a checkpoint waits for the disk
FIELDS = ("step", "epoch", "validation_loss", "spec_hash", "qdeq_version")
SIZES = (0, 1, 6, 2**31, 2**62, 2**64 - 1, -1)


@cache
def _spec() -> ExperimentSpec:
    return ExperimentSpec()


def _model() -> nn.Module:
    torch.manual_seed(0)
    return nn.Linear(3, 2)


@cache
def sample_record() -> RunRecord:
    """Return what a run knows of itself, without data."""
    splits = ("train", "validation", "test")
    return RunRecord(
        identity=_spec().identity(),
        class_names=("0", "1"),
        feature_map=FeatureMap(size=4, kind="pool", mean=0.3, std=0.4),
        pixels=PixelScale(integers=True, low=0.0, high=255.0, faintest=90.0),
        data="digits",
        sizes=dict.fromkeys(splits, 60),
        digests=dict.fromkeys(splits, "ab" * 32),
        machine=Machine.here(_spec()),
    )


def _sealed(info: CheckpointInfo, state: Any, tensors: dict[str, torch.Tensor]) -> bytes:
    """Return a checkpoint whose checksum is right, whatever is in it."""
    with tempfile.TemporaryDirectory(dir=MEMORY_DISK if MEMORY_DISK.is_dir() else None) as folder:
        path = Path(folder) / "x.safetensors"
        save_checkpoint(path, tensors, info, state, record=sample_record())
        return path.read_bytes()


def _info(**changes: Any) -> CheckpointInfo:
    info = CheckpointInfo(step=3, epoch=1, validation_loss=0.5, spec_hash=_spec().content_hash)
    for field, value in changes.items():
        object.__setattr__(info, field, value)  # what it would refuse itself
    return info


@cache
def good_checkpoint() -> bytes:
    """Return a checkpoint of a small model."""
    return _sealed(_info(), STATE, model_tensors(_model()))


@cache
def _parts() -> tuple[Any, Any, bytes]:
    """Return the header's tree, the tree of qdeq's own part of it, and the tensors' bytes."""
    content = good_checkpoint()
    (length,) = struct.unpack("<Q", content[:8])
    header = json.loads(content[8 : 8 + length])
    return as_tree(header), as_tree(json.loads(header["__metadata__"]["qdeq"])), content[8 + length :]


def _assemble(header: str, values: bytes, length: int | None = None) -> bytes:
    text = header.encode(errors="surrogatepass")
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text) if length is None else length) + text + values


@st.composite
def checkpoints(draw: Draw) -> bytes:
    """Draw a checkpoint: damaged, with another header, or with any content under a right checksum."""
    header, own, values = _parts()
    how = draw(st.integers(0, 5))
    if how == 0:
        return draw(damaged(good_checkpoint()))
    if how == 1:
        length = draw(st.sampled_from([None, 0, 1, 8, 10**6, 2**31, 2**62, 2**64 - 1]))
        return _assemble(draw(altered(header, places(header), scalars(JSON_RAW, [*DTYPES, *SIZES]))), values, length)
    if how in (2, 3):
        text = draw(altered(own, places(own), scalars(JSON_RAW)))
        changed = Pairs([key, Pairs([["qdeq", text]]) if key == "__metadata__" else part] for key, part in header)
        return _assemble(write(changed), values)
    plain = st.one_of(st.none(), st.booleans(), st.integers(), st.text(max_size=5), st.lists(st.integers(), max_size=2))
    changes = draw(st.dictionaries(st.sampled_from(FIELDS), plain, max_size=2))
    tensors = model_tensors(_model())
    if how == 4:
        name = draw(st.sampled_from([*tensors, "x", "best.weight", "model.", "é\n\x1b[31m", "n" * 5000]))
        kinds = (torch.float64, torch.bool, torch.bfloat16, torch.complex64, torch.int64, torch.float8_e4m3fn)
        shape = draw(st.sampled_from([(), (0,), (2, 3), (2,), (3, 2), (0, 5), (1,) * 20]))
        tensors[name] = torch.zeros(shape, dtype=draw(st.sampled_from(kinds)))
    state = draw(st.sampled_from([None, {}, [], STATE, "text", 3, {"a": [[[]]] * 9}]))
    return _sealed(_info(**changes), state, tensors)


def read_checkpoint(path: Path, out: Path) -> None:
    """Read a checkpoint, and put its weights into the model that it is for."""
    saved = load_checkpoint(path)
    info = saved.info
    assert {type(info.step), type(info.epoch)} == {int}, "step and epoch"
    assert min(info.step, info.epoch) >= 0, "step and epoch"
    assert isinstance(info.spec_hash, str), "the spec's hash"
    assert info.validation_loss is None or isinstance(info.validation_loss, int | float), "the validation loss"
    saved.check_spec(_spec())
    model = _model()
    saved.restore(model)
    assert set(saved.tensors) >= set(model_tensors(model)), "weights are missing"


def _has_a_header(content: bytes) -> bool:
    if len(content) < 8:
        return False
    (length,) = struct.unpack("<Q", content[:8])
    if length > len(content) - 8:
        return False
    try:
        return isinstance(json.loads(content[8 : 8 + length].decode()), dict)
    except (ValueError, RecursionError):
        return False


def metrics_tree() -> Any:
    """Return the tree of a metrics.jsonl: a step and the epoch that it ended."""
    step = {"kind": "step", "step": 1, "epoch": 1, "loss": 0.7, "status": {"converged": 8}, "time": {"seconds": 0.1}}
    split = {"loss": 0.6, "accuracy": 0.5, "residual_mean": 1e-6, "residual_max": 1e-5, "evaluations": 7.0}
    epoch = {"kind": "epoch", "step": 1, "epoch": 1, "train": split, "validation": split, "time": {"seconds": 0.2}}
    return as_tree([step, epoch])


def _lines(tree: Any) -> bytes:
    return "".join(f"{write(record)}\n" for record in tree).encode(errors="surrogatepass")


@st.composite
def metrics(draw: Draw) -> bytes:
    """Draw a metrics.jsonl."""
    tree = metrics_tree()
    if draw(st.integers(0, 4)) == 0:
        return draw(damaged(_lines(tree)))
    which = draw(st.integers(0, len(tree) - 1))
    raw = JSON_RAW if draw(st.integers(0, 2)) == 0 else ()
    tree[which] = Raw(draw(altered(tree[which], places(tree[which]), scalars(raw))).replace("\n", " "))
    return _lines(tree)


def read_metrics(path: Path, out: Path) -> None:
    """Read the records."""
    for record in read_log(path):
        assert record["kind"] in ("step", "epoch"), "the kind"
        assert math.isfinite(0.5 + record["time"]["seconds"] + record["step"] + record["epoch"]), "numbers"


def _is_json_lines(content: bytes) -> bool:
    try:
        for line in content.splitlines():
            json.loads(line)
    except (ValueError, RecursionError):
        return False
    return True


TARGETS = (
    Target(name="metrics", file="x.jsonl", inputs=metrics(), parses=_is_json_lines, read=read_metrics),
    Target(name="checkpoint", file="x.safetensors", inputs=checkpoints(), parses=_has_a_header, read=read_checkpoint),
)
