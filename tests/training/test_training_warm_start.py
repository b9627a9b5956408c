"""Warm starts: solves of an epoch begin where those of the last one ended, in training and nowhere else."""

import pytest
import torch
from tiny_runs import read_metrics, tiny_spec, untimed

from qdeq.builders import build_data, build_model
from qdeq.errors import SpecError
from qdeq.spec import parse_spec
from qdeq.training import Progress, RunFolder, RunRecord, Trainer, evaluate, evaluate_run, train

STANDSTILL = {"epochs": 3, "learning_rate": 1e-12, "precision": "float64"}
"""Weights that hardly move: f changes by far less than the tolerance of 1e-3, and than how far solves undercut it."""


def train_steps(folder, **options):
    train(tiny_spec(training={**STANDSTILL, **options}), folder)
    return read_metrics(folder, "step")


def trainer_of(spec, path):
    splits = build_data(spec)
    folder = RunFolder(path)
    folder.create(spec)
    model = build_model(spec, len(splits.class_names))
    trainer = Trainer(spec, model, splits, RunRecord.of(spec, splits), folder, Progress())
    trainer.run()
    return trainer


def test_a_solve_that_starts_at_its_solution_takes_one_evaluation(tmp_path):
    """The images are shuffled anew in every epoch, so this also says that each one gets its own state back."""
    cold, warm = train_steps(tmp_path / "cold"), train_steps(tmp_path / "warm", warm_start=True)
    assert [step["evaluations"] for step in cold[:4]] == [step["evaluations"] for step in warm[:4]]
    assert all(step["evaluations"] > 3 for step in cold)
    assert [step["evaluations"] for step in warm[4:]] == [1.0] * 8
    assert all(step["converged"] == 1 for step in warm)


def test_evaluation_starts_from_zero_all_the_same(tmp_path):
    spec = tiny_spec(training={"warm_start": True, "epochs": 3})
    summary = train(spec, tmp_path / "run")
    again = evaluate_run(tmp_path / "run")  # knows of no states
    assert (again.validation, again.test) == (summary.validation, summary.test)
    assert summary.validation.evaluations > 3
    # the spec's flag alone changes nothing of an evaluation either
    cold = tiny_spec(training={"epochs": 3})
    model, splits = build_model(spec, 4), build_data(spec)
    assert evaluate(model, splits.test, spec) == evaluate(model, splits.test, cold)


def test_the_store_holds_the_equilibrium_of_every_training_image_in_its_row(tmp_path):
    trainer = trainer_of(tiny_spec(training={**STANDSTILL, "warm_start": True}), tmp_path / "run")
    assert trainer.state.warm_states.shape == (60, 4)
    with torch.no_grad():
        wanted = trainer.model.eval()(trainer.splits.train.features.double()).equilibrium.value
    # rtol 1e-3 leaves at most 1e-3 ||y|| ||(1 - J)^-1||
    torch.testing.assert_close(trainer.state.warm_states, wanted, atol=1e-2, rtol=0)
    assert float((trainer.state.warm_states - wanted.roll(1, 0)).abs().max()) > 0.1
    assert trainer_of(tiny_spec(training={"epochs": 1}), tmp_path / "cold").state.warm_states is None


def test_images_whose_solve_failed_start_from_zero_again(tmp_path):
    failing = {"max_steps": 1, "rtol": 1e-6}
    trainer = trainer_of(tiny_spec(solver=failing, training={"warm_start": True}), tmp_path / "warm")
    assert torch.equal(trainer.state.warm_states, torch.zeros(60, 4))
    trainer_of(tiny_spec(solver=failing), tmp_path / "cold")
    assert untimed(read_metrics(tmp_path / "warm")) == untimed(read_metrics(tmp_path / "cold"))


def test_warm_up_keeps_no_states(tmp_path):
    steps = train_steps(tmp_path / "run", warm_start=True, warmup_steps=4)
    assert all(step["evaluations"] > 3 for step in steps[4:8])
    assert all(step["evaluations"] == 1 for step in steps[8:])


def test_a_fixed_number_of_steps_goes_on_from_the_last_epoch(tmp_path):
    cold, warm = (
        trainer_of(
            tiny_spec(solver={"name": "naive", "fixed_steps": 2}, training={**STANDSTILL, "warm_start": start}),
            tmp_path / str(start),
        )
        for start in (False, True)
    )
    residuals = [read_metrics(trainer.folder.path, "epoch")[-1]["train"]["residual_mean"] for trainer in (cold, warm)]
    assert residuals[1] < 0.5 * residuals[0]


def test_direct_layers_have_nothing_to_start_from():
    with pytest.raises(SpecError, match=r"warm_start needs model\.mode: implicit"):
        parse_spec({"model": {"mode": "direct", "layers": 2}, "training": {"warm_start": True}}, "x")
