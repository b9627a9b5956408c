"""The experiment file: one YAML, checked as a whole before anything runs. Nothing else in qdeq knows the format."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from qdeq.adjoints import IterativeAdjoint, get_adjoint
from qdeq.backends import get_backend
from qdeq.budget import Budget
from qdeq.data import make_dataset
from qdeq.errors import QdeqError, SpecError, did_you_mean
from qdeq.noise import NoiseModel
from qdeq.solvers import CompositeSolver, get_solver

MAX_FILE_BYTES = 1 << 20
"""An experiment file larger than this is refused unread."""

Count = Annotated[int, Field(strict=True, ge=0)]
Positive = Annotated[int, Field(strict=True, ge=1)]
Flag = Annotated[bool, Field(strict=True)]


def _resolved(build: Callable[[Any], Any]) -> BeforeValidator:
    """Turn a plug-in's name, or mapping with options, into the mapping with all options written out."""

    def resolve(choice: Any) -> dict[str, Any]:
        try:
            made = build(choice)
        except QdeqError as error:
            raise ValueError(str(error)) from error
        name = choice["name"] if isinstance(choice, Mapping) else choice
        return {"name": name, **dataclasses.asdict(made)}

    return BeforeValidator(resolve)


def _adjoint_options(choice: Any) -> Any:
    """Return what holds an adjoint's options; those of a solver stand beside its name."""
    made = get_adjoint(choice)
    return made.solver if isinstance(made, IterativeAdjoint) else made


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class DataSpec(_Section):
    """Which images, and how they become features."""

    dataset: Annotated[dict[str, Any], _resolved(make_dataset)] = Field(
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


class ModelSpec(_Section):
    """The circuit, and what is done with it."""

    qubits: Positive = Field(4, le=24, description="Register n; the state has n entries, the features are n x n.")
    encoding: Literal["amplitude", "angle", "paper-angle"] = Field(
        "amplitude", description="How x + W y enters the circuit; paper-angle is the paper's layout for 4 or 10 qubits."
    )
    ansatz: Literal["paper", "hardware-efficient", "strongly-entangling"] = Field(
        "paper", description="Trainable circuit."
    )
    ansatz_layers: Positive = Field(1, description="Repetitions of the ansatz, each with its own weights.")
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


class SolverSpec(BaseModel):
    """A fixed-point solver, its options, and what happens where it fails."""

    model_config = ConfigDict(extra="allow", frozen=True)

    name: str = Field(
        "broyden", description="A registered solver; `qdeq solvers` lists them. Its options stand beside it."
    )
    on_failure: Literal["warn", "raise", "fallback"] = Field(
        "warn", description="A sample that does not converge: use its best iterate, stop, or try the fallback solvers."
    )
    fallback: list[Annotated[dict[str, Any], _resolved(get_solver)]] = Field(
        default=[], description="Solvers that failed samples are tried with, in order; needs on_failure: fallback."
    )

    fixed_steps: Positive | None = Field(
        None, description="Exactly so many steps, without a test of convergence or of noise; null to solve."
    )
    first_shots: Positive | None = Field(
        None,
        description="Shots of a sample's first evaluations; they grow up to `shots` where noise hides the residual. "
        "null for `shots` from the start.",
    )
    shots_growth: float = Field(4.0, gt=1, description="Factor by which `first_shots` grow [dimensionless].")

    @model_validator(mode="before")
    @classmethod
    def _from_name(cls, choice: Any) -> Any:
        return {"name": choice} if isinstance(choice, str) else choice

    @model_validator(mode="after")
    def _checked(self) -> SolverSpec:
        if (self.on_failure == "fallback") != bool(self.fallback):
            raise ValueError("on_failure: fallback and a list `fallback` of solvers go together")
        if self.first_shots is not None and self.fixed_steps is not None:
            raise ValueError("first_shots grow by tests that fixed_steps leaves out; set one of them to null")
        try:
            made = get_solver(self.choice())
        except QdeqError as error:
            raise ValueError(str(error)) from error
        if self.fixed_steps is not None and isinstance(made, CompositeSolver):
            raise ValueError(f"{self.name} cannot take a fixed number of steps: name one of its solvers")
        object.__setattr__(self, "__pydantic_extra__", dataclasses.asdict(made))
        return self

    def choice(self) -> dict[str, Any]:
        """Return name and options, as :func:`qdeq.solvers.get_solver` takes them."""
        return {"name": self.name, **(self.model_extra or {})}


class TrainingSpec(_Section):
    """Optimisation, evaluation and where it runs."""

    epochs: Positive = Field(30, description="Passes over the training images.")
    batch_size: Positive = Field(256, description="Images in a step.")
    learning_rate: float = Field(0.005, gt=0, description="Adam's step size.")
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
        None, le=1024, description="CPU threads; null for one up to 6 qubits, and PyTorch's own choice beyond."
    )
    precision: Literal["float32", "float64"] = Field(
        "float32", description="Floating-point type of model and simulation."
    )
    tensorboard: Flag = Field(False, description="Also write TensorBoard files (needs the extra).")


