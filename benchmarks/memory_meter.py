"""Peak memory of a process since a moment, and the memory that is free."""

from __future__ import annotations

import contextlib
import resource
from pathlib import Path

import torch

STATUS, CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


class Meter:
    """Peak memory since the meter was made, beyond what was in use then.

    CPU: the kernel's high-water mark of resident memory (VmHWM, which is what ``ru_maxrss`` reports, set back when the
    meter is made where the kernel lets us). CUDA: PyTorch's peak of allocated memory.

    Args:
        device: ``"cpu"`` or ``"cuda"``.
    """

    def __init__(self, device: str) -> None:
        self._cuda = device == "cuda"
        if self._cuda:
            torch.cuda.synchronize()
            torch.cuda.reset_peak_memory_stats()
            self._start = torch.cuda.memory_allocated()
        else:
            # where refused, the mark may still be that of the imports, and small steps read as zero
            with contextlib.suppress(OSError):
                CLEAR.write_text("5")
            self._start = _status("VmRSS")

    def peak(self) -> int:
        """Return the peak so far [bytes]."""
        if self._cuda:
            return torch.cuda.max_memory_allocated() - self._start
        return max(_status("VmHWM") - self._start, 0)

    def synchronise(self) -> None:
        """Wait for the device."""
        if self._cuda:
            torch.cuda.synchronize()


def _status(field: str) -> int:
    if not STATUS.exists():  # not Linux
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    line = next(line for line in STATUS.read_text().splitlines() if line.startswith(field + ":"))
    return int(line.split()[1]) * 1024


def free_bytes(device: str) -> float:
    """Return what a step may use: nine tenths of what is free."""
    if device == "cuda":
        return 0.9 * torch.cuda.mem_get_info()[0]
    info = Path("/proc/meminfo")
    if not info.exists():
        return 8.0 * 2**30
    line = next(line for line in info.read_text().splitlines() if line.startswith("MemAvailable:"))
    free = float(line.split()[1]) * 1024
    group = Path("/sys/fs/cgroup/memory.max")
    if group.exists() and group.read_text().strip() != "max":
        used = float(Path("/sys/fs/cgroup/memory.current").read_text())
        free = min(free, float(group.read_text()) - used)
    return 0.9 * max(free, 0.0)


def limit_memory(more: float) -> None:
    """Make allocations beyond ``more`` bytes fail in this process, instead of bringing the machine down."""
    if STATUS.exists():
        limit = _status("VmSize") + int(more) + 2**30  # threads reserve address space that they do not use
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
