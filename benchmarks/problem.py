"""What is timed: one cell of the grid, and the training problem that every contender is given for it."""

from __future__ import annotations

import itertools
import warnings
from dataclasses import asdict, dataclass, replace

import torch
from torch import Tensor

from qdeq import library
from qdeq.adjoints import DenseAdjoint
from qdeq.backends.torch import TorchBackend
from qdeq.circuit import Circuit
from qdeq.equilibrium import Equilibrium
from qdeq.errors import ConvergenceWarning
from qdeq.models import QDEQClassifier, QuantumFunction
from qdeq.solvers import get_solver

MAX_STEPS = 50
ATOL = 1e-6
LEARNING_RATE = 0.005
WEIGHT_SEED, DATA_SEED = 1111, 2222
ENCODINGS = ("amplitude", "angle")


@dataclass(frozen=True)
class Cell:
    """One cell: a register, an encoding, a batch and a depth.

    Attributes:
        qubits: n.
        encoding: ``"amplitude"`` (n² features) or ``"angle"`` (the paper's layout for 4 and 10 qubits, else the
            library's ``angle``).
        batch: B.
        depth: Layers of the paper's ansatz, each with weights of its own.
        rtol: Relative tolerance of the forward solve.
        solver: Name of qdeq's solver.
        device: ``"cpu"`` or ``"cuda"``.
    """

    qubits: int
    encoding: str
    batch: int = 256
    depth: int = 1
    rtol: float = 1e-4
    solver: str = "broyden"
    device: str = "cpu"

    def __post_init__(self) -> None:
        if self.encoding not in ENCODINGS:
            raise ValueError(f"encoding {self.encoding!r}; a cell has one of {', '.join(ENCODINGS)}")
        if self.qubits < 4 or self.batch < 1 or self.depth < 1:
            raise ValueError("a cell has at least 4 qubits (n² <= 2^n), one sample and one layer")

    @property
    def name(self) -> str:
        """The cell as ``--cells`` takes it."""
        return f"{self.qubits}:{self.encoding}:{self.batch}:{self.depth}"

    @property
    def classes(self) -> int:
        """Number of classes: the paper's 4 on small registers, 10 on others."""
        return 4 if self.qubits < 10 else 10

    @classmethod
    def parse(cls, text: str) -> Cell:
        """Read ``qubits:encoding[:batch[:depth]]``."""
        parts = text.split(":")
        if not 2 <= len(parts) <= 4:
            raise ValueError(f"{text!r}; a cell is qubits:encoding[:batch[:depth]], such as 10:amplitude:256:1")
        return cls(int(parts[0]), parts[1], *(int(part) for part in parts[2:]))

    def to_dict(self) -> dict[str, object]:
        """Return the fields, for JSON."""
        return asdict(self)


def grid(which: str) -> list[Cell]:
    """Return the cells of ``"quick"``, ``"default"`` (one quantity varied at a time) or ``"full"`` (all crossed)."""
    if which == "quick":
        return [Cell(n, encoding) for n in (4, 10) for encoding in ENCODINGS]
    if which == "full":
        crossed = itertools.product(range(4, 15), ENCODINGS, (1, 4, 16), (32, 256, 2048))
        return [Cell(n, encoding, batch, depth) for n, encoding, depth, batch in crossed]
    cells = [Cell(n, encoding) for n in (4, 6, 8, 10, 12, 14) for encoding in ENCODINGS]
    cells += [Cell(n, encoding, depth=depth) for n in (4, 10) for encoding in ENCODINGS for depth in (4, 16)]
    cells += [Cell(n, encoding, batch=batch) for n in (4, 10) for encoding in ENCODINGS for batch in (32, 2048)]
    return cells


def circuit_of(cell: Cell) -> Circuit:
    """Return encoder and ansatz."""
    if cell.encoding == "amplitude":
        encoder = library.amplitude_encoder(cell.qubits)
    elif cell.qubits in (4, 10):
        encoder = library.paper_angle_encoder(cell.qubits)
    else:
        encoder = library.angle_encoder(cell.qubits)
    return encoder + library.paper_ansatz(cell.qubits, cell.depth)


def data_of(cell: Cell) -> tuple[Tensor, Tensor]:
    """Return random features ``[B, n²]``, scaled as the paper's pooled and normalised pixels, and labels ``[B]``."""
    generator = torch.Generator().manual_seed(DATA_SEED)
    features = (torch.rand(cell.batch, cell.qubits**2, generator=generator) - 0.1307) / 0.3081
    labels = torch.randint(cell.classes, (cell.batch,), generator=generator)
    return features.to(cell.device), labels.to(cell.device)


def model_of(cell: Cell, *, execution: str = "auto", layers: int | None = None) -> QDEQClassifier:
    """Return the classifier with its first weights; no dropout, so that all contenders compute the same numbers."""
    solver = replace(get_solver(cell.solver), max_steps=MAX_STEPS, rtol=cell.rtol, atol=ATOL)
    model = QDEQClassifier(
        QuantumFunction(circuit_of(cell), backend=TorchBackend(execution=execution)),  # type: ignore[arg-type]
        cell.classes,
        equilibrium=Equilibrium(solver, adjoint=DenseAdjoint()),
        layers=layers,
        dropout=0.0,
        generator=torch.Generator().manual_seed(WEIGHT_SEED),
    )
    warnings.simplefilter("ignore", ConvergenceWarning)  # failed samples are counted and printed instead
    return model.train().to(cell.device)
