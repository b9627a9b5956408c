"""The script that kills runs: it resumes to equal runs, and it would see one that is not."""

import json
import shutil

import pytest

from benchmarks import kills

TINY = ["--set", "data.limit=60", "--set", "training.epochs=30", "--set", "training.batch_size=16"]


@pytest.mark.slow
def test_three_kills_make_no_difference(tmp_path, capsys):
    assert kills.main(["--kills", "3", "--seed", "1", "--out", str(tmp_path), *TINY]) == 0
    done = json.loads((tmp_path / "kills.json").read_text())
    assert [kill["different"] for kill in done] == [[]] * 3
    assert "3 kills, 0 of which made a difference" in capsys.readouterr().out
    shutil.copytree(tmp_path / "whole", tmp_path / "other")
    best = tmp_path / "other/checkpoints/best.safetensors"
    best.write_bytes(best.read_bytes()[:-1] + b"\x00")
    metrics = tmp_path / "other/metrics.jsonl"
    metrics.write_text("".join(metrics.read_text().splitlines(keepends=True)[:-1]))
    assert kills.differences(tmp_path / "whole", tmp_path / "other") == ["best.safetensors", "metrics.jsonl"]
