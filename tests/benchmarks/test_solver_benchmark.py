"""The benchmark of solvers draws the same instances from the same seed, and catches a status that lies."""

import dataclasses
import json

import pytest
import torch

from benchmarks import instances, solvers
from benchmarks.torchdeq_solvers import PEERS, first_hit
from qdeq.solvers import Broyden, Solution, Status

INSTANCES, MODELS = 16, (2, 1)
OFFSETS = torch.tensor([[1.0, 0.4, -0.3]])
LIMITS = {"rtol": 1e-5, "atol": 1e-6, "budget": 51}


@pytest.fixture(scope="module", autouse=True)
def _short():
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("QDEQ_DATA", raising=False)
        patch.setitem(instances.EPOCHS, "digits", 1)
        yield


@pytest.fixture(scope="module")
def groups():
    return instances.draw(INSTANCES, 0, models=MODELS)


def test_writes_table_plot_and_raw_figures(tmp_path, capsys):
    names = ["shipped: broyden, 50 steps", "broyden", "naive"]
    arguments = ["--instances", str(INSTANCES), "--models", "2", "1", "--contenders", *names, "--out", str(tmp_path)]
    assert solvers.main([*arguments, "--precisions", "float64"]) == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["solvers.json", "solvers.md", "solvers.png"]
    written = json.loads((tmp_path / "solvers.json").read_text())
    row = written["results"]["float64"]["broyden"]
    assert row["instances"] == INSTANCES
    assert row["converged"] == INSTANCES - sum(row["failures"].values())
    assert [group["instances"] for group in row["groups"].values()] == [4] * 4
    assert f"| broyden | float64 | {row['converged']} of 16 |" in capsys.readouterr().out


def test_the_same_seed_draws_the_same_instances(groups):
    again, other = (instances.draw(INSTANCES, seed, models=(1, 1)) for seed in (0, 1))
    assert [group.name for group in groups] == [
        *("amplitude, untrained", "amplitude, trained", "angle, untrained", "angle, trained")
    ]
    for group, same, different in zip(groups, again, other, strict=True):
        assert torch.equal(group.models[0].weights, same.models[0].weights)
        assert not torch.allclose(group.models[0].weights, different.models[0].weights)
        assert torch.equal(group.features[0], same.features[0][: len(group.features[0])])


def test_trained_weights_are(groups):
    untrained, trained = (groups[2].models[0], groups[3].models[0])
    assert not torch.allclose(untrained.weights, trained.weights)


@pytest.mark.parametrize("lie", [Status.CONVERGED, Status.MAX_STEPS])
def test_a_false_status_is_counted(groups, monkeypatch, lie):
    honest = solvers.solve

    def lying(*arguments) -> Solution:
        steps = 1 if lie == Status.CONVERGED else 50
        found = honest(dataclasses.replace(arguments[0], max_steps=steps), *arguments[1:])
        return dataclasses.replace(found, status=torch.full_like(found.status, lie))

    solver = Broyden(rtol=solvers.RTOL, atol=solvers.ATOL, max_steps=50)
    assert not solvers.run(solver, groups[0], "float64").false.any()
    monkeypatch.setattr(solvers, "solve", lying)
    assert solvers.run(solver, groups[0], "float64").false.all()


def test_verdicts_compare_where_both_converge_and_everywhere():
    def outcome(evaluations, converged):
        rows = torch.tensor(converged)
        return solvers.Outcome(torch.tensor(evaluations), rows, ~rows & False, {})

    ours, theirs = outcome([4, 9, 51], [True, True, False]), outcome([5, 9, 30], [True, True, True])
    (first,) = [
        v
        for v in solvers.verdicts({"broyden": ours, "torchdeq broyden, memory 20": theirs}, "f")
        if "against" in v.text
    ]
    assert "6.500 and 7.000 evaluations where both converge (2), 21.333 and 14.667 with failures" in first.text
    assert "fewer on 1, more on 1" in first.text
    assert not first.met


@pytest.mark.parametrize("name", PEERS)
def test_torchdeq_is_stopped_at_the_first_point_that_meets_the_criterion(name):
    pytest.importorskip("torchdeq")
    spent, point, met = first_hit(PEERS[name], lambda y, x: 0.5 * y.cos() + x, torch.zeros(1, 3), (OFFSETS,), **LIMITS)
    value = 0.5 * point.cos() + OFFSETS
    assert met
    assert (value - point).norm() <= 1e-6 + 1e-5 * value.norm()
    assert 3 < spent < 20


def test_torchdeq_fails_at_the_budget():
    pytest.importorskip("torchdeq")
    for peer in PEERS.values():
        spent, _, met = first_hit(peer, lambda y: y * y + 1, torch.zeros(1, 2), (), **LIMITS)
        assert (spent, met) == (51, False)


def test_unknown_contenders_are_refused(capsys):
    with pytest.raises(SystemExit):
        solvers.main(["--contenders", "brodyen"])
    assert "--contenders brodyen: there are" in capsys.readouterr().err
