"""Checkpoints: one safetensors file with the tensors, and one JSON object in its header that says what they are."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from qdeq._version import __version__
from qdeq.errors import CheckpointError
from qdeq.spec import ExperimentSpec

FORMAT_VERSION = 1
# One key, because the order in which safetensors writes several is random: equal runs have equal files.
_HEADER = "qdeq"
_MODEL = "model."  # other states (an optimiser's, say) get prefixes of their own


@dataclass(frozen=True)
class CheckpointInfo:
    """What a checkpoint's header says.

    Attributes:
        step: Training steps done.
        epoch: Epochs finished.
        validation_loss: After that epoch; None if it was not measured.
        spec_hash: ``ExperimentSpec.content_hash`` of the run.
        digest: SHA-256 over names, types, shapes and bytes of the tensors.
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


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """A checkpoint that was read and found whole."""

    path: Path
    info: CheckpointInfo
    tensors: Mapping[str, Tensor]

    def check_spec(self, spec: ExperimentSpec) -> None:
        """Refuse another experiment's checkpoint.

        Raises:
            CheckpointError: It was trained from another spec.
        """
        if self.info.spec_hash != spec.content_hash:
            raise CheckpointError(
                f"{self.path}: belongs to another experiment (spec {self.info.spec_hash[:12]}, "
                f"not {spec.content_hash[:12]})\nUse the spec.yaml that was saved with it, unchanged, or train again."
            )

    def restore(self, model: nn.Module) -> None:
        """Put the weights into the model, in place, bit for bit.

        Raises:
            CheckpointError: A tensor is missing or too many, or has another shape or type.
        """
        own = model.state_dict()
        found = {key.removeprefix(_MODEL): value for key, value in self.tensors.items() if key.startswith(_MODEL)}
        problems = [f"{key} is missing" for key in own if key not in found]
        problems += [f"{key} is not the model's" for key in found if key not in own]
        for key in own.keys() & found.keys():
            if (own[key].shape, own[key].dtype) != (found[key].shape, found[key].dtype):
                problems.append(f"{key} is {_describe(found[key])}, not {_describe(own[key])}")
        if problems:
            raise CheckpointError(
                f"{self.path}: does not fit the model: {'; '.join(sorted(problems)[:3])}\n"
                "Use the spec it was trained with, or train again."
            )
        model.load_state_dict(found)


def save_checkpoint(path: Path, model: nn.Module, info: CheckpointInfo) -> None:
    """Write a checkpoint; a reader sees the old file or the new one, whole.

    Args:
        path: The file, ``*.safetensors``.
        model: Its parameters and buffers are saved.
        info: The header; the digest is filled in.

    Raises:
        CheckpointError: The file cannot be written.
    """
    tensors = {_MODEL + key: value.detach().cpu().contiguous() for key, value in model.state_dict().items()}
    header = asdict(info) | {"digest": _digest(tensors)}
    content = save(tensors, {_HEADER: json.dumps(header)})
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())  # else a power cut may leave the new name on an empty file
        os.replace(temporary, path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise CheckpointError(
            f"{path}: cannot be written ({error.strerror})\nMake room or give another folder with --out DIR."
        ) from error


def load_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint and check that it is whole.

    Raises:
        CheckpointError: It is missing, truncated, damaged, or no checkpoint of this version of qdeq.
    """
    if not path.is_file():
        there = sorted(file.stem for file in path.parent.glob("*.safetensors"))
        known = f"there is: --checkpoint {', '.join(there)}" if there else "the run has not finished its first epoch"
        raise CheckpointError(f"{path}: there is no such checkpoint; {known}\nTrain with `qdeq train` first.")
    try:
        with safe_open(path, framework="pt") as file:
            header = (file.metadata() or {}).get(_HEADER)
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (not a mapping)
    except (SafetensorError, OSError, ValueError, RuntimeError) as error:
        raise _damaged(path, str(error).splitlines()[0]) from error
    if header is None:
        raise _damaged(path, "its header is not qdeq's")
    try:
        data = json.loads(header)
        version = data["format_version"]
        if version != FORMAT_VERSION:
            raise CheckpointError(
                f"{path}: has format version {version}, and qdeq {__version__} reads {FORMAT_VERSION}\n"
                f"Use qdeq {data.get('qdeq_version', '')}, which wrote it, or train again."
            )
        info = CheckpointInfo(**data)
    except (ValueError, TypeError, KeyError) as error:
        raise _damaged(path, "its header cannot be read") from error
    if info.digest != _digest(tensors):
        raise _damaged(path, "its weights do not have the checksum in its header")
    return Checkpoint(path, info, tensors)


def _damaged(path: Path, why: str) -> CheckpointError:
    other = "last" if path.stem == "best" else "best"
    return CheckpointError(
        f"{path}: truncated or damaged ({why})\n"
        f"Copy it anew from where it came from, try --checkpoint {other}, or train again."
    )


def _digest(tensors: Mapping[str, Tensor]) -> str:
    total = hashlib.sha256()
    for key in sorted(tensors):
        total.update(f"{key} {_describe(tensors[key])}\n".encode())
        total.update(tensors[key].contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return total.hexdigest()


def _describe(tensor: Tensor) -> str:
    return f"{str(tensor.dtype).removeprefix('torch.')} {list(tensor.shape)}"
