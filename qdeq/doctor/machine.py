"""The machine: processors, threads, GPUs, and room for runs."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from qdeq.doctor.finding import Finding

LITTLE_BYTES = 1 << 30
"""With less free space than this, a warning: a run's checkpoints are small, but data sets are not."""


def machine() -> Iterator[Finding]:
    """Look at processors, GPUs and disks."""
    import torch

    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    threads = torch.get_num_threads()
    what = f"{threads} by PyTorch, {cores} CPUs for this process"
    if threads > cores:
        yield Finding("machine", "threads", "warning", what, f"set training.threads or OMP_NUM_THREADS to {cores}")
    else:
        yield Finding("machine", "threads", "ok", what)
    if torch.cuda.is_available():
        for number in range(torch.cuda.device_count()):
            about = torch.cuda.get_device_properties(number)
            yield Finding("machine", f"cuda:{number}", "ok", f"{about.name}, {about.total_memory / 2**30:.0f} GiB")
    else:
        built = f"built for CUDA {torch.version.cuda}" if torch.version.cuda else "built without CUDA"
        yield Finding("machine", "cuda", "missing", f"no GPU (PyTorch is {built})", "runs go to the CPU: device: cpu")
    yield _room("working folder", Path.cwd(), "go to another folder, or give --out")
    yield _room("temporary files", Path(tempfile.gettempdir()), "set TMPDIR to another folder")


def _room(name: str, folder: Path, mend: str) -> Finding:
    """Try to write, since permissions do not tell all."""
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"qdeq")
        free = shutil.disk_usage(folder).free
    except OSError as error:
        return Finding("machine", name, "broken", f"{folder} cannot be written ({error.strerror})", mend)
    what = f"{folder}: {free / 2**30:.1f} GiB free"
    return Finding("machine", name, *(("warning", what, mend) if free < LITTLE_BYTES else ("ok", what)))