class ExperimentSpec(_Section):
    """A whole experiment."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")] = Field(
        "experiment", description="Name of the experiment: letters, digits, dot, dash, underscore."
    )
    seed: Count = Field(0, description="Root of all random streams of the run.")
    data: DataSpec = Field(default_factory=DataSpec, description="Images and features.")
    model: ModelSpec = Field(default_factory=ModelSpec, description="Circuit and mode.")
    backend: Annotated[dict[str, Any], _resolved(get_backend)] = Field(
        default="torch",
        validate_default=True,
        description="Backend: a name, or a mapping with name and options; `qdeq backends` lists them.",
    )
    shots: Positive | None = Field(None, description="Measurements per circuit; null for exact expectations.")
    noise: NoiseModel | None = Field(None, description="Noise of gates and of the measurement; null for none.")
    solver: SolverSpec = Field(default_factory=SolverSpec, description="Forward solver: a name, or a mapping.")
    adjoint: Annotated[dict[str, Any], _resolved(_adjoint_options)] = Field(
        default="dense",
        validate_default=True,
        description="How the equilibrium gets its gradient: dense, gmres or a registered solver (exact), phantom or "
        "jacobian-free (biased), unrolled (that of the solver's steps); a name, or a mapping with options.",
    )
    training: TrainingSpec = Field(default_factory=TrainingSpec, description="Optimisation.")
    budget: Budget | None = Field(
        None, description="What may be spent; a backend that costs money does not run without."
    )

    @model_validator(mode="after")
    def _consistent(self) -> ExperimentSpec:
        if self.data.features == "paper" and self.model.qubits not in (4, 10):
            raise ValueError("data.features: paper is for 4 or 10 qubits; use features: pool")
        if self.shots is not None and self.training.jacobian_weight:
            raise ValueError("training.jacobian_weight has to be 0 under shots: its derivative is not measured")
        if self.noise is not None:
            self._check_noise(self.noise)
        first = self.solver.first_shots
        if first is not None and (self.shots is None or first > self.shots):
            raise ValueError(f"solver.first_shots is {first}, and shots is {self.shots}: it needs at least as many")
        if first is not None and self.adjoint["name"] == "unrolled":
            raise ValueError("adjoint: unrolled repeats a solve with all shots; leave solver.first_shots out")
        if self.model.mode == "direct" and (self.training.warmup_steps or self.training.jacobian_weight):
            raise ValueError("training.warmup_steps and training.jacobian_weight need model.mode: implicit")
        if self.model.mode == "direct" and self.training.warm_start:
            raise ValueError("training.warm_start needs model.mode: implicit; direct layers always start from 0")
        if self.adjoint["name"] == "unrolled" and self.solver.fallback:
            raise ValueError("adjoint: unrolled follows one solver; leave solver.fallback out, or use adjoint: dense")
        if self.adjoint["name"] == "unrolled" and isinstance(get_solver(self.solver.choice()), CompositeSolver):
            raise ValueError(f"adjoint: unrolled follows one solver; name one in place of {self.solver.name}")
        return self

    def _check_noise(self, noise: NoiseModel) -> None:
        if noise.encoder and self.model.encoding == "amplitude":
            raise ValueError("noise.encoder needs rotations by inputs; use model.encoding: angle, or encoder: false")
        outside = [qubit for qubit in noise.named_qubits if qubit >= self.model.qubits]
        if outside:
            raise ValueError(f"noise names qubit {outside[0]}, and model.qubits is {self.model.qubits}")

    def to_yaml(self) -> str:
        """Return the spec with every default written out."""
        return yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False)

    @property
    def content_hash(self) -> str:
        """SHA-256 of the resolved spec, in hexadecimal, without what does not change the experiment: device, ..."""
        data = self.model_dump(mode="json")
        for where in ("device", "threads", "tensorboard", "diagnostics"):
            del data["training"][where]
        del data["budget"]
        return hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()


def load_spec(path: str | Path, overrides: Sequence[str] = ()) -> ExperimentSpec:
    """Read an experiment file.

    Args:
        path: A YAML file.
        overrides: Assignments ``"a.b=value"``, the value in YAML, applied in order.

    Raises:
        SpecError: The file cannot be read, or does not describe an experiment.
    """
    path = Path(path)
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise SpecError(f"{path}: larger than {MAX_FILE_BYTES} bytes; an experiment file is a few lines of YAML")
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        hint = f"; did you mean {path / 'spec.yaml'}?" if (path / "spec.yaml").is_file() else ""
        raise SpecError(f"{path}: cannot be read ({error.strerror}){hint}") from error
    except UnicodeDecodeError as error:
        raise SpecError(f"{path}: cannot be read as UTF-8 (byte {error.start}); save it as UTF-8") from error
    except ValueError as error:  # a path with a NUL in it
        raise error if isinstance(error, SpecError) else SpecError(f"{path!r}: cannot be read ({error})") from error
    data = parse_yaml(text, str(path))
    for override in overrides:
        _assign(data, override)
    return parse_spec(data, str(path), overrides)


def parse_spec(data: Any, source: str, overrides: Sequence[str] = ()) -> ExperimentSpec:
    """Check a parsed experiment; ``source`` names it in messages, which also say what came in by an override."""
    if not isinstance(data, dict):
        raise SpecError(f"{source}: expected a mapping with the keys {', '.join(ExperimentSpec.model_fields)}")
    try:
        return ExperimentSpec.model_validate(data)
    except ValidationError as error:
        raise SpecError(
            "\n".join(_explain(source, item) + _origin(item, overrides) for item in error.errors(include_url=False)[:2])
        ) from error


class _Loader(yaml.SafeLoader):
    """The safe loader, without aliases (a few lines of them can ask for gigabytes) and without repeated keys."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            mark = self.peek_event().start_mark
            raise yaml.constructor.ConstructorError(None, None, "aliases (*name) are not allowed", mark)
        return super().compose_node(parent, index)

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key, _ in node.value:
            if not isinstance(key.value, str):  # a list or a mapping as a key: the base class refuses it
                continue
            if key.value in seen:
                raise yaml.constructor.ConstructorError(None, None, f"key {key.value!r} stands twice", key.start_mark)
            seen.add(key.value)
        return super().construct_mapping(node, deep)


