"""What a run needs of the machine, checked before any work: the device, the extras; and how much of it was used."""

from __future__ import annotations

import importlib.util
import os
import re
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch

from qdeq.backends.analysis import analyse
from qdeq.backends.torch import TorchBackend
from qdeq.errors import ConvergenceWarning, DataWarning, TrainingError, plural
from qdeq.extras import install_extra

if TYPE_CHECKING:
    from qdeq.models import QDEQClassifier
    from qdeq.spec import ExperimentSpec


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


STATES_HELD = 4
"""A batch's states that training surely holds at once, where states are simulated: kept for the gradient, and being
made. Measured with 14 and 16 qubits: 7 times a large batch's states for one direct layer, more for all else."""


def check_memory(spec: ExperimentSpec, model: QDEQClassifier, batch: int) -> None:
    """Refuse a batch that cannot fit: where PyTorch simulates its states on this machine's CPU, and nowhere else.

    Args:
        spec: The experiment.
        model: Its model.
        batch: Samples of a step that this process has.

    Raises:
        TrainingError: :data:`STATES_HELD` times its states are more than the machine has memory.
    """
    backend, memory = model.function.backend, physical_memory()
    if not isinstance(backend, TorchBackend) or memory is None or spec.training.device != "cpu":
        return
    if spec.shots is not None or model.circuit.channels or backend.gradient == "parameter-shift":
        return
    if backend.execution != "circuits" and analyse(model.circuit) is not None:
        return  # compiled: its memory is that of a few columns, whatever the batch
    sample = 2**spec.model.qubits * (8 if spec.training.precision == "float32" else 16)
    if STATES_HELD * batch * sample > memory:
        fits = memory // (STATES_HELD * sample)
        remedy = f"training.batch_size ({fits} at most), or " if fits else ""
        raise TrainingError(
            f"training: the states of {plural(batch, 'image')} on {spec.model.qubits} qubits take "
            f"{batch * sample / 2**30:,.1f} GiB, training needs {STATES_HELD} times that and more, "
            f"and this machine has {memory / 2**30:,.1f} GiB\nLower {remedy}model.qubits."
        )


def physical_memory() -> int | None:
    """Return the machine's memory [bytes]; None where the system does not tell."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return None


SMALL_REGISTER = 6
"""Up to this many qubits all products are so small that sharing them between threads costs more than it saves."""


def with_threads(spec: ExperimentSpec) -> ExperimentSpec:
    """Return the experiment with its number of CPU threads settled, as :func:`cpu_threads` would settle it here."""
    threads = spec.training.threads or (1 if spec.model.qubits <= SMALL_REGISTER else torch.get_num_threads())
    return spec.model_copy(update={"training": spec.training.model_copy(update={"threads": threads})})


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
            f"Run {install_extra('tensorboard')}, or set training.tensorboard to false."
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
    """Show the first :class:`ConvergenceWarning` as one line by ``note`` and drop the rest, which the metrics count.

    Each :class:`DataWarning` is a line of its own.
    """
    shown = False

    def show(message: Warning | str, category: type[Warning], *args: Any, **options: Any) -> None:
        nonlocal shown
        if issubclass(category, DataWarning):
            note(f"warning: {message}")
        elif not issubclass(category, ConvergenceWarning):
            original(message, category, *args, **options)
        elif not shown:
            shown = True
            lines = [line.strip().rstrip(".") for line in str(message).splitlines()]
            note(f"warning: {'; '.join(lines)}. Later failures are only counted.")

    with warnings.catch_warnings():
        warnings.simplefilter("always", ConvergenceWarning)
        warnings.simplefilter("always", DataWarning)
        original = warnings.showwarning
        warnings.showwarning = show
        yield
