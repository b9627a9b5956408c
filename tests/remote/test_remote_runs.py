"""Training on SV1 from the command line: native's numbers, the estimated bill, and nothing paid for twice."""

import json
import os
from pathlib import Path

import pytest
from paid_runs import QUICK, figures, run, sets, summary, write_experiment

from qdeq.backends.braket_remote.retries import Rate
from qdeq.billing.ledger import Ledger

SAME = 1e-6
"""A run on a device and one on the native simulator, both in float64: their circuits agree to 1e-15."""

CONFIGS = Path(__file__).parents[2] / "configs"


@pytest.fixture
def experiment(tmp_path, braket_env, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return write_experiment(tmp_path)


def estimated(*arguments):
    (found,) = json.loads(run("estimate", *arguments, "--json").stdout)["estimates"]
    return found, found["bills"][found["execution"]]["total"]


def test_only_backend_and_budget_change_and_the_numbers_are_natives(experiment, tmp_path, braket_env, monkeypatch):
    monkeypatch.setattr(Rate, "wait", lambda self: None)  # the service of the tests needs no sparing
    experiment.write_text(experiment.read_text().replace("epochs: 2", "epochs: 1"))
    run("train", experiment, "--out", "native", "-q")
    paid = ["--backend", "braket-sv1", *sets(budget__max_usd=5)]
    output = run("train", experiment, "--out", "sv1", *paid).stdout
    ours, theirs = figures(tmp_path / "sv1"), figures(tmp_path / "native")
    assert len(ours) == len(theirs) > 10
    assert max(abs(a - b) for a, b in zip(ours, theirs, strict=True)) < SAME
    assert "tasks" in output.splitlines()[0]  # what was chosen, and what it costs, comes first
    assert "would take" in output.replace("\n", " ")

    bill, book = braket_env.bill(), Ledger(tmp_path / "sv1" / "ledger.sqlite")
    assert book.totals().tasks == bill["tasks"] == len(braket_env.tasks())
    assert book.totals().cost == round(bill["usd"] * 1e9)
    book.close()
    found, total = estimated(experiment, *paid)
    assert found["execution"] == "compiled"  # so the number of solver steps does not matter
    assert total["least"]["tasks"] == bill["tasks"] == total["most"]["tasks"]
    assert total["least"]["usd_least"] <= bill["usd"] <= total["most"]["usd_most"]

    # evaluating and repeating the run asks for nothing new
    before = summary(tmp_path / "sv1")
    run("eval", "sv1")
    run("train", experiment, "--out", "sv1", "--force", *paid)
    after = summary(tmp_path / "sv1")
    assert {k: after[k] for k in ("train", "validation", "test")} == {
        k: before[k] for k in ("train", "validation", "test")
    }
    assert braket_env.bill() == bill


def cases(table, quick):
    """Parameters for pytest, all but a few of them slow."""
    return [
        pytest.param(changes, id=name, marks=[] if name in quick else [pytest.mark.slow])
        for name, changes in table.items()
    ]


EXACT_CASES = {
    "angle": {},
    "angle, compiled": {"backend": QUICK | {"execution": "compiled"}},
    "angle, direct": {"model__mode": "direct", "model__layers": 2, "solver": "broyden", "training__epochs": 1},
    "warm-up": {"training__warmup_steps": 1, "training__epochs": 1},
    "gradient by shifts": {"backend": QUICK | {"gradient": "parameter-shift"}, "training__epochs": 1},
    "jacobian-free": {"adjoint": "jacobian-free", "training__epochs": 1},
    "angle, shots": {"shots": 20, "training__epochs": 1},
    "diagnostics": {"training__diagnostics": "always", "training__epochs": 1},
}


@pytest.mark.parametrize("changes", cases(EXACT_CASES, quick=("angle", "angle, shots")))
def test_with_fixed_steps_the_estimate_is_what_the_service_counts(experiment, braket_env, changes):
    values = {"backend": QUICK, "solver": {"name": "broyden", "fixed_steps": 2}, "budget__max_usd": 50}
    arguments = [experiment, *sets(**(values | changes))]
    _, total = estimated(*arguments)
    assert total["least"] == total["most"]
    run("train", *arguments, "--out", "run", "-q")
    bill = braket_env.bill()
    assert (bill["tasks"], bill["shots"]) == (total["most"]["tasks"], total["most"]["shots"])
    assert bill["usd"] == pytest.approx(total["least"]["usd_least"])
    assert bill["tasks"] > 0


AMPLITUDE = {
    "circuits": {"backend": QUICK | {"execution": "circuits"}},
    "compiled": {"backend": QUICK | {"execution": "compiled"}},
    "shots": {"backend": QUICK, "shots": 10, "model__ansatz": "hardware-efficient"},
}


@pytest.mark.slow
@pytest.mark.parametrize("changes", AMPLITUDE.values(), ids=AMPLITUDE)
def test_the_same_for_amplitude_encoding_on_four_qubits(experiment, braket_env, changes):
    values = {"model__qubits": 4, "model__encoding": "amplitude", "solver__fixed_steps": 2, "budget__max_usd": 50}
    shorter = {"training__epochs": 1, "training__batch_size": 5}
    arguments = [experiment, *sets(**(values | shorter | changes))]
    _, total = estimated(*arguments)
    run("train", *arguments, "--out", "run", "-q")
    bill = braket_env.bill()
    assert (bill["tasks"], bill["shots"]) == (total["most"]["tasks"], total["most"]["shots"])


ADAPTIVE = {
    "broyden": {},
    "shots that grow": {"shots": 64, "solver__first_shots": 16, "solver__max_steps": 6},
    "fallback": {
        "solver": {"name": "naive", "max_steps": 2, "on_failure": "fallback", "fallback": [{"name": "broyden"}]},
    },
    "gmres": {"adjoint": "gmres"},
    "phantom, fixed": {"adjoint": {"name": "phantom", "steps": 3}, "solver": {"name": "broyden", "fixed_steps": 2}},
    "unrolled": {"adjoint": "unrolled", "solver": {"name": "naive", "max_steps": 4}},
    "unrolled, fixed": {"adjoint": "unrolled", "solver": {"name": "anderson", "fixed_steps": 3}},
    "masked states": {"model__state_dropout": 0.5, "solver": {"name": "broyden", "fixed_steps": 3}},
    "newton-krylov": {"solver": "newton-krylov"},
    "newton": {"solver": {"name": "newton", "fixed_steps": 2}},
    "newton-krylov's inner steps in the adjoint": {"adjoint": {"name": "newton-krylov", "max_steps": 3}},
    "line search, fixed": {"solver": {"name": "newton-krylov", "fixed_steps": 2}},
}


@pytest.mark.slow
@pytest.mark.parametrize("changes", ADAPTIVE.values(), ids=ADAPTIVE)
def test_adaptive_runs_stay_inside_the_bounds(experiment, braket_env, changes):
    by_circuits = QUICK | {"execution": "circuits"}
    values = {"backend": by_circuits, "budget__max_usd": 50, "training__epochs": 2 if not changes else 1}
    arguments = [experiment, *sets(**(values | changes))]
    _, total = estimated(*arguments)
    assert total["least"]["tasks"] < total["most"]["tasks"]
    run("train", *arguments, "--out", "run", "-q")
    bill = braket_env.bill()
    for counted in ("tasks", "shots"):
        assert total["least"][counted] <= bill[counted] <= total["most"][counted]
    assert total["least"]["usd_least"] <= bill["usd"] <= total["most"]["usd_most"]


def test_the_cheaper_way_is_taken_and_the_other_is_told(experiment):
    fixed = sets(solver__fixed_steps=12)
    narrow, _ = estimated(experiment, "--backend", "braket-sv1", *fixed)  # 16 known states
    wide, _ = estimated(experiment, "--backend", "braket-sv1", *fixed, *sets(model__qubits=4))  # 256
    assert (narrow["execution"], wide["execution"]) == ("compiled", "circuits")
    for found in (narrow, wide):
        costs = {how: bill["total"]["most"]["usd_most"] for how, bill in found["bills"].items()}
        assert min(costs, key=costs.get) == found["execution"]
        assert len(costs) == 2
    told = " ".join(run("estimate", experiment, "--backend", "braket-sv1", *fixed).stdout.split())
    assert "chosen, compiled by polarisation" in told
    assert "a circuit for each sample and evaluation (execution: circuits)" in told


DEAD = 1
"""A seed whose read-out is dead for every image: each measured value is negative, and the ReLU lets nothing through."""


def test_where_no_gradient_may_reach_the_circuit_the_estimate_is_what_a_run_typically_takes(experiment, braket_env):
    values = {"seed": DEAD, "backend": QUICK, "solver": {"name": "broyden", "fixed_steps": 1}, "budget__max_usd": 50}
    found, total = estimated(experiment, *sets(**values))
    assert not found["certain"]
    text = " ".join(run("estimate", experiment, *sets(**values)).stdout.split())
    assert "typically circuits tasks" in text
    assert "typically: where the read-out's ReLU is dead for every image" in text
    run("train", experiment, *sets(**values), "--out", "dead", "-q")
    assert len(braket_env.tasks()) < total["least"]["tasks"]  # the second epoch asks what the first one did

    braket_env.reset()
    values["training__jacobian_weight"] = 0.1  # its gradient goes past the read-out
    found, total = estimated(experiment, *sets(**values))
    assert found["certain"]
    assert "typically" not in run("estimate", experiment, *sets(**values)).stdout
    run("train", experiment, *sets(**values), "--out", "moved", "-q")
    assert total["least"]["tasks"] <= len(braket_env.tasks()) <= total["most"]["tasks"]


def test_an_estimate_needs_no_network_and_no_credentials(experiment, monkeypatch):
    for name in list(os.environ):
        if name.startswith("AWS_"):
            monkeypatch.delenv(name)
    forte = "braket:arn:aws:braket:us-east-1::device/qpu/ionq/Forte-1"
    found, total = estimated(
        experiment, "--backend", forte, *sets(shots=100, solver__fixed_steps=2, training__epochs=1)
    )
    tasks = total["most"]["tasks"]
    assert total["most"]["usd_most"] == total["least"]["usd_least"] == pytest.approx(tasks * (0.30 + 100 * 0.08))
    several = json.loads(run("estimate", experiment, "--backends", "torch,braket-sv1,cirq", "--json").stdout)
    several = several["estimates"]
    assert [each["backend"] for each in several] == ["torch", "braket-sv1", "cirq"]
    assert [bool(each["bills"]) for each in several] == [False, True, False]
    assert found["device"] == forte.removeprefix("braket:")


def test_the_ledger_lists_and_sums(experiment, tmp_path, braket_env):
    arguments = [experiment, *sets(backend=QUICK, budget__max_usd=5, solver__fixed_steps=1, training__epochs=1)]
    run("train", *arguments, "--out", "run", "-q")
    found = json.loads(run("ledger", "run", "--json").stdout)
    assert (found["format_version"], found["file"]) == (1, "run/ledger.sqlite")
    rows = found["entries"]
    assert sum(row["cost"] for row in rows) == pytest.approx(braket_env.bill()["usd"])
    assert {row["arn"] for row in rows} == {task["arn"] for task in braket_env.tasks()}
    assert {row["token"] for row in rows} == {task["token"] for task in braket_env.tasks()}
    text = run("ledger", "run").stdout
    assert f"{len(rows)} tasks" in text
    assert "completed" in text
    assert "in flight" not in text
    assert run("ledger", tmp_path / "run" / "ledger.sqlite", "--tasks").stdout.count("sv1") > len(rows)
    assert "there is no ledger" in run("ledger", tmp_path, code=2).stderr


@pytest.mark.slow
@pytest.mark.skipif(not os.environ.get("QDEQ_DATA"), reason="MNIST comes from QDEQ_DATA")
def test_the_paper_s_mnist_4_runs_on_sv1_with_natives_numbers(tmp_path, braket_env, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(Rate, "wait", lambda self: None)  # the service of the tests needs no sparing
    few = sets(data__limit=8, training__epochs=1, training__batch_size=8, training__precision="float64")
    config = CONFIGS / "mnist4-amplitude.yaml"
    run("train", config, *few, "--out", "native", "-q")
    run("train", config, *few, "--backend", "braket-sv1", *sets(budget__max_usd=5), "--out", "sv1", "-q")
    pairs = zip(figures(tmp_path / "sv1"), figures(tmp_path / "native"), strict=True)
    assert max(abs(ours - theirs) for ours, theirs in pairs) < SAME
    assert braket_env.bill()["tasks"] > 0
