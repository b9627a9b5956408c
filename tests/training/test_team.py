"""Processes that share every batch train what one process would."""

import os
import signal
import socket
import subprocess
import sys

import pytest
import torch
from patience import HANG, wait_until
from tiny_runs import read_metrics, tiny_spec

from qdeq.seeds import Share, draw
from qdeq.training import RunFolder, load_checkpoint, resume, train
from qdeq.training.team import ALONE, Team

SAME_SUM = 1e-5
"""Losses in float32, summed in another order, over as many steps as the runs here have."""

RUN = {
    # 61 images in batches of 15: the last batch of an epoch has one image, and a process of two has none of it
    "data": {"limit": 61},
    "model": {"state_dropout": 0.2, "dropout": 0.2, "learn_state_scale": True},
    "training": {
        "batch_size": 15,
        "epochs": 3,
        "warm_start": True,
        "warmup_steps": 2,
        "jacobian_weight": 0.3,
        "jacobian_estimate": "hutchinson",
    },
}


def torchrun(*words):
    """Return the command for two processes."""
    return [
        *(sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"),
        *("-m", "qdeq", "train", *map(str, words)),
    ]


def environment(**variables):
    return os.environ | {"OMP_NUM_THREADS": "1"} | variables


def started(rank, port, *words):
    """Start one of two processes, as torchrun would; but nobody ends it because the other is gone."""
    return subprocess.Popen(
        [sys.executable, "-m", "qdeq", "train", *map(str, words)],
        env=environment(RANK=str(rank), WORLD_SIZE="2", MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port)),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


@pytest.mark.parametrize("size", [1, 2, 3, 5])
@pytest.mark.parametrize("total", [0, 1, 4, 7, 32])
def test_shares_are_all_rows_once_in_order_and_differ_by_one_at_most(size, total):
    shares = [Team(rank, size).share(total) for rank in range(size)]
    assert [row for share in shares for row in range(share.start, share.stop)] == list(range(total))
    lengths = [share.stop - share.start for share in shares]
    assert max(lengths) - min(lengths) <= 1


def test_a_share_draws_its_rows_of_what_the_whole_draws():
    def numbers(rows, share=None):
        return draw(torch.randn, torch.empty(rows, 3), torch.Generator().manual_seed(4), share)

    whole = numbers(7)
    assert torch.equal(numbers(3, Share(2, 5, 7)), whole[2:5])
    assert not torch.equal(numbers(3), whole[2:5])


def test_alone_nothing_is_exchanged():
    rows = torch.arange(6.0).reshape(3, 2)
    assert ALONE.leads
    assert ALONE.rows(rows, 3) is rows
    assert ALONE.each(rows) == [rows]


def test_two_processes_train_what_one_trains_and_only_the_first_writes_and_tells(tmp_path):
    spec = tiny_spec(**RUN)
    config = tmp_path / "config.yaml"
    config.write_text(spec.to_yaml())
    alone = train(spec, tmp_path / "one")
    done = subprocess.run(
        torchrun(config, "--out", tmp_path / "two"), env=environment(), capture_output=True, text=True, timeout=HANG
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("2 processes share every batch") == 1
    assert done.stdout.count("checkpoints/best.safetensors") == 1
    one, two = (read_metrics(tmp_path / which, "step") for which in ("one", "two"))
    assert [step["samples"] for step in two] == [step["samples"] for step in one] == [15, 15, 15, 15, 1] * 3
    for key in ("loss", "penalty", "gradient_norm"):
        assert [step[key] for step in two] == pytest.approx([step[key] for step in one], abs=SAME_SUM), key
    epochs, theirs = (read_metrics(tmp_path / which, "epoch") for which in ("one", "two"))
    for split in ("train", "validation"):
        for key in ("samples", "accuracy", "failed", "converged"):
            assert [epoch[split][key] for epoch in epochs] == [epoch[split][key] for epoch in theirs]
    together = resume(tmp_path / "two")  # which is finished
    assert together.processes == 2
    assert together.test.loss == pytest.approx(alone.test.loss, abs=SAME_SUM)
    weights = [load_checkpoint(RunFolder(tmp_path / which).checkpoint("best")) for which in ("one", "two")]
    for name, tensor in weights[0].tensors.items():
        torch.testing.assert_close(weights[1].tensors[name], tensor, atol=10 * SAME_SUM, rtol=0)


def test_a_lost_process_ends_the_run_with_a_clear_error_and_a_checkpoint(tmp_path):
    config = tmp_path / "config.yaml"
    config.write_text(tiny_spec(training={"epochs": 100_000}).to_yaml())
    run, port = tmp_path / "run", free_port()
    first, second = (started(rank, port, config, "--out", run) for rank in (0, 1))
    try:
        wait_until(lambda: (run / "metrics.jsonl").exists() and len(read_metrics(run)) >= 20, first)
        second.kill()
        _, errors = first.communicate(timeout=HANG)
    finally:
        for process in (first, second):
            process.kill()
            process.communicate()
    assert second.returncode == -signal.SIGKILL
    assert first.returncode > 0, errors
    assert "another process of the team was lost" in errors
    assert f"go on with: qdeq train --resume {run}" in errors
    kept = RunFolder(run).checkpoint("last")
    assert f"kept: {kept}" in errors
    assert load_checkpoint(kept).info.step == len(read_metrics(run, "step"))
