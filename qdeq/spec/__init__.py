"""The experiment file: one YAML, checked as a whole before anything runs. Nothing else in qdeq knows the format."""

from qdeq.spec.experiment import ExperimentSpec
from qdeq.spec.loading import MAX_FILE_BYTES, load_spec, parse_spec, read_text, read_yaml
from qdeq.spec.sections import DataSpec, ModelSpec, TrainingSpec
from qdeq.spec.solver import SolverSpec
from qdeq.spec.text import parse_yaml, put

__all__ = [
    "MAX_FILE_BYTES",
    "DataSpec",
    "ExperimentSpec",
    "ModelSpec",
    "SolverSpec",
    "TrainingSpec",
    "load_spec",
    "parse_spec",
    "parse_yaml",
    "put",
    "read_text",
    "read_yaml",
]