def parse_yaml(text: str, source: str) -> Any:
    """Parse YAML; ``source`` names it in messages.

    Raises:
        SpecError: The text is not YAML, or uses what an experiment file may not.
    """
    try:
        loader = _Loader(text)  # refuses characters that YAML does not have
        try:
            return loader.get_single_data()
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        where = f", line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise SpecError(f"{source}{where}: not valid YAML: {error.problem}") from error
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise SpecError(f"{source}: not valid YAML: {str(error).splitlines()[0]}") from error


def _assign(data: Any, override: str) -> None:
    path, sign, text = override.partition("=")
    keys = path.strip().split(".")
    if not sign or not all(keys):
        raise SpecError(f"--set {override}: expected KEY.KEY=VALUE, for example training.epochs=5")
    target = data
    for key in keys[:-1]:
        if isinstance(target, dict) and isinstance(target.get(key), str):
            target[key] = {"name": target[key]}  # `solver: broyden` and --set solver.max_steps=20
        target = target.setdefault(key, {}) if isinstance(target, dict) else None
    if not isinstance(target, dict):
        raise SpecError(f"--set {override}: {path} does not lead into a mapping")
    target[keys[-1]] = parse_yaml(text, f"--set {override}")


def _origin(item: Any, overrides: Sequence[str]) -> str:
    """Say which override, if any, the mistake came in by: the file itself may be right."""
    where = ".".join(str(part) for part in item["loc"])
    guilty = [text for text in overrides if f"{where}.".startswith(f"{text.partition('=')[0].strip()}.")]
    if not guilty:
        return ""
    key, _, value = guilty[-1].partition("=")
    # a whole mapping may hold anything, keys of an account too: it is not repeated
    return f" (from --set {key}={'{...}' if value.lstrip().startswith('{') else value})"


