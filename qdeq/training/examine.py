"""The equilibria of a saved run: how stable they are, and whether there are others."""

from __future__ import annotations

import json
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from qdeq.equilibrium import Equilibrated
from qdeq.errors import ConvergenceWarning, UnsupportedError
from qdeq.seeds import torch_generator
from qdeq.solvers import Status
from qdeq.spec import ExperimentSpec
from qdeq.stability import Equilibria, Stability, cube_starts, equilibria
from qdeq.training.checkpoints import Checkpoint
from qdeq.training.environment import cpu_threads
from qdeq.training.metrics import STATUS_NAMES, finite
from qdeq.training.saved import json_head, load_run

BATCH = 64
"""Images solved for together, each from all starts."""


@dataclass(frozen=True, eq=False)
class RunStability:
    """What was found at B test images of a run.

    Attributes:
        spec: The run's.
        checkpoint: Whose weights were used.
        images: ``[B]``, positions in the test split.
        of: Number of images in the test split.
        status: ``[B]`` int8, how the run's own solve (from 0) ended: values of :class:`~qdeq.solvers.Status`.
        residual: ``[B]``, its relative residual.
        stability: Figures at its equilibrium.
        equilibria: What other starts led to; start 0 is the run's own, ``y0 = 0``.
    """

    spec: ExperimentSpec
    checkpoint: Checkpoint
    images: Tensor
    of: int
    status: Tensor
    residual: Tensor
    stability: Stability
    equilibria: Equilibria

    @property
    def certified(self) -> Tensor:
        """``[B]`` bool: the run's own solve converged, to an equilibrium with ``||J||_2 < 1``."""
        return (self.status == Status.CONVERGED) & self.stability.contracting

    def to_json(self) -> str:
        """Return everything, image by image. None stands for what is not finite."""
        head = {
            **json_head(self.spec, self.checkpoint),
            "starts": self.equilibria.label.shape[1],
            "space": "y",
        }
        images = [self._image(row) for row in range(len(self.images))]
        return json.dumps({**head, "images": images}, indent=2, allow_nan=False)

    def _image(self, row: int) -> dict[str, Any]:
        others, own = self.equilibria, self.stability
        found = [
            {
                "value": others.value[row, label].tolist(),
                "starts": starts,
                "spectral_radius": finite(others.stability.spectral_radius[row, label]),
                "norm": finite(others.stability.norm[row, label]),
                "attracting": bool(others.stability.attracting[row, label]),
            }
            for label, starts in others.starts(row).items()
        ]
        return {
            "image": int(self.images[row]),
            "status": STATUS_NAMES[int(self.status[row])],
            "residual": finite(self.residual[row]),
            "spectral_radius": finite(own.spectral_radius[row]),
            "norm": finite(own.norm[row]),
            "sensitivity": finite(own.sensitivity[row]),
            "certified": bool(self.certified[row]),
            "equilibria": found,
            "failed_starts": int(others.failed[row]),
        }


def examine_run(
    path: str | Path,
    *,
    checkpoint: str = "best",
    samples: int = 256,
    starts: int = 16,
    seed: int = 0,
    device: str | None = None,
) -> RunStability:
    """Examine the equilibria of a saved run at images of its test split.

    The run's own solve starts at 0 and may fall back to other solvers; the search for other equilibria takes the run's
    first solver from every start (see :func:`~qdeq.stability.equilibria`). A run of direct layers is examined too: at
    the equilibria of its f, which it does not solve for.

    Args:
        path: The output folder of a run.
        checkpoint: ``"best"`` (lowest validation loss) or ``"last"``.
        samples: Number of images, drawn at random; all of them where there are fewer.
        starts: Number of starts, 0 among them.
        seed: Root of the draws of images and starts.
        device: Another device than the one it was trained on.

    Raises:
        UnsupportedError: The run has shots, or a fixed number of solver steps.
        QdeqError: As :func:`~qdeq.training.saved.load_run`.
    """
    run = load_run(path, checkpoint=checkpoint, device=device, tolerate_failures=True)
    spec, model, split = run.spec, run.model.eval(), run.splits.test
    if spec.shots is not None or model.equilibrium.fixed_steps is not None:
        what = f"shots: {spec.shots}" if spec.shots is not None else f"solver.fixed_steps: {spec.solver.fixed_steps}"
        raise UnsupportedError(
            f"{path}: with {what} no state is an equilibrium to a known tolerance, so none can be told apart\n"
            "Examine a run with exact expectations that solves to a tolerance (shots: null, solver.fixed_steps: null)."
        )
    order = torch.randperm(len(split.labels), generator=torch_generator(seed, "images"))
    images = order[:samples].sort().values
    like = next(model.parameters())
    points = cube_starts(starts, model.state_size, seed, like=like)
    own: list[Equilibrated] = []
    figures, found = [], []
    with torch.no_grad(), warnings.catch_warnings(), cpu_threads(spec.training.threads, spec.model.qubits):
        warnings.simplefilter("ignore", ConvergenceWarning)  # the status of every image is part of the result
        for rows in images.split(BATCH):
            prediction = model(split.features[rows].to(like), layers=None)
            own.append(prediction.equilibrium)
            figures.append(Stability.of(prediction.jacobian()))
            found.append(equilibria(prediction.function, points, prediction.rows, solver=model.equilibrium.solver))
    return RunStability(
        spec=spec,
        checkpoint=run.checkpoint,
        images=images,
        of=len(split.labels),
        status=torch.cat([each.status for each in own if each.status is not None]).cpu(),
        residual=torch.cat([each.relative_residual for each in own if each.relative_residual is not None]).cpu(),
        stability=Stability.join(figures),
        equilibria=Equilibria.join(found),
    )
