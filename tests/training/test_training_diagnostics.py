"""Spectral radius and norm in a run's metrics: their values, when they are measured, and that they change nothing."""

import numpy as np
import pytest
import torch
from tiny_runs import read_metrics, tiny_spec, untimed

from qdeq.builders import build_data, build_model
from qdeq.seeds import torch_generator
from qdeq.training import RunFolder, evaluate, load_checkpoint, train
from qdeq.training.diagnostics import STRIDE
from qdeq.training.metrics import Outcomes

KEYS = ("spectral_radius_mean", "spectral_radius_max", "jacobian_norm_mean", "jacobian_norm_max", "certified")
CIRCUITS = {"name": "torch", "execution": "circuits"}

SAME_JACOBIAN = 1e-4
"""Two float32 Jacobians of one state, by a quadratic form and by backpropagation through the circuit."""


def figures(record):
    return [record[key] for key in KEYS]


def by_hand(model, x):
    """Spectral radius and norm at the equilibria: PyTorch's Jacobian of the open circuit, NumPy's decompositions."""
    star = model(x).equilibrium.value.detach()
    weights, scale = model.weights.detach(), model.state_scale
    found = []
    for row, y in zip(x, star, strict=True):
        matrix = torch.autograd.functional.jacobian(
            lambda y, row=row: model.function((row + scale * y.repeat_interleave(4))[None], weights)[0], y
        ).numpy()
        found.append((max(abs(np.linalg.eigvals(matrix))), np.linalg.norm(matrix, 2)))
    return np.array(found).T


def test_an_evaluation_has_the_figures_of_the_jacobian_at_the_equilibrium():
    spec = tiny_spec()
    model, splits = build_model(spec, 4), build_data(spec)
    metrics = evaluate(model, splits.validation, spec)
    radius, norm = by_hand(model, splits.validation.features.to(model.weights))
    wanted = (radius.mean(), radius.max(), norm.mean(), norm.max(), (norm < 1).mean())
    for key, value in zip(KEYS, wanted, strict=True):
        assert getattr(metrics, key) == pytest.approx(value, rel=SAME_JACOBIAN), key


def test_every_epoch_of_a_run_has_them(finished):
    _, summary, folder = finished
    for epoch in read_metrics(folder, "epoch"):
        for split in ("train", "validation"):
            mean, largest, norm, largest_norm, certified = figures(epoch[split])
            assert 0 < mean <= largest <= largest_norm
            assert mean <= norm <= largest_norm
            assert 0 <= certified <= 1
    assert summary.test.spectral_radius_mean > 0


def test_by_default_the_first_step_of_an_epoch_and_every_tenth_after_it_are_measured(tmp_path):
    assert STRIDE == 10
    train(tiny_spec(training={"batch_size": 5}), tmp_path / "run")  # 12 steps an epoch
    measured = [step["step"] for step in read_metrics(tmp_path / "run", "step") if None not in figures(step)]
    assert measured == [1, 11, 13, 23]
    none = [step for step in read_metrics(tmp_path / "run", "step") if step["step"] not in measured]
    assert all(figures(step) == [None] * 5 for step in none)


def test_it_can_be_always_or_never_and_training_does_not_notice(tmp_path):
    for choice in ("always", "never"):
        train(tiny_spec(training={"diagnostics": choice}), tmp_path / choice)
    always, never = (read_metrics(tmp_path / choice) for choice in ("always", "never"))
    assert all(None not in figures(step) for step in always if step["kind"] == "step")
    assert all(figures(step) == [None] * 5 for step in never if step["kind"] == "step")
    assert all(figures(epoch["validation"]) == [None] * 5 for epoch in never if epoch["kind"] == "epoch")

    def rest(records):
        return [
            {key: value for key, value in record.items() if key not in (*KEYS, "train", "validation")}
            for record in untimed(records)
        ]

    assert rest(always) == rest(never)
    for which in ("best", "last"):
        one, other = (
            load_checkpoint(RunFolder(tmp_path / choice).checkpoint(which)).tensors for choice in ("always", "never")
        )
        weights = [name for name in one if name != "outcomes"]
        assert all(torch.equal(one[name], other[name]) for name in weights)


