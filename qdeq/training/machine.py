"""The machine that a run's last digits depend on: number of threads, processor, versions of what computes."""

from __future__ import annotations

import platform
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import numpy
import torch

if TYPE_CHECKING:
    from qdeq.spec import ExperimentSpec

_CPUINFO = "/proc/cpuinfo"
_DIGITS = ("threads", "processor", "vectors", "device", "torch")  # what sums are rounded by


@dataclass(frozen=True, kw_only=True)
class Machine:
    """What a run computes with. Two runs agree bit for bit where their machines have no :meth:`differences`.

    Attributes:
        threads: CPU threads of PyTorch.
        processor: Its model.
        vectors: The vector instructions that PyTorch uses, such as ``AVX512``.
        device: ``cpu``, or the GPU's name.
        system: Operating system and architecture.
        python: Version.
        numpy: Version.
        torch: Version.
    """

    threads: int
    processor: str
    vectors: str
    device: str
    system: str
    python: str
    numpy: str
    torch: str

    @classmethod
    def here(cls, spec: ExperimentSpec) -> Machine:
        """Return this machine, as an experiment with its threads resolved uses it."""
        training = spec.training
        gpu = training.device.startswith("cuda")
        return cls(
            threads=training.threads or torch.get_num_threads(),
            processor=_processor(),
            vectors=torch.backends.cpu.get_cpu_capability(),
            device=torch.cuda.get_device_name(training.device) if gpu else "cpu",
            system=f"{platform.system()} {platform.machine()}",
            python=platform.python_version(),
            numpy=numpy.__version__,
            torch=torch.__version__,
        )

    def differences(self, other: Machine) -> list[str]:
        """Return in what another machine differs that last digits depend on, in words: ``threads 1 -> 2``."""
        mine, others = asdict(self), asdict(other)
        return [f"{name} {mine[name]} -> {others[name]}" for name in _DIGITS if mine[name] != others[name]]

    def __str__(self) -> str:
        """Return it in words."""
        where = self.processor if self.device == "cpu" else f"{self.device}, {self.processor}"
        return f"{where} ({self.vectors}), {self.threads} thread{'s' * (self.threads > 1)}, PyTorch {self.torch}"


def _processor() -> str:
    """Return the processor's model, where the system tells."""
    try:
        with open(_CPUINFO, encoding="utf-8", errors="replace") as file:
            named = next((line.partition(":")[2].strip() for line in file if line.startswith("model name")), "")
    except OSError:
        named = ""  # not Linux
    return named or platform.processor() or platform.machine()
