"""Depths and circuits of a training step, against a rehearsal: the training code itself, and a device that counts."""

import pytest

from qdeq.billing.prices import Price
from qdeq.billing.rehearsal import rehearse
from qdeq.builders import build_circuit
from qdeq.library import paper_ansatz
from qdeq.reproduce.costs import row_costs
from qdeq.spec import parse_spec

STEPS = 5  # one evaluation more
BATCH = 16
MODES = {"implicit": {}, "direct 1": {"mode": "direct", "layers": 1}, "direct 3": {"mode": "direct", "layers": 3}}


def experiment(encoding, mode, **more):
    return parse_spec(
        {
            "data": {"classes": [0, 3]},
            "model": {"encoding": encoding, **MODES[mode]},
            "solver": {"name": "broyden", "fixed_steps": STEPS},
            "training": {"batch_size": BATCH},
            **more,
        },
        "test",
    )


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("encoding", ["amplitude", "paper-angle"])
def test_circuits_of_a_step_are_those_that_training_asks_a_sampling_device_for(encoding, mode):
    pytest.importorskip("braket.aws")
    device = {"name": "braket-sv1", "execution": "circuits"}
    spec = experiment(encoding, mode, backend=device, shots=100)
    unit = rehearse(spec, Price(per_task=0.0), "train", "typical")
    asked = unit.shared.circuits + BATCH * unit.each.circuits
    assert row_costs(experiment(encoding, mode), STEPS + 1).step_circuits == asked


def test_compiled_circuits_are_known_states_times_shifts_whatever_the_layers():
    shifts = 1 + 2 * 38 + 4  # the circuit, two of each RX, RY and RZ, four of the CRX
    for mode in MODES:
        # 16 amplitudes: 16 * 17 / 2 states; four qubits turned about several axes: 4 states of each
        assert row_costs(experiment("amplitude", mode), None).compiled_circuits == 136 * shifts
        assert row_costs(experiment("paper-angle", mode), None).compiled_circuits == 4**4 * shifts


def test_depth_leaves_out_what_prepares_the_state():
    ansatz = paper_ansatz(4).depth()
    amplitude, angle = (row_costs(experiment(each, "implicit"), 6.0) for each in ("amplitude", "paper-angle"))
    assert amplitude.depth == angle.depth == ansatz
    assert angle.prepared_depth == build_circuit(experiment("paper-angle", "implicit").model).depth() > ansatz
    assert amplitude.prepared_depth > ansatz


def test_a_solve_of_unknown_length_has_no_number_of_circuits():
    assert row_costs(experiment("amplitude", "implicit"), None).step_circuits is None
