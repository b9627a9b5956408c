"""What moves as a run trains, put into every checkpoint and back again bit for bit.

Random streams are not among it: each is derived from the run's seed and the number of its step or epoch.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from qdeq.data import Split
from qdeq.errors import CheckpointError
from qdeq.spec import ExperimentSpec
from qdeq.training.checkpoints import MODEL, Checkpoint, CheckpointInfo, model_tensors, save_checkpoint
from qdeq.training.metrics import EpochRecord, Outcomes
from qdeq.training.record import RunRecord
from qdeq.training.spending import known_spent
from qdeq.training.step import NotFinite

if TYPE_CHECKING:
    from pathlib import Path

    from qdeq.models import QDEQClassifier

_BEST, _OPTIMIZER, _WARM, _OUTCOMES = "best.", "optimizer.", "warm_states", "outcomes"


class TrainingState:
    """The state of a run before its first step, or wherever it is by now.

    Args:
        spec: The experiment.
        model: With its first weights, on its device.
        train: The training images, as features.
        record: What the run knows of itself.

    Attributes:
        step: Training steps made.
        epoch: Epochs finished.
        best: The epoch with the lowest validation loss; None before the first.
        last: The last epoch that was finished.
        outcomes: Of the steps of the epoch that was begun.
        warm_states: Where each training image's last solve ended, ``[images, n]``; None unless solves start warm.
        failed: Solves that failed in training, by name of their status.
        solves: Samples solved for in training.
        adjoint_failed: Backward solves that missed their tolerance.
    """

    def __init__(self, spec: ExperimentSpec, model: QDEQClassifier, train: Split, record: RunRecord) -> None:
        self.spec = spec
        self.model = model
        self.record = record
        named = {name: each for name, each in model.named_parameters() if each.requires_grad}
        self._names, self.parameters = list(named), list(named.values())
        self.optimizer = torch.optim.Adam(self.parameters, lr=spec.training.learning_rate, fused=True)
        self.step = 0
        self.epoch = 0
        self.best: EpochRecord | None = None
        self.last: EpochRecord | None = None
        self.outcomes: list[Outcomes] = []
        self.warm_states: Tensor | None = None
        if spec.training.warm_start:
            self.warm_states = self.parameters[0].new_zeros(len(train.labels), model.state_size)
        self.failed: Counter[str] = Counter()
        self.solves = 0
        self.adjoint_failed = 0
        self._best_weights: dict[str, Tensor] = {}

    def take_step(self, rate: float) -> None:
        """Move the weights along their gradients, with this step size.

        Raises:
            NotFinite: The weights have become infinite or NaN; the step does not count.
        """
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.step()
        if not bool(torch.stack([parameter.detach().isfinite().all() for parameter in self.parameters]).all()):
            raise NotFinite("the weights that it leads to are not finite")
        self.step += 1

    def keep_best(self, record: EpochRecord) -> None:
        """Remember the weights as they are as the best so far."""
        self.best, self._best_weights = record, model_tensors(self.model)

    def take_best(self) -> None:
        """Give the model its best weights."""
        self.model.load_state_dict({key.removeprefix(MODEL): value for key, value in self._best_weights.items()})

    def save_best(self, path: Path) -> None:
        """Write the best weights alone."""
        assert self.best is not None
        info = self._info(self.best.step, self.best.epoch, self.best)
        save_checkpoint(path, self._best_weights, info, record=self.record)

    def save(self, path: Path) -> None:
        """Write everything.

        Raises:
            CheckpointError: The file cannot be written.
        """
        tensors = model_tensors(self.model) | {_BEST + key: value for key, value in self._best_weights.items()}
        for name, parameter in zip(self._names, self.parameters, strict=True):
            for key, value in self.optimizer.state[parameter].items():
                tensors[f"{_OPTIMIZER}{name}.{key}"] = value.detach().cpu().clone()
        if self.warm_states is not None:
            tensors[_WARM] = self.warm_states.cpu().clone()
        if self.outcomes:
            tensors[_OUTCOMES] = Outcomes.join(self.outcomes).to_tensor()
        state = {
            "best": _untimed(self.best),
            "last": _untimed(self.last),
            "failed": dict(self.failed),
            "solves": self.solves,
            "adjoint_failed": self.adjoint_failed,
            "spent": known_spent(),
        }
        measured = self.last if self.last is not None and self.last.step == self.step else None
        save_checkpoint(path, tensors, self._info(self.step, self.epoch, measured), state, record=self.record)

    def restore(self, saved: Checkpoint) -> None:
        """Go back, or forward, to where a checkpoint of this run was written.

        Raises:
            CheckpointError: It has no state to go on from, or one that does not fit.
        """
        if saved.state is None:
            raise CheckpointError(
                f"{saved.path}: holds weights alone, without a state to go on from\n"
                "Start another run from them: training.init_from."
            )
        saved.restore(self.model)
        try:
            self._restore(saved.tensors, saved.state)
        except (KeyError, TypeError, ValueError, RuntimeError, AttributeError) as error:
            raise CheckpointError(f"{saved.path}: its state does not fit the experiment\nTrain again.") from error
        self.step, self.epoch = saved.info.step, saved.info.epoch

    def _restore(self, tensors: Any, state: Any) -> None:
        self.best = EpochRecord.from_dict(state["best"]) if state["best"] else None
        self.last = EpochRecord.from_dict(state["last"]) if state["last"] else None
        self.failed, self.solves = Counter(state["failed"]), state["solves"]
        self.adjoint_failed = state["adjoint_failed"]
        self._best_weights = {key.removeprefix(_BEST): value for key, value in tensors.items() if key.startswith(_BEST)}
        if self.warm_states is not None:
            self.warm_states.copy_(tensors[_WARM])
        self.outcomes = [Outcomes.from_tensor(tensors[_OUTCOMES])] if _OUTCOMES in tensors else []
        moments: dict[int, dict[str, Tensor]] = {}
        for index, name in enumerate(self._names):
            head = f"{_OPTIMIZER}{name}."
            found = {key.removeprefix(head): value for key, value in tensors.items() if key.startswith(head)}
            if found:
                moments[index] = found
        groups = self.optimizer.state_dict()["param_groups"]
        self.optimizer.load_state_dict({"state": moments, "param_groups": groups})

    def _info(self, step: int, epoch: int, measured: EpochRecord | None) -> CheckpointInfo:
        loss = None if measured is None else measured.validation.loss
        return CheckpointInfo(step, epoch, loss, self.spec.content_hash)


def _untimed(record: EpochRecord | None) -> dict[str, Any] | None:
    """Return a record without its wall-clock time: equal runs have equal checkpoints."""
    return None if record is None else record.to_dict() | {"time": {"seconds": 0.0}}
