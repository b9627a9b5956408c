"""What an experiment file describes, before it is run."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from qdeq.builders import build_data, build_model
from qdeq.reports.tables import plain_table
from qdeq.spec import ExperimentSpec

if TYPE_CHECKING:
    from torch import nn

    from qdeq.circuit import Circuit
    from qdeq.models import QDEQClassifier


def experiment_report(spec: ExperimentSpec, *, width: int = 100) -> RenderableType:
    """Return the resolved settings, the circuit with its size, and the parameters.

    The data are read only where the spec does not say what the classes are.

    Args:
        spec: The experiment.
        width: Characters in a line of the circuit's drawing.
    """
    model = _model(spec)
    return Group(
        _heading("Experiment"),
        Text(spec.to_yaml().rstrip()),
        Text(f"# content hash {spec.content_hash}\n"),
        _heading("Circuit"),
        Text(model.circuit.draw(max_width=width), no_wrap=True, overflow="ignore"),
        Text(""),
        _size_table(model.circuit),
        Text(""),
        _heading("Parameters"),
        _parameter_table(model),
    )


def experiment_json(spec: ExperimentSpec) -> str:
    """Return the same as JSON: ``depth`` and ``gates`` are without and with the state's preparation."""
    model = _model(spec)
    circuit = model.circuit
    depth, gates = (
        {"without_preparation": count(preparation=False), "with_preparation": count(preparation=True)}
        for count in (circuit.depth, circuit.gate_counts)
    )
    data = {
        "format_version": 1,
        "name": spec.name,
        "spec": spec.model_dump(mode="json"),
        "spec_hash": spec.content_hash,
        "circuit": {
            "qubits": circuit.num_qubits,
            "inputs": circuit.num_inputs,
            "weights": circuit.num_weights,
            "depth": depth,
            "gates": gates,
        },
        "parameters": {name: list(value.shape) for name, value in model.named_parameters() if value.requires_grad},
    }
    return json.dumps(data, indent=2, ensure_ascii=False, allow_nan=False)


def _model(spec: ExperimentSpec) -> QDEQClassifier:
    classes = len(spec.data.classes) if spec.data.classes else len(build_data(spec).class_names)
    return build_model(
        spec.model_copy(update={"training": spec.training.model_copy(update={"device": "cpu"})}), classes
    )


def _heading(title: str) -> Text:
    return Text(title, style="bold")


def _size_table(circuit: Circuit) -> Table:
    """Depth and gate counts, with and without the preparation of the amplitude encoding."""
    table = plain_table()
    for column in ("", "without preparation", "with preparation"):
        table.add_column(column, justify="right" if column else "left")
    counts = [circuit.gate_counts(preparation=preparation) for preparation in (False, True)]
    table.add_row("depth", *(str(circuit.depth(preparation=preparation)) for preparation in (False, True)))
    table.add_row("gates", *(str(sum(count.values())) for count in counts))
    for gate in sorted(counts[0] | counts[1]):
        table.add_row(f"  {gate}", *(str(count.get(gate, 0)) for count in counts))
    if circuit.noisy:
        table.add_row("noise channels", *[str(len(circuit.body) - len(circuit.gates))] * 2)
        table.add_row("readout errors", *[str(len(circuit.readout))] * 2)
    table.add_row("inputs", *[str(circuit.num_inputs)] * 2)
    table.add_row("weights", *[str(circuit.num_weights)] * 2)
    return table


def _parameter_table(model: nn.Module) -> Table:
    table = plain_table()
    table.show_footer = True
    trained = {name: value for name, value in model.named_parameters() if value.requires_grad}
    table.add_column("name", "total")
    table.add_column("shape", justify="right")
    table.add_column("type")
    table.add_column("count", str(sum(value.numel() for value in trained.values())), justify="right")
    for name, value in trained.items():
        shape = " x ".join(map(str, value.shape)) or "scalar"
        table.add_row(name, shape, str(value.dtype).removeprefix("torch."), str(value.numel()))
    return table
