"""The shipped tables: their rows, the settings of both modes, and the sweep files that are made of them."""

import tomllib
from fnmatch import fnmatch
from pathlib import Path

import pytest

from qdeq.circuit import Weight
from qdeq.errors import SpecError
from qdeq.library import paper_ansatz
from qdeq.reproduce import load_table, table_names
from qdeq.reproduce.table import MODES, sweep_file
from qdeq.sweeps import load_sweep

ROOT = Path(__file__).parents[2]
PAPER = ["mnist4-amplitude", "mnist4-angle", "mnist10", "fashion10", "cifar10"]
ROWS = ("IMPLICIT", "IMPLICIT+WARMUP", "DIRECT 1", "DIRECT 2", "DIRECT 5", "DIRECT 10")


def cells(name, mode, **options):
    """Return the experiment of each row, for the first seed."""
    return {cell.variant: cell.spec for cell in load_table(name).sweep(mode, **options).cells if not cell.seed}


def test_the_tables_of_the_paper_come_first():
    assert table_names() == [*PAPER, "noise", "noise-mnist4"]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", PAPER)
def test_rows_seeds_and_differences_are_those_of_the_paper(name, mode):
    table = load_table(name)
    sweep = table.sweep(mode)
    assert sweep.variants == ROWS
    assert len(sweep.spec.seeds) == (5 if name.startswith("mnist4") else 3)
    assert sweep.pairs == tuple(("IMPLICIT", f"DIRECT {k}") for k in (1, 2, 5, 10))
    for variant, spec in cells(name, mode).items():
        assert spec.model.layers == (int(variant.split()[1]) if variant.startswith("DIRECT") else None)
        assert (spec.training.warmup_steps > 0) == (variant == "IMPLICIT+WARMUP")
        assert spec.model.qubits == (4 if name.startswith("mnist4") else 10)
    assert "arXiv:2410.23940" in table.paper
    assert table.claims


@pytest.mark.parametrize("name", PAPER)
def test_all_rows_of_a_mode_see_the_same_data_and_circuit(name):
    for mode in MODES:
        specs = cells(name, mode).values()
        assert len({spec.data.model_dump_json() for spec in specs}) == 1
        assert len({(spec.model.ansatz, spec.model.encoding, spec.training.batch_size) for spec in specs}) == 1


def test_the_reference_mode_has_the_published_settings():
    rows = cells("mnist4-amplitude", "reference")
    for spec in rows.values():
        training = spec.training
        assert (training.learning_rate, training.schedule, training.batch_size, training.clip) == (
            0.005, "constant", 256, 0.25,
        )  # fmt: skip
        assert spec.model.dropout == 0.05
        assert not spec.model.learn_state_scale
        assert spec.model.ansatz == "paper-untrained-blocks"
        assert spec.data.normalise == (0.1307, 0.3081)
    implicit = rows["IMPLICIT"]
    assert (implicit.solver.choice()["max_steps"], implicit.solver.choice()["rtol"]) == (10, 1e-3)
    assert (implicit.adjoint["name"], implicit.adjoint["max_steps"]) == ("broyden", 10)
    assert (implicit.training.jacobian_weight, implicit.training.jacobian_estimate) == (0.8, "hutchinson")
    # 19 136 images in batches of 256 are 75 steps an epoch: 7 500 steps, and 3 750 with 1 875 of them direct
    assert rows["DIRECT 5"].training.epochs * 75 == 7500
    warm = rows["IMPLICIT+WARMUP"].training
    assert (warm.epochs * 75, warm.warmup_steps, warm.warmup_layers) == (3750, 1875, 2)
    assert cells("mnist10", "reference")["IMPLICIT"].training.epochs * 188 == 18_800


def test_the_published_code_leaves_the_angles_of_the_blocks_as_they_are():
    for qubits, trained, blocks in ((4, 35, 1), (10, 40, 4)):
        whole, published = paper_ansatz(qubits), paper_ansatz(qubits, train_blocks=False)
        assert published.num_weights == trained
        assert whole.num_weights == trained + 4 * blocks
        assert [(gate.name, gate.qubits) for gate in published.gates] == [(g.name, g.qubits) for g in whole.gates]
        fixed = [g for g in published.gates if g.angles and not isinstance(g.angles[0], Weight)]
        assert [gate.name for gate in fixed] == ["RX", "RY", "RZ", "CRX"] * blocks
        assert all(-3.1416 < gate.angles[0] < 3.1416 for gate in fixed)
        assert published == paper_ansatz(qubits, train_blocks=False)


def test_options_change_every_row_and_the_warm_up_follows_the_length_of_the_run():
    rows = cells("mnist4-amplitude", "corrected", epochs=4, changes={"training.batch_size": 100}, train_images=1050)
    assert {spec.training.epochs for spec in rows.values()} == {4}
    assert {spec.training.batch_size for spec in rows.values()} == {100}
    assert rows["IMPLICIT+WARMUP"].training.warmup_steps == 11  # a quarter of 4 x 11 steps
    chosen = cells("mnist4-amplitude", "corrected", changes={"training.warmup_layers": 3})
    assert chosen["IMPLICIT+WARMUP"].training.warmup_layers == 3
    assert len(load_table("mnist10").sweep(seeds=2).spec.seeds) == 2


@pytest.mark.parametrize("name", PAPER)
def test_the_sweep_files_of_the_configs_are_those_tables(name):
    """Where a table changes, ``qdeq reproduce NAME --show`` has what the file is to hold, but for the schema's path."""
    table, file = load_table(name), ROOT / f"configs/sweeps/{name}.yaml"
    assert file.read_text(encoding="utf-8") == sweep_file(table, table.sweep(), schema="../sweep.schema.json")
    assert [cell.name for cell in load_sweep(file).cells] == [cell.name for cell in table.sweep().cells]


def test_the_tables_are_part_of_the_package():
    patterns = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]["qdeq"]
    for name in ("shared", *table_names()):
        assert any(fnmatch(f"reproduce/tables/{name}.yaml", pattern) for pattern in patterns)
        assert (ROOT / f"qdeq/reproduce/tables/{name}.yaml").is_file()


def test_what_is_not_there():
    with pytest.raises(SpecError, match=r"no table 'mnist-10'.*Did you mean 'mnist10'"):
        load_table("mnist-10")
    with pytest.raises(SpecError, match="noise has no mode 'reference'; it has: corrected"):
        load_table("noise").sweep("reference")
    with pytest.raises(SpecError, match=r"mnist10: model\.bogus: unknown key"):
        load_table("mnist10").sweep(changes={"model.bogus": 1})
