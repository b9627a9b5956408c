"""The benchmark of solvers under shots counts what it spends, and looks at values with exact expectations."""

import json

import pytest

from benchmarks import instances, shots

INSTANCES, MODELS = 16, (1, 1)


@pytest.fixture(scope="module")
def groups():
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("QDEQ_DATA", raising=False)
        patch.setitem(instances.EPOCHS, "digits", 1)
        yield instances.draw(INSTANCES, 0, models=MODELS)


def test_writes_table_and_raw_figures(tmp_path, capsys, monkeypatch):
    monkeypatch.delenv("QDEQ_DATA", raising=False)
    monkeypatch.setitem(instances.EPOCHS, "digits", 1)
    names = ["broyden", "broyden, 5 fixed steps"]
    arguments = ["--instances", "16", "--models", "1", "1", "--shots", "50", "--ways", *names, "--out", str(tmp_path)]
    assert shots.main(arguments) == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["shots.json", "shots.md"]
    rows = json.loads((tmp_path / "shots.json").read_text())["results"]["50"]
    assert list(rows) == names
    assert rows["broyden"]["instances"] == INSTANCES
    assert rows["broyden"]["shots"] == pytest.approx(50 * rows["broyden"]["evaluations"])
    assert (rows["broyden, 5 fixed steps"]["evaluations"], rows["broyden, 5 fixed steps"]["noise_limited"]) == (6, 0)
    assert "| 50 | broyden |" in capsys.readouterr().out


def test_every_way_comes_near_the_equilibrium(groups):
    for name, way in shots.ways(2000).items():
        found = shots.run(way, groups[0], 2000, seed=0).figures()
        assert found["residual_in_noise"] < 2, name
        assert found["error_median"] < 0.2, name
        if "fixed" not in name:
            assert found["noise_limited"] == 1, name


def test_an_average_counts_its_evaluations_and_is_better(groups):
    plain, mean = (
        shots.Outcome.join([shots.run(shots.ways(500)[name], group, 500, seed=0) for group in groups])
        for name in ("broyden", f"broyden, then the mean of {shots.AVERAGED}")
    )
    assert mean.evaluations.equal(plain.evaluations + shots.AVERAGED)
    assert mean.shots.equal(500 * mean.evaluations)
    assert mean.figures()["residual"] < 0.9 * plain.figures()["residual"]
