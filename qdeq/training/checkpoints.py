"""Checkpoints: one safetensors file with the tensors, and one JSON object in its header that says what they are.

Its header has the run's record, so that the file is enough to predict with. A checkpoint of the weights alone
(``best``) can be evaluated; one with a state beside them can be resumed too.

Formats: 3 has the record; 2, that of qdeq 0.1.0, has none, and needs the spec.yaml of its folder and the data.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from qdeq._version import __version__
from qdeq.errors import CheckpointError, printable
from qdeq.spec import ExperimentSpec
from qdeq.training.record import RunRecord

FORMAT_VERSION = 3
_WITHOUT_RECORD = 2
# One key, because the order in which safetensors writes several is random: equal runs have equal files.
_HEADER = "qdeq"
MODEL = "model."
"""Prefix of the weights' names in a checkpoint; other tensors (the optimiser's, say) have prefixes of their own."""


@dataclass(frozen=True)
class CheckpointInfo:
    """What a checkpoint's header says.

    Attributes:
        step: Training steps done.
        epoch: Epochs finished.
        validation_loss: After that epoch; None if it was not measured.
        spec_hash: ``ExperimentSpec.content_hash`` of the run, by the version that wrote it.
        digest: SHA-256 over the header and over names, types, shapes and bytes of the tensors.
        qdeq_version: The version that wrote it.
        format_version: Of this layout.
    """

    step: int
    epoch: int
    validation_loss: float | None
    spec_hash: str
    digest: str = ""
    qdeq_version: str = __version__
    format_version: int = FORMAT_VERSION

    def __post_init__(self) -> None:
        if any(type(count) is not int or count < 0 for count in (self.step, self.epoch)):
            raise ValueError("step and epoch are whole numbers, not negative")
        if not (self.validation_loss is None or type(self.validation_loss) in (int, float)):
            raise ValueError("validation_loss is a number or None")
        if not all(isinstance(text, str) for text in (self.spec_hash, self.digest, self.qdeq_version)):
            raise ValueError("spec_hash, digest and qdeq_version are texts")


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """A checkpoint that was read and found whole.

    Attributes:
        path: Where it was read.
        info: Its header.
        tensors: By name; the model's begin with :data:`MODEL`.
        state: What else a run needs to go on from here (see :mod:`qdeq.training.state`); None for weights alone.
        record: What the run knows of itself; None in what qdeq 0.1.0 wrote.
    """

    path: Path
    info: CheckpointInfo
    tensors: Mapping[str, Tensor]
    state: Mapping[str, Any] | None = None
    record: RunRecord | None = None

    def check_spec(self, spec: ExperimentSpec, hash_0_1_0: str | None = None) -> None:
        """Refuse another experiment's checkpoint.

        Args:
            spec: The experiment.
            hash_0_1_0: The hash that qdeq 0.1.0 gave it, for checkpoints without a record.

        Raises:
            CheckpointError: It was trained from another spec.
        """
        if self.record is None:
            same, what = self.info.spec_hash == hash_0_1_0, f"spec {printable(self.info.spec_hash[:12])}"
        else:
            changed = self.record.spec.differences(spec)
            same, what = not changed, ", ".join(f"{key}: {was}, not {now}" for key, (was, now) in changed.items())
        if not same:
            raise CheckpointError(
                f"{self.path}: belongs to another experiment ({printable(what)})\n"
                "Use the spec.yaml that was saved with it, unchanged, or train again."
            )

    def restore(self, model: nn.Module) -> None:
        """Put the weights into the model, in place, bit for bit.

        Raises:
            CheckpointError: A tensor is missing or too many, or has another shape or type.
        """
        own = model.state_dict()
        found = {key.removeprefix(MODEL): value for key, value in self.tensors.items() if key.startswith(MODEL)}
        problems = [f"{key} is missing" for key in own if key not in found]
        problems += [f"{key} is not the model's" for key in found if key not in own]
        for key in own.keys() & found.keys():
            if (own[key].shape, own[key].dtype) != (found[key].shape, found[key].dtype):
                problems.append(f"{key} is {_describe(found[key])}, not {_describe(own[key])}")
        if problems:
            raise CheckpointError(
                f"{self.path}: does not fit the model: {'; '.join(map(printable, sorted(problems)[:3]))}\n"
                "Use the spec it was trained with, or train again."
            )
        model.load_state_dict(found)


def model_tensors(model: nn.Module) -> dict[str, Tensor]:
    """Return copies of the model's parameters and buffers on the host, by their names in a checkpoint."""
    return {MODEL + key: value.detach().cpu().clone() for key, value in model.state_dict().items()}


