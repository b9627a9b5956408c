"""Training and evaluation of experiments.

>>> summary = train(load_spec("configs/digits.yaml"), "runs/digits")  # doctest: +SKIP
>>> again = evaluate_run("runs/digits")  # doctest: +SKIP
"""

from qdeq.training.checkpoints import Checkpoint, CheckpointInfo, load_checkpoint, model_tensors, save_checkpoint
from qdeq.training.evaluate import RunEvaluation, evaluate, evaluate_run
from qdeq.training.folder import RunFolder
from qdeq.training.log import read_log
from qdeq.training.metrics import EpochRecord, Metrics, StepRecord
from qdeq.training.progress import Plan, Progress
from qdeq.training.run import resume, train
from qdeq.training.signals import TrainingInterrupted, TrainingTerminated
from qdeq.training.summary import RunSummary
from qdeq.training.trainer import Trainer

__all__ = [
    "Checkpoint",
    "CheckpointInfo",
    "EpochRecord",
    "Metrics",
    "Plan",
    "Progress",
    "RunEvaluation",
    "RunFolder",
    "RunSummary",
    "StepRecord",
    "Trainer",
    "TrainingInterrupted",
    "TrainingTerminated",
    "evaluate",
    "evaluate_run",
    "load_checkpoint",
    "model_tensors",
    "read_log",
    "resume",
    "save_checkpoint",
    "train",
]
