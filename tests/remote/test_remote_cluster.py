"""A Ray cluster of two nodes on one machine, one of them killed in mid-run: nothing is lost, nothing is paid twice."""

import contextlib
import json
import os
import threading
import time
from collections import Counter

import pytest
import yaml
from paid_runs import QUICK, figures, run, write_experiment

from qdeq.billing.ledger import Ledger
from qdeq.sweeps import SweepFolder, load_sweep, run_sweep

pytest.importorskip("ray")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not os.environ.get("QDEQ_LONG"), reason="takes minutes; set QDEQ_LONG=1 to run it"),
]
PATIENCE = 120.0
"""Seconds that a test waits for what has to happen; on a busy machine a worker takes some to start."""


@pytest.fixture
def cluster(braket_env):
    """Two nodes of one CPU each, and the second one; their processes reach the service of the tests."""
    import ray
    from ray.cluster_utils import Cluster

    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    second = made.add_node(num_cpus=1)
    made.wait_for_nodes()
    yield made, second
    ray.shutdown()
    made.shutdown()


@contextlib.contextmanager
def killing(cluster, due):
    """In a thread, kill the second node as soon as ``due()`` says so; the block has to outlast that."""
    made, second = cluster
    killed = []

    def watch():
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end and not due():
            time.sleep(0.02)
        made.remove_node(second, allow_graceful=False)
        killed.append(time.monotonic())

    thread = threading.Thread(target=watch)
    thread.start()
    yield
    ended = time.monotonic()
    thread.join()
    assert killed[0] < ended, "all was done before the node was killed"


def test_a_paid_sweep_loses_a_node_and_neither_a_result_nor_a_dollar(tmp_path, braket_env, cluster, monkeypatch):
    monkeypatch.chdir(tmp_path)
    base = yaml.safe_load(write_experiment(tmp_path).read_text())
    base["backend"] = QUICK | {"execution": "circuits", "creates_per_second": 20.0}
    base["budget"] = {"max_usd": 50}
    base["training"] = base["training"] | {"epochs": 1, "checkpoint_steps": 1}
    (tmp_path / "base.yaml").write_text(yaml.safe_dump(base))
    (tmp_path / "sweep.yaml").write_text(
        yaml.safe_dump({"name": "paid", "base": "base.yaml", "seeds": [5, 6], "list": {"only": {}}})
    )
    sweep = load_sweep(tmp_path / "sweep.yaml")
    folder = SweepFolder(tmp_path / "out")

    def both_are_half_way():
        return all(list(folder.run(cell).glob("checkpoints/step-*.safetensors")) for cell in sweep.cells)

    began = time.monotonic()
    with killing(cluster, both_are_half_way):
        result = run_sweep(sweep, tmp_path / "out", address=cluster[0].address, workers=2)
    assert result.complete
    assert sorted(cell.attempts for cell in result.cells) == [1, 2]
    events = [[event["event"] for event in folder.record(cell).events()] for cell in sweep.cells]
    assert sorted(events, key=len) == [["started", "finished"], ["started", "resumed", "finished"]]

    arns, costs = [], 0
    for cell in sweep.cells:
        book = Ledger(folder.run(cell) / "ledger.sqlite")
        entries = book.entries()
        assert {entry.state for entry in entries} == {"completed"}
        assert max(Counter(entry.hash for entry in entries).values()) == 1
        arns += [entry.arn for entry in entries]
        costs += sum(entry.cost for entry in entries)
        book.close()
    bill = braket_env.bill()
    assert sorted(arns) == sorted(task["arn"] for task in braket_env.tasks())
    assert costs == round(bill["usd"] * 1e9)
    took = time.monotonic() - began
    print(f"two cells, one node killed: {bill['tasks']} tasks, ${bill['usd']:.4f}, {took:.0f} s, events {events}")
    for cell in sweep.cells:
        (tmp_path / "cell.yaml").write_text(cell.spec.to_yaml())
        run("train", "cell.yaml", "--out", f"quiet-{cell.seed}", "-q")
        assert figures(folder.run(cell)) == figures(tmp_path / f"quiet-{cell.seed}")


def test_a_run_whose_circuits_are_on_the_cluster_loses_a_node_and_no_digit(tmp_path, cluster, monkeypatch):
    monkeypatch.chdir(tmp_path)
    experiment = write_experiment(tmp_path, images=16)
    here = {"name": "cirq", "execution": "circuits"}
    options = ["--set", "training.epochs=3", "--set", "solver.fixed_steps=4"]
    run("train", experiment, "--out", "here", "-q", *options, "--set", f"backend={json.dumps(here)}")
    there = here | {"ray_address": cluster[0].address}
    began = time.monotonic()
    with killing(cluster, (tmp_path / "there" / "checkpoints" / "best.safetensors").exists):
        run("train", experiment, "--out", "there", "-q", *options, "--set", f"backend={json.dumps(there)}")
    print(f"circuits on two nodes, one killed after the first epoch: {time.monotonic() - began:.0f} s")
    assert figures(tmp_path / "there") == figures(tmp_path / "here")