def save_checkpoint(
    path: Path,
    tensors: Mapping[str, Tensor],
    info: CheckpointInfo,
    state: Mapping[str, Any] | None = None,
    *,
    record: RunRecord,
) -> None:
    """Write a checkpoint; a reader sees the old file or the new one, whole.

    Args:
        path: The file, ``*.safetensors``.
        tensors: On the host; see :func:`model_tensors`.
        info: The header; the digest is filled in.
        state: What else a run needs to go on, as JSON has it.
        record: What the run knows of itself.

    Raises:
        CheckpointError: The file cannot be written.
    """
    header = asdict(info) | {"record": record.to_dict(), "state": state}
    header["digest"] = _digest(header, tensors)
    content = save(dict(tensors), {_HEADER: json.dumps(header, allow_nan=False)})
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())  # else a power cut may leave the new name on an empty file
        os.replace(temporary, path)
        _sync_folder(path.parent)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise CheckpointError(
            f"{path}: cannot be written ({error.strerror})\nMake room in the folder; the checkpoints in it are whole."
        ) from error


def _sync_folder(folder: Path) -> None:
    """Put the new name itself on disk, where a folder can be opened for that."""
    if os.name == "posix":
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def load_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint and check that it is whole.

    Raises:
        CheckpointError: It is missing, truncated, damaged, or no checkpoint of this version of qdeq.
    """
    if not path.is_file():
        raise CheckpointError(f"{path}: there is no such checkpoint")
    try:
        with safe_open(path, framework="pt") as file:
            header = (file.metadata() or {}).get(_HEADER)
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (not a mapping)
    except (SafetensorError, OSError, ValueError, RuntimeError) as error:
        raise _damaged(path, printable(str(error))) from error
    if header is None:
        raise _damaged(path, "its header is not qdeq's")
    try:
        data = json.loads(header)
        version = data["format_version"]
        if version not in (_WITHOUT_RECORD, FORMAT_VERSION):
            raise CheckpointError(
                f"{path}: has format version {printable(str(version))}, and qdeq {__version__} reads "
                f"{_WITHOUT_RECORD} and {FORMAT_VERSION}\n"
                f"Use qdeq {printable(str(data.get('qdeq_version', '')))}, which wrote it, or train again."
            )
        whole = dict(data)
        state = data.pop("state")
        record = RunRecord.from_dict(data.pop("record")) if version == FORMAT_VERSION else None
        info = CheckpointInfo(**data)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise _damaged(path, "its header cannot be read") from error
    if info.digest != _digest(whole, tensors):
        raise _damaged(path, "its content does not have the checksum in its header")
    return Checkpoint(path, info, tensors, state, record)


def _damaged(path: Path, why: str) -> CheckpointError:
    others = sorted(file.stem for file in path.parent.glob("*.safetensors") if file != path)
    other = f"try --checkpoint {' or '.join(others[-3:])}, " if others else ""
    return CheckpointError(
        f"{path}: truncated or damaged ({why})\nCopy it anew from where it came from, {other}or train again."
    )


def _digest(header: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> str:
    """Return the SHA-256 of everything but the digest itself."""
    rest = {key: value for key, value in header.items() if key != "digest"}
    total = hashlib.sha256(json.dumps(rest, sort_keys=True).encode())
    for key in sorted(tensors):
        total.update(f"{key} {_describe(tensors[key])}\n".encode())
        total.update(tensors[key].contiguous().flatten().view(torch.uint8).numpy().data)
    return total.hexdigest()


def _describe(tensor: Tensor) -> str:
    return f"{str(tensor.dtype).removeprefix('torch.')} {list(tensor.shape)}"