def _explain(source: str, item: Any) -> str:
    """Return one line: file, path, what is wrong, what is allowed."""
    location = [part for part in item["loc"] if not str(part).startswith(("function-", "literal[", "tuple["))]
    where = ".".join(str(part) for part in location)
    prefix = f"{source}: {where}: " if where else f"{source}: "
    if item["type"] == "extra_forbidden":
        fields = _fields_at(location[:-1])
        return f"{prefix}unknown key; allowed: {', '.join(fields)}.{did_you_mean(location[-1], fields)}"
    message = item["msg"].removeprefix("Value error, ")
    if item["type"] == "value_error":
        return prefix + message
    if item["type"] in ("model_type", "dict_type"):
        fields = _fields_at(location)
        keys = f" with the keys {', '.join(fields)}" if fields else ""
        return f"{prefix}expected a mapping{keys}, not {_short(item['input'])}"
    if item["type"] == "too_short":
        return f"{prefix}needs at least {item['ctx']['min_length']} entries, not {_short(item['input'])}"
    if item["type"] == "string_pattern_mismatch":
        return f"{prefix}not {_short(item['input'])}. Allowed: {_description_at(location)}"
    guess = (
        did_you_mean(item["input"], item["ctx"]["expected"].replace("'", "").replace(" or ", ", ").split(", "))
        if item["type"] == "literal_error"
        else ""
    )
    return f"{prefix}{message[0].lower()}{message[1:]}, not {_short(item['input'])}.{guess}"


def _description_at(location: Sequence[Any]) -> str:
    parent: Any = ExperimentSpec
    for key in location[:-1]:
        parent = parent.model_fields[str(key)].annotation
    return parent.model_fields[str(location[-1])].description or ""


def _fields_at(location: Sequence[Any]) -> list[str]:
    model: Any = ExperimentSpec
    for key in location:
        if get_origin(model) is dict:  # of `dict[int, Section]`: the key is the user's
            model = get_args(model)[1]
            continue
        field = model.model_fields.get(str(key))
        model = field.annotation if field else None
        if get_origin(model) is dict:
            continue
        model = next((kind for kind in get_args(model) if kind is not type(None)), model)  # of `Budget | None`
        if not (isinstance(model, type) and issubclass(model, BaseModel)):
            return []
    return list(model.model_fields) if isinstance(model, type) and issubclass(model, BaseModel) else []


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
