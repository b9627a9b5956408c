import doctest
import io
import re

import pytest
from hypothesis import given, settings
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

import qdeq.drawing.text
from qdeq.circuit import AmplitudeEncoding, Circuit, Gate, Input, Weight
from qdeq.drawing.figure import draw_figure
from qdeq.drawing.text import draw_text
from qdeq.library import amplitude_encoder, paper_angle_encoder, paper_ansatz
from qdeq.testing.strategies import circuits


def lines(*wanted):
    return "\n".join(wanted)


def test_the_docstring_shows_what_comes_out():
    assert doctest.testmod(qdeq.drawing.text).attempted == 2
    assert doctest.testmod(qdeq.drawing.text).failed == 0


def test_controls_targets_and_crossings():
    circuit = Circuit(
        3,
        (
            Gate("Toffoli", (2, 0, 1)),
            Gate("CNOT", (2, 0)),
            Gate("SWAP", (0, 1)),
            Gate("CY", (0, 2)),
            Gate("RXX", (0, 1), 0.5),
            Gate("Sdg", 2),
        ),
    )
    assert circuit.draw() == lines(
        "0: ─●─⊕─×─●─RXX(0.5)─",
        "    │ │ │ │    │",
        "1: ─⊕─┼─×─┼─RXX(0.5)─",
        "    │ │   │",
        "2: ─●─●───Y────S†────",
    )


def test_angles_with_three_digits():
    gates = (
        Gate("RY", 0, Weight(3)),
        Gate("RX", 0, Input(2, 0.5, 0.1)),
        Gate("RZ", 0, 1.23456),
        Gate("U3", 0, (Input(0, -1), 0, 1e-9)),
    )
    assert draw_text(Circuit(1, gates)) == "0: ─RY(θ3)─RX(0.5·x2+0.1)─RZ(1.23)─U3(-x0,0,1e-09)─"


def test_gates_pack_to_the_left_unless_their_spans_overlap():
    circuit = Circuit(3, (Gate("H", 0), Gate("X", 2), Gate("CZ", (0, 2)), Gate("Y", 1), Gate("Z", 2)))
    assert circuit.draw() == lines(
        "0: ─H─●───",
        "      │",
        "1: ───┼─Y─",
        "      │",
        "2: ─X─Z─Z─",
    )


def test_encoding_is_a_tall_box():
    assert Circuit(3, (AmplitudeEncoding(5), Gate("H", 1))).draw() == lines(
        "0: ─┤   ├───",
        "    │   │",
        "1: ─┤|v⟩├─H─",
        "    │   │",
        "2: ─┤   ├───",
    )
    assert Circuit(1, (AmplitudeEncoding(2),)).draw() == "0: ─┤|v⟩├─"


def test_an_empty_circuit_is_wires():
    assert Circuit(2).draw() == "0: ─\n\n1: ─"


def test_names_of_qubits_are_aligned():
    drawn = Circuit(11, (Gate("H", 10),)).draw().splitlines()
    assert drawn[0] == " 0: ───"
    assert drawn[20] == "10: ─H─"


@pytest.mark.parametrize("max_width", [30, 60, 120])
def test_folding_keeps_every_gate_and_the_width(max_width):
    circuit = amplitude_encoder(4) + paper_ansatz(4)
    blocks = re.split(r"\n\n(?=0: )", circuit.draw(max_width=max_width))
    assert len(blocks) > 1
    assert all(len(line) <= max_width for block in blocks for line in block.splitlines())
    assert all(len(block.splitlines()) == 7 for block in blocks)
    drawn = "".join(blocks)
    assert [drawn.count(f"(θ{k})") for k in range(39)] == [1] * 39
    assert drawn.count("⊕") == 16


def test_a_column_wider_than_the_page_stands_alone():
    assert Circuit(1, (Gate("H", 0), Gate("RX", 0, Weight(0)))).draw(max_width=5) == "0: ─H─\n\n0: ─RX(θ0)─"


def wire_cells(circuit):
    return [line.split(": ")[1] for line in circuit.draw(max_width=10_000).splitlines() if ": " in line]


@settings(max_examples=60)
@given(circuits())
def test_wires_have_one_length_and_every_gate_shows(circuit):
    wires = wire_cells(circuit)
    assert len(wires) == circuit.num_qubits
    assert len({len(wire) for wire in wires}) == 1
    counts = circuit.gate_counts()
    drawn = "".join(wires)
    assert drawn.count("⊕") == counts.get("CNOT", 0) + counts.get("Toffoli", 0)
    assert drawn.count("×") == 2 * counts.get("SWAP", 0)
    assert drawn.count("●") == sum(gate.type.num_controls for gate in circuit.gates)
    assert drawn.count("|v⟩") == (circuit.encoding is not None)


def boxes(figure):
    return [patch for patch in figure.axes[0].patches if isinstance(patch, FancyBboxPatch)]


def legend(figure):
    return [text.get_text() for text in figure.legends[0].get_texts()]


def test_figure_of_the_paper_model():
    circuit = amplitude_encoder(4) + paper_ansatz(4)
    figure = circuit.figure()
    assert isinstance(figure, Figure)
    assert len(boxes(figure)) == 1 + 39 + 2  # encoding, turned gates, H and SX
    texts = [text.get_text() for text in figure.axes[0].texts]
    assert all(f"θ{k}" in texts for k in range(39))
    assert texts.count("$q_{3}$") == 2  # folded into two rows
    assert legend(figure) == ["input", "weight", "fixed"]


def test_colours_tell_inputs_weights_and_fixed_gates_apart():
    mixed = Gate("U3", 0, (Input(0), Weight(0), 0.0))
    circuit = Circuit(1, (Gate("RX", 0, Input(0)), Gate("RX", 0, Weight(0)), Gate("RX", 0, 0.5), Gate("H", 0), mixed))
    figure = draw_figure(circuit)
    faces = [to_hex(box.get_facecolor()) for box in boxes(figure)]
    assert faces[2] == faces[3]
    assert len(set(faces)) == 4
    assert legend(figure) == ["input", "weight", "input and weight", "fixed"]
    assert [to_hex(handle.get_facecolor()) for handle in figure.legends[0].get_patches()] == [
        faces[0],
        faces[1],
        faces[4],
        faces[2],
    ]


def test_a_bound_encoding_is_fixed():
    assert legend(draw_figure(Circuit(1, (AmplitudeEncoding(2, (1.0, 2.0)),)))) == ["fixed"]


def test_boxes_do_not_overlap():
    for box, other in [(a, b) for fig in [paper_angle_encoder(10).figure()] for a in boxes(fig) for b in boxes(fig)]:
        if box is not other:
            assert not box.get_bbox().overlaps(other.get_bbox())


@pytest.mark.parametrize("circuit", [Circuit(1), Circuit(3, (Gate("SWAP", (2, 0)), Gate("Toffoli", (1, 2, 0))))])
def test_figures_can_be_saved(circuit):
    target = io.BytesIO()
    circuit.figure().savefig(target, format="png", dpi=40)
    assert target.getvalue().startswith(b"\x89PNG")


def test_no_figure_stays_open():
    import matplotlib.pyplot as plt

    before = plt.get_fignums()
    paper_ansatz(4).figure()
    assert plt.get_fignums() == before
