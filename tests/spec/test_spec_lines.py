"""Where a mistake is, and how it is mended: the line, and what to write in place of what stands there."""

import pytest

from qdeq.errors import PluginError, SpecError, did_you_mean
from qdeq.numbers import number_meant
from qdeq.plugins import BACKENDS, DATASETS
from qdeq.spec import load_spec
from qdeq.sweeps.spec import load_sweep_spec


def refused(tmp_path, text, *overrides, load=load_spec):
    path = tmp_path / "e.yaml"
    path.write_text(text)
    with pytest.raises(SpecError) as caught:
        load(path, *([overrides] if overrides else []))
    return str(caught.value).removeprefix(str(path))


@pytest.mark.parametrize(
    ("text", "start"),
    [
        ("seed: 1\n\nmodel:\n  # four\n  qubits: four\n", ", line 5: model.qubits: "),
        ("seed: 1\nmodel:\n  qbits: 4\n", ", line 3: model.qbits: unknown key"),
        ("data:\n  classes:\n    - 0\n    - two\n", ", line 4: data.classes.1: "),
        ("model: {\n  encoding: angle,\n  dropout: 2}\n", ", line 3: model.dropout: "),
        ("seed: 1\nmodel:\n  qubits: 4\n  layers: 3\n", ", line 4: model: layers goes with mode: direct"),
        ("seed: 1\ndata:\n  limit: 5\n  classes: [1, 1]\n", ", line 4: data: classes: 1 is listed twice"),
        ("model:\n  qubits: 5\ndata:\n  features: paper\n", ", line 4: data.features: paper is for"),
        ("seed: 1\nbackend: torhc\n", ", line 2: backend: unknown backend"),
        ("seed: 1\nsolver:\n  name: broyden\n  on_failure: no\n", ", line 4: solver.on_failure: "),
        ("seed: 1\nmodel:\nshots: 0\n", ", line 2: model: "),
    ],
)
def test_the_line_is_that_of_the_value(tmp_path, text, start):
    assert refused(tmp_path, text).startswith(start)


def test_what_came_in_by_an_assignment_has_no_line(tmp_path):
    for override in ("model.qubits=four", "model={qubits: four}", "data.features=paper"):
        text = "seed: 1\nmodel: {qubits: 5}\ndata: {features: pool}\n"
        assert refused(tmp_path, text, override).startswith(": ")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("name: t\nmodel:\n  qubits:4\n", ", line 3: model: a space is missing behind the colon: write qubits: 4"),
        ("name: t\nmodel:\n  qubits:4\n  mode: direct\n", ", line 3: not valid YAML: a space is missing behind"),
        ("name: t\nseed:4\nshots: 3\n", ", line 2: not valid YAML: a space is missing behind the colon: write seed: 4"),
        ("name: t\nmodel: {qubits:4}\n", ", line 2: model.qubits:4: a space is missing behind the colon"),
        ("seed:4\n", ": a space is missing behind the colon: write seed: 4"),
        ("model:\n  qubits: 4\n    mode: direct\n", ", line 3: not valid YAML: indented further than the line before"),
        ("model:\n   qubits: 4\n  mode: direct\n", ", line 3: not valid YAML: indented like no line above"),
        ("name: a: b\n", ", line 1: not valid YAML: a second colon with a space behind it"),
        ("noise: {readout: 1%}\n", ", line 1: noise.readout: write 0.01, not '1%'"),
        ("noise:\n  depolarizing: 0.5 %\n", ", line 2: noise.depolarizing: write 0.005, not '0.5 %'"),
        ("data: {validation_fraction: 20%}\n", ", line 1: data.validation_fraction: write 0.2, not '20%'"),
        ("data:\n  classes: 0,3\n", ", line 2: data.classes: a list stands in brackets: [0, 3], not '0,3'"),
        ("data:\n  classes: 3\n", ", line 2: data.classes: a list stands in brackets: [3], not 3"),
        ("shots: 1e3\n", ", line 1: shots: write 1000, not '1e3'"),
        ("shots: 1.0e+3\n", ", line 1: shots: write 1000, not 1000.0"),
        ("name: s\nbase: b.yaml\nseeds: [0]\n", ": is a sweep, not an experiment; `qdeq sweep "),
    ],
)
def test_a_slip_is_told_what_to_write(tmp_path, text, says):
    assert refused(tmp_path, text).startswith(says)


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("variants: {a: {}}", "variants: unknown key; .* Did you mean 'list'?"),
        ("epochs: 3", "put it into `set`, as training.epochs."),
        ("training: {epochs: 3}", "put it into `set`, by keys with dots"),
        ("seed: 3", "Did you mean 'seeds'?"),
        ("retry: 3", "Did you mean 'retries'?"),
        ("retries: 1e1", "retries: write 10, not '1e1'"),
    ],
)
def test_a_sweep_names_line_and_remedy(tmp_path, line, says):
    message = refused(tmp_path, f"name: s\nbase: b.yaml\nseeds: [0]\n{line}\n", load=load_sweep_spec)
    assert message.startswith(", line 4: ")
    assert all(part in message for part in says.split(" .* "))


@pytest.mark.parametrize(
    ("given", "whole", "meant"),
    [
        ("1%", False, "0.01"),
        ("12.5 %", False, "0.125"),
        ("1e3", True, "1000"),
        (2.0, True, "2"),
        ("200%", True, "2"),
        ("1.5", True, None),
        ("0.5", False, None),
        ("many", True, None),
        ("%", False, None),
        ("nan%", False, None),
        ("1e999999999", True, None),
        (True, True, None),
    ],
)
def test_the_number_that_is_meant(given, whole, meant):
    assert number_meant(given, whole=whole) == meant


@pytest.mark.parametrize(
    ("registry", "name", "says"),
    [
        (BACKENDS, "lightning.qubit", "Did you mean 'pennylane:lightning.qubit'?"),
        (BACKENDS, "default.qubit", "Did you mean 'pennylane:default.qubit'?"),
        (BACKENDS, "qiskit", "pip install pennylane-qiskit, then pennylane:qiskit.aer"),
        (BACKENDS, "qiskit.aer", "pip install pennylane-qiskit, then pennylane:qiskit.aer"),
        (DATASETS, "MNIST", "Did you mean 'mnist'?"),
        (DATASETS, "FashionMNIST", "Did you mean 'fashion-mnist'?"),
        (DATASETS, "CIFAR-10", "Did you mean 'cifar10'?"),
    ],
)
def test_names_from_elsewhere(registry, name, says):
    with pytest.raises(PluginError) as caught:
        registry.load(name)
    assert str(caught.value).endswith(says) or says in str(caught.value)


def test_case_and_punctuation_alone_decide_first():
    assert did_you_mean("MNIST", ["mnist-c", "mnist"]) == " Did you mean 'mnist'?"


def test_a_file_beside_is_meant(tmp_path):
    for there, asked in (("e.yaml", "e.yml"), ("e.yaml", "e"), ("digits.yaml", "digit.yaml")):
        (tmp_path / there).write_text("seed: 1\n")
        with pytest.raises(SpecError, match="did you mean") as caught:
            load_spec(tmp_path / asked)
        assert str(caught.value).endswith(f"did you mean {tmp_path / there}?")
    with pytest.raises(SpecError) as caught:
        load_spec(tmp_path / "other.yaml")
    assert "did you mean" not in str(caught.value)
