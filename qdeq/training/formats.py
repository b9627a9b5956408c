"""Formats of a run's text files, and what qdeq 0.1.0 wrote otherwise.

Checkpoints and summaries have their version inside. A run's spec.yaml has it in its first line; that of 0.1.0 has none.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from qdeq._version import __version__
from qdeq.errors import SpecError, printable

SPEC_VERSION = 1
METRICS_VERSION = 1
_HEAD = "# qdeq run, format "
_ASIDE_0_1_0 = (
    "device",
    "threads",
    "tensorboard",
    "diagnostics",
    "checkpoint_steps",
    "checkpoint_minutes",
    "checkpoints_kept",
)


def spec_text(text: str) -> str:
    """Return a resolved spec as a run keeps it, with the format in front."""
    return f"{_HEAD}{SPEC_VERSION}: every default written out; relative paths start at this folder\n{text}"


def spec_base(path: Path) -> Path:
    """Return where the relative paths of a run's spec.yaml start: at its folder; by 0.1.0, at the working directory.

    Raises:
        SpecError: It is of a later format.
    """
    with path.open("rb") as file:
        head = file.readline(200).decode("utf-8", errors="replace")
    if not head.startswith(_HEAD):
        return Path.cwd()
    version = head.removeprefix(_HEAD).partition(":")[0].strip()
    if version != str(SPEC_VERSION):
        raise SpecError(
            f"{path}: has format {printable(version)}, and qdeq {__version__} reads {SPEC_VERSION}\n"
            "Use the version of qdeq that trained the run."
        )
    return path.absolute().parent


def spec_hash_0_1_0(data: Any) -> str | None:
    """Return the hash that 0.1.0 gave a resolved spec, paths included; None for what is none.

    Args:
        data: The parsed spec.yaml, as 0.1.0 wrote it.
    """
    if not isinstance(data, dict) or not isinstance(data.get("training"), dict):
        return None
    training = {key: value for key, value in data["training"].items() if key not in _ASIDE_0_1_0}
    content = {key: value for key, value in data.items() if key != "budget"} | {"training": training}
    return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()


def images_digest_0_1_0(features: Tensor, labels: Tensor) -> str:
    """Return the digest by which 0.1.0 knew training images: of features, whose last digits are a machine's own."""
    total = hashlib.sha256()
    for tensor in (features, labels):
        total.update(f"{tensor.dtype} {list(tensor.shape)}\n".encode())
        total.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)
    return total.hexdigest()
