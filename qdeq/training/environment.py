"""What a run needs of the machine, checked before any work: the device, the extras; and how much of it was used."""

from __future__ import annotations

import importlib.util
import re
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch

from qdeq.errors import ConvergenceWarning, TrainingError


def check_device(name: str) -> torch.device:
    """Return the device.

    Raises:
        TrainingError: No such device; or CUDA was asked for, and PyTorch sees no such GPU.
    """
    if not re.fullmatch(r"cpu|cuda(:\d+)?", name):
        raise TrainingError(f"device {name!r}: allowed are cpu, cuda and cuda:N")
    device = torch.device(name)
    if device.type == "cuda":
        if not torch.cuda.is_available():
            raise TrainingError(
                f"training.device: {name}: PyTorch {torch.__version__} sees no CUDA GPU\n"
                "Use --device cpu, or install the driver and a CUDA build of PyTorch."
            )
        if device.index is not None and device.index >= (count := torch.cuda.device_count()):
            raise TrainingError(f"training.device: {name}: there are {count} GPUs, cuda:0 to cuda:{count - 1}")
    return device


SMALL_REGISTER = 6
"""Up to this many qubits all products are so small that sharing them between threads costs more than it saves."""


@contextmanager
def cpu_threads(threads: int | None, qubits: int) -> Iterator[None]:
    """Set PyTorch's CPU threads for the block: as asked for; else one for a small register, or PyTorch's choice."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads or (1 if qubits <= SMALL_REGISTER else before))
    try:
        yield
    finally:
        torch.set_num_threads(before)


def check_tensorboard() -> None:
    """Refuse to start without the extra.

    Raises:
        TrainingError: TensorBoard is not installed.
    """
    if importlib.util.find_spec("tensorboard") is None:
        raise TrainingError(
            "training.tensorboard: the package tensorboard is not installed\n"
            'Run pip install "qdeq[tensorboard]", or set training.tensorboard to false.'
        )


def peak_memory(device: torch.device) -> dict[str, float]:
    """Return the largest memory so far [MiB]: of the process, and of its tensors on a GPU."""
    import resource

    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    peak = {"process_mib": used / (2**20 if sys.platform == "darwin" else 2**10)}
    if device.type == "cuda":
        peak["device_mib"] = torch.cuda.max_memory_allocated(device) / 2**20
    return peak


@contextmanager
def convergence_warnings_once(note: Callable[[str], None]) -> Iterator[None]:
    """Show the first :class:`ConvergenceWarning` as one line by ``note`` and drop the rest, which the metrics count."""
    shown = False

    def show(message: Warning | str, category: type[Warning], *args: Any, **options: Any) -> None:
        nonlocal shown
        if not issubclass(category, ConvergenceWarning):
            original(message, category, *args, **options)
        elif not shown:
            shown = True
            lines = [line.strip().rstrip(".") for line in str(message).splitlines()]
            note(f"warning: {'; '.join(lines)}. Later failures are only counted.")

    with warnings.catch_warnings():
        warnings.simplefilter("always", ConvergenceWarning)
        original = warnings.showwarning
        warnings.showwarning = show
        yield
