"""Training and evaluation of experiments.

>>> summary = train(load_spec("configs/digits.yaml"), "runs/digits")  # doctest: +SKIP
>>> again = evaluate_run("runs/digits")  # doctest: +SKIP
>>> labels = load_run("runs/digits").predict(images).labels  # doctest: +SKIP
"""

from qdeq.training.checkpoints import Checkpoint, CheckpointInfo, load_checkpoint, model_tensors, save_checkpoint
from qdeq.training.classify import Predictions
from qdeq.training.evaluate import evaluate
from qdeq.training.folder import RunFolder
from qdeq.training.log import read_log
from qdeq.training.machine import Machine
from qdeq.training.metrics import EpochRecord, Metrics, StepRecord
from qdeq.training.progress import Plan, Progress
from qdeq.training.record import Continuation, RunRecord, Start
from qdeq.training.run import resume, train
from qdeq.training.run_evaluation import RunEvaluation, evaluate_run
from qdeq.training.saved import SavedRun, load_run
from qdeq.training.signals import TrainingInterrupted, TrainingTerminated
from qdeq.training.summary import RunSummary
from qdeq.training.trainer import Trainer

__all__ = [
    "Checkpoint",
    "CheckpointInfo",
    "Continuation",
    "EpochRecord",
    "Machine",
    "Metrics",
    "Plan",
    "Predictions",
    "Progress",
    "RunEvaluation",
    "RunFolder",
    "RunRecord",
    "RunSummary",
    "SavedRun",
    "Start",
    "StepRecord",
    "Trainer",
    "TrainingInterrupted",
    "TrainingTerminated",
    "evaluate",
    "evaluate_run",
    "load_checkpoint",
    "load_run",
    "model_tensors",
    "read_log",
    "resume",
    "save_checkpoint",
    "train",
]
