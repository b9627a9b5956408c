"""The sections of an experiment that are mappings of plain options: data, model and training."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from qdeq.data import make_dataset
from qdeq.data.files import DataPath
from qdeq.spec.fields import Count, Flag, Positive, Section, resolved


class DataSpec(Section):
    """Which images, and how they become features."""

    dataset: Annotated[dict[str, Any], resolved(make_dataset)] = Field(
        default="digits",
        validate_default=True,
        description="Data set: a name (digits, mnist, fashion-mnist, cifar10, npz), or a mapping with options.",
    )
    classes: list[Count] | None = Field(None, min_length=2, description="Labels to keep, in this order; null for all.")
    features: Literal["paper", "pool"] = Field(
        "pool",
        description="Map to n x n: the paper's average pooling (4 or 10 qubits), or adaptive average pooling (any).",
    )
    normalise: Literal["train"] | tuple[float, Annotated[float, Field(gt=0)]] = Field(
        "train", description="Pixel normalisation: the training split's mean and standard deviation, or [mean, std]."
    )
    split_seed: Count = Field(
        0, description="Seed of the splits; separate from the run's seed so that seeds share splits."
    )
    validation_fraction: float = Field(0.2, gt=0, lt=1, description="Part of the training images kept for validation.")
    limit: Positive | None = Field(None, description="At most so many training images; null for all.")

    @model_validator(mode="after")
    def _distinct(self) -> DataSpec:
        listed = self.classes or []
        for label in listed:
            if listed.count(label) > 1:
                raise ValueError(f"classes: {label} is listed twice")
        return self


class ModelSpec(Section):
    """The circuit, and what is done with it."""

    qubits: Annotated[int, Field(strict=True)] = Field(
        4, ge=2, le=24, description="Register n; the state has n entries, the features are n x n."
    )
    encoding: Literal["amplitude", "angle", "paper-angle"] = Field(
        "amplitude", description="How x + W y enters the circuit; paper-angle is the paper's layout for 4 or 10 qubits."
    )
    ansatz: Literal["paper", "paper-untrained-blocks", "hardware-efficient", "strongly-entangling"] = Field(
        "paper",
        description="Trainable circuit; paper-untrained-blocks is the paper's with fixed angles after the random "
        "layer, as its published code trains it.",
    )
    ansatz_layers: Positive = Field(1, le=1000, description="Repetitions of the ansatz, each with its own weights.")
    mode: Literal["implicit", "direct"] = Field(
        "implicit", description="Solve for the equilibrium, or apply the circuit `layers` times (the paper's DIRECT)."
    )
    layers: Positive | None = Field(
        None, le=1000, description="Applications of the circuit in direct mode; null in implicit mode."
    )
    state_scale: float = Field(1.0, description="Factor s of the injected state: the circuit sees x + s W y.")
    learn_state_scale: Flag = Field(False, description="Whether s is trained.")
    dropout: float = Field(0.05, ge=0, lt=1, description="Dropout probability in the read-out.")
    state_dropout: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="Dropout probability of each entry of the state that is fed back; in training only, one mask for a "
        "sample's whole solve.",
    )

    @model_validator(mode="after")
    def _consistent(self) -> ModelSpec:
        if (self.mode == "direct") != (self.layers is not None):
            raise ValueError(
                "layers goes with mode: direct (e.g. --set model.mode=direct --set model.layers=5), and only with it"
            )
        if self.encoding == "paper-angle" and self.qubits not in (4, 10):
            raise ValueError("encoding paper-angle is for 4 or 10 qubits; use encoding: angle")
        if self.encoding == "amplitude" and self.qubits**2 > 2**self.qubits:
            raise ValueError(
                f"{self.qubits**2} features do not fit the {2**self.qubits} amplitudes of {self.qubits} qubits; "
                "use at least 4 qubits, or encoding: angle"
            )
        return self


class TrainingSpec(Section):
    """Optimisation, evaluation and where it runs."""

    epochs: Positive = Field(30, description="Passes over the training images.")
    batch_size: Positive = Field(256, description="Images in a step.")
    learning_rate: float = Field(0.005, gt=0, description="Adam's step size.")
    schedule: Literal["constant", "cosine"] = Field(
        "constant", description="The step size over the run: as given, or falling to 0 along half a cosine."
    )
    clip: float | None = Field(0.25, gt=0, description="Largest norm of the whole gradient; null for no clipping.")
    warmup_steps: Count = Field(
        0, description="First so many steps train `warmup_layers` direct layers instead of the equilibrium."
    )
    warmup_layers: Positive = Field(2, le=1000, description="Layers of the warm-up.")
    jacobian_weight: float = Field(
        0.0,
        ge=0,
        description="Weight of the regulariser ||J||_F^2 / n at the equilibrium, in y-space, mean over the batch.",
    )
    jacobian_estimate: Literal["exact", "hutchinson"] = Field(
        "exact", description="The norm from the whole n x n Jacobian, or its estimate from one random vector."
    )
    warm_start: Flag = Field(
        False,
        description="Start an image's solve in training from its equilibrium of the epoch before; evaluation always "
        "starts from 0.",
    )
    diagnostics: Literal["auto", "always", "never"] = Field(
        "auto",
        description="Measure the Jacobian's spectral radius and norm: where no circuits are needed for it, in every "
        "evaluation and every tenth step (auto); whatever it costs, in every evaluation and step (always); or never.",
    )
    device: Annotated[str, Field(pattern=r"^(cpu|cuda(:\d+)?)$")] = Field(
        "cpu", description="Where it runs: cpu, cuda or cuda:N."
    )
    threads: Positive | None = Field(
        None,
        le=1024,
        description="CPU threads; null for one up to 6 qubits, and PyTorch's own choice beyond. A run keeps the number "
        "that was used: the last digits depend on it.",
    )
    precision: Literal["float32", "float64"] = Field(
        "float32", description="Floating-point type of model and simulation."
    )
    init_from: DataPath | None = Field(
        None,
        description="Start from the weights of this run (its best checkpoint) or checkpoint; a relative path starts "
        "at the experiment file's folder. null for random ones.",
    )
    tensorboard: Flag = Field(False, description="Also write TensorBoard files (needs the extra).")
    checkpoint_steps: Positive | None = Field(
        None, description="Write a checkpoint after every so many steps, too; null for none. Each epoch ends with one."
    )
    checkpoint_minutes: Annotated[float, Field(gt=0)] | None = Field(
        5.0, description="Write a checkpoint where the last one is so old [minutes]; null for no such limit."
    )
    checkpoints_kept: Positive = Field(2, description="How many checkpoints to go on from are kept, the newest.")