def test_a_backend_that_runs_circuits_is_spared_unless_asked(tmp_path):
    spec = tiny_spec(backend=CIRCUITS)
    model, splits = build_model(spec, 4), build_data(spec)
    assert figures(vars(evaluate(model, splits.validation, spec))) == [None] * 5
    asked = evaluate(model, splits.validation, tiny_spec(backend=CIRCUITS, training={"diagnostics": "always"}))
    compiled = evaluate(build_model(tiny_spec(), 4), splits.validation, tiny_spec())
    assert figures(vars(asked)) == pytest.approx(figures(vars(compiled)), rel=SAME_JACOBIAN)


def test_a_step_is_measured_before_its_update(tmp_path):
    """A function that runs bound circuits sees the weights in place: after the update it would be another one."""
    shifted = {**CIRCUITS, "gradient": "parameter-shift"}
    spec = tiny_spec(backend=shifted, training={"diagnostics": "always", "learning_rate": 0.5, "epochs": 1})
    train(spec, tmp_path / "run")
    first = read_metrics(tmp_path / "run", "step")[0]
    data = build_data(spec).train
    rows = torch.randperm(60, generator=torch_generator(spec.seed, "sampler", 1))[:16]
    model = build_model(spec, 4)
    radius, _ = by_hand(model, data.features[rows].to(model.weights))
    assert first["spectral_radius_mean"] == pytest.approx(radius.mean(), rel=SAME_JACOBIAN)


def test_direct_layers_have_no_equilibrium_to_measure(tmp_path):
    spec = tiny_spec(model={"mode": "direct", "layers": 2}, training={"epochs": 1, "diagnostics": "always"})
    summary = train(spec, tmp_path / "run")
    assert figures(vars(summary.test)) == [None] * 5
    assert all(figures(step) == [None] * 5 for step in read_metrics(tmp_path / "run", "step"))


def outcomes(**columns):
    plain = {
        "loss": [1.0] * 4,
        "correct": [1.0] * 4,
        "evaluations": [3.0] * 4,
        "residual": [1e-4] * 4,
        "shots": [np.nan] * 4,
    }
    both = {
        **plain,
        "status": [0.0, 0.0, 1.0, 2.0],
        "shots": [np.nan] * 4,
        "spectral_radius": [0.5] * 4,
        "jacobian_norm": [0.9] * 4,
        **columns,
    }
    return Outcomes(**{key: np.array(value) for key, value in both.items()})


def test_only_a_solve_that_converged_is_certified():
    assert outcomes().metrics().certified == 0.5
    assert outcomes(jacobian_norm=[1.0, 0.9, 0.9, 0.9]).metrics().certified == 0.25  # 1 itself does not do


def test_samples_that_were_not_measured_do_not_count():
    nan = np.nan
    metrics = outcomes(spectral_radius=[nan, 0.5, 0.7, nan], jacobian_norm=[nan, 2.0, 0.8, nan]).metrics()
    assert metrics.spectral_radius_mean == pytest.approx(0.6)
    assert (metrics.jacobian_norm_max, metrics.certified) == (2.0, 0.0)
    assert outcomes(spectral_radius=[nan] * 4, jacobian_norm=[nan] * 4).metrics().certified is None


def test_a_jacobian_that_is_not_finite_does_not_hide_the_others():
    metrics = outcomes(spectral_radius=[0.5, 0.7, np.inf, np.inf]).metrics()
    assert metrics.spectral_radius_mean == pytest.approx(0.6)
    assert metrics.spectral_radius_max is None


def test_a_fixed_number_of_steps_makes_no_claim():
    assert outcomes(status=[3.0] * 4).metrics().certified is None
