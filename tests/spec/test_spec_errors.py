"""What a bad experiment file is answered with: one or two lines with the file, the path in it, and what is allowed."""

import re

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from qdeq.errors import SpecError
from qdeq.spec import MAX_FILE_BYTES, ExperimentSpec, load_spec, parse_spec


@pytest.fixture
def refused(tmp_path):
    """Return the message with which a file is refused; it has one or two lines, the first of which names the file."""

    def refuse(content, *overrides, first="{path}"):
        path = tmp_path / "bad.yaml"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        with pytest.raises(SpecError) as caught:
            load_spec(path, overrides)
        message = str(caught.value)
        assert len(message.splitlines()) <= 2, message
        assert message.startswith(first.format(path=path)), message
        return message.removeprefix(str(path))

    return refuse


@pytest.mark.parametrize(
    ("text", "path", "says"),
    [
        ("modle: {}", "modle", "unknown key; allowed: name, seed, data, model, .* Did you mean 'model'?"),
        ("model: {qbits: 4}", "model.qbits", "unknown key; allowed: qubits, .* Did you mean 'qubits'?"),
        ("training: {lr: 0.1}", "training.lr", "unknown key; allowed: epochs, .* Did you mean 'learning_rate'?"),
        ("training: {bs: 8}", "training.bs", "Did you mean 'batch_size'?"),
        ("qubits: 5", "qubits", "unknown key; allowed: name, .* Did you mean 'model.qubits'?"),
        ("epocs: 5", "epocs", "Did you mean 'training.epochs'?"),
        ("lr: 5", "lr", "Did you mean 'training.learning_rate'?"),
        ("training: {qubits: 5}", "training.qubits", "Did you mean 'model.qubits'?"),
        ("training: {nonsense: 5}", "training.nonsense", "checkpoints_kept\\.$"),
        ("model: {qubits: four}", "model.qubits", "not 'four'"),
        ("model: {qubits: 4.5}", "model.qubits", "not 4.5"),
        ("model: {qubits: true}", "model.qubits", "not True"),
        ("model: {qubits: '4'}", "model.qubits", "not '4'"),
        ("model: {qubits: 1}", "model.qubits", "greater than or equal to 2, not 1"),
        ("model: {qubits: 25, encoding: angle}", "model.qubits", "less than or equal to 24, not 25"),
        (
            "model: {encoding: amplitud}",
            "model.encoding",
            "'amplitude', 'angle' or 'paper-angle', not 'amplitud'. Did you mean 'amplitude'?",
        ),
        ("model: {learn_state_scale: 1}", "model.learn_state_scale", "not 1"),
        ("model: {state_scale: .inf}", "model.state_scale", "finite"),
        ("model: {dropout: 1.0}", "model.dropout", "less than 1"),
        ("model: 7", "model", "not 7"),
        ("model: null", "model", "not None"),
        ("data: {classes: [3]}", "data.classes", "at least 2"),
        ("data: {classes: [0, 3, 0]}", "data", "classes: 0 is listed twice"),
        ("data: {classes: [0, two]}", "data.classes.1", "not 'two'"),
        ("data: {validation_fraction: 1}", "data.validation_fraction", "less than 1"),
        ("training: {epochs: 0}", "training.epochs", "greater than or equal to 1"),
        ("training: {learning_rate: -1}", "training.learning_rate", "greater than 0"),
        ("training: {learning_rate: .nan}", "training.learning_rate", "finite"),
        ("training: {device: gpu}", "training.device", "not 'gpu'"),
        ("name: 'a/b'", "name", "not 'a/b'"),
        ("seed: -1", "seed", "greater than or equal to 0"),
        ("solver: broydn", "solver", "unknown solver 'broydn'; installed: anderson, .* Did you mean 'broyden'?"),
        ("solver: {name: broyden, max_step: 3}", "solver", "unknown option 'max_step'. Did you mean 'max_steps'?"),
        ("solver: {name: broyden, max_steps: -3}", "solver", "max_steps.*-3"),
        (
            "solver: {name: broyden, on_failure: ignore}",
            "solver.on_failure",
            "'warn', 'raise' or 'fallback', not 'ignore'",
        ),
        ("solver: {on_failure: fallback}", "solver", "fallback` of solvers go together"),
        ("solver: {fallback: [naive]}", "solver", "go together"),
        (
            "solver: {on_failure: fallback, fallback: [nave]}",
            "solver.fallback.0",
            "unknown solver 'nave'.* Did you mean 'naive'?",
        ),
        ("solver: 3", "solver", ""),
        (
            "adjoint: densee",
            "adjoint",
            "unknown adjoint 'densee'; allowed: dense, gmres, .*, or a solver: anderson, .* Did you mean 'dense'?",
        ),
        ("adjoint: broydn", "adjoint", "unknown adjoint 'broydn'.* Did you mean 'broyden'?"),
        ("adjoint: {name: phantom, step: 3}", "adjoint", "unknown option 'step'. Did you mean 'steps'?"),
        ("adjoint: {name: phantom, damping: 1.5}", "adjoint", "damping: .*less than or equal to 1.*1.5"),
        ("adjoint: {name: dense, order: 3}", "adjoint", "order: .*1 or 2.*3"),
        ("adjoint: {name: gmres, rtol: 0}", "adjoint", "rtol: .*greater than 0.*0"),
        ("adjoint: {name: unrolled, steps: 3}", "adjoint", "unknown option 'steps'"),
        ("adjoint: {name: broyden, max_step: 3}", "adjoint", "unknown option 'max_step'. Did you mean 'max_steps'?"),
        ("adjoint: {steps: 3}", "adjoint", "an adjoint is a name or a mapping with 'name' and its options"),
        ("adjoint: 3", "adjoint", "an adjoint is a name or a mapping"),
        (
            "{adjoint: unrolled, solver: {on_failure: fallback, fallback: [naive]}}",
            "",
            "adjoint: unrolled follows one solver",
        ),
        ("{adjoint: unrolled, solver: fallback}", "", "adjoint: unrolled .*; name one in place of fallback"),
        ("backend: torhc", "backend", "unknown backend 'torhc'; installed: .*torch.* Did you mean 'torch'?"),
        ("backend: {name: torch, fast: yes}", "backend", "unknown option 'fast'"),
        ("backend: {}", "backend", "a backend is a name or a mapping"),
        ("data: {dataset: minst}", "data.dataset", "unknown data set 'minst'; .* Did you mean 'mnist'?"),
        ("data: {dataset: {name: npz}}", "data.dataset", "path"),
        ("data: {dataset: 3}", "data.dataset", "a data set is a name"),
        ("data: {normalise: trian}", "data.normalise", "train"),
        ("data: {normalise: [0.1]}", "data.normalise", ""),
        ("model: {mode: direct}", "model", "layers goes with mode: direct"),
        ("model: {layers: 3}", "model", "layers goes with mode: direct"),
        ("model: {qubits: 3}", "model", "9 features do not fit the 8 amplitudes of 3 qubits"),
        (
            "model: {qubits: 5, encoding: paper-angle}",
            "model",
            "paper-angle is for 4 or 10 qubits; use encoding: angle",
        ),
        ("{model: {qubits: 5}, data: {features: paper}}", "", "data.features: paper is for 4 or 10 qubits"),
        ("{model: {mode: direct, layers: 2}, training: {warmup_steps: 3}}", "", "need model.mode: implicit"),
        ("{model: {mode: direct, layers: 2}, training: {jacobian_weight: 1}}", "", "need model.mode: implicit"),
        ("1: 2", "1", "unknown key|string"),
        ("[]", "", "expected a mapping with the keys name, seed"),
        ("", "", "is empty, expected a mapping with the keys name, seed.*\n`qdeq init` writes"),
        ("# nothing", "", "is empty, "),
        ("just text", "", "expected a mapping"),
    ],
)
def test_a_bad_value_is_named_with_its_path_and_what_is_allowed(refused, text, path, says):
    message = refused(text)
    assert re.match(f", line 1: {re.escape(path)}: " if path else "(, line 1)?: ", message), message
    assert re.search(says.replace("?", r"\?"), message), message


def test_keys_below_an_unknown_one_of_a_solver_are_not_swallowed(refused):
    assert "unknown option 'choice'" in refused("solver: {name: naive, choice: 1}")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("model: {qubits: 4}\nseed: 1\nmodel: {qubits: 5}", ", line 3: not valid YAML: key 'model' stands twice"),
        ("model:\n  qubits: 4\n  qubits: 5", ", line 3: not valid YAML: key 'qubits' stands twice"),
        ("a: &x [1]\nb: *x", ", line 2: not valid YAML: aliases (*name) are not allowed"),
        ("model: {qubits: 4", "not valid YAML"),
        ("model:\n\t- 1", ", line 2: not valid YAML"),
        ("a: 1\n---\nb: 2", "not valid YAML"),
        ("a: !!python/object/apply:os.system ['true']", "not valid YAML"),
        ("a: \x01", "not valid YAML"),
        ("? [1, 2]\n: 3", ""),
        ("? {a: 1}\n: 3", ""),
        ("seed: 2001-99-99", ""),
        ("[" * 5000, "not valid YAML"),
        ("<<: 1", ""),
        ("a: 0x" + "f" * 6000, ""),
        ("seed: " + "9" * 6000, ""),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_bad_yaml_is_refused_with_its_line(refused, text, says):
    assert says in refused(text)


def test_a_yaml_bomb_is_refused_at_its_first_alias(refused):
    bomb = "a: &a [x, x, x]\n" + "".join(
        f"{chr(98 + i)}: &{chr(98 + i)} [{', '.join(['*' + chr(97 + i)] * 9)}]\n" for i in range(8)
    )
    assert "line 2: not valid YAML: aliases" in refused(bomb)


def test_a_file_that_is_too_large_is_not_read(refused):
    assert f"larger than {MAX_FILE_BYTES} bytes" in refused(b"#" * (MAX_FILE_BYTES + 1))


def test_a_file_that_is_not_text_is_refused(refused):
    assert "cannot be read" in refused(b"name: \xff\xfe")


def test_a_missing_file_and_a_folder_are_named(tmp_path):
    for path in (tmp_path / "gone.yaml", tmp_path):
        with pytest.raises(SpecError, match="cannot be read") as caught:
            load_spec(path)
        assert str(caught.value).startswith(str(path))
        assert len(str(caught.value).splitlines()) == 1
    with pytest.raises(SpecError, match="cannot be read"):
        load_spec("nul\0byte.yaml")


@pytest.mark.parametrize(
    ("override", "says"),
    [
        ("training.epochs", "expected KEY.KEY=VALUE"),
        ("=5", "expected KEY.KEY=VALUE"),
        ("training..epochs=5", "expected KEY.KEY=VALUE"),
        ("seed.deep=5", "does not lead into a mapping"),
        ("seed=[1", "--set seed=[1"),
        ("a=*b", "aliases"),
    ],
)
def test_a_bad_override_is_quoted(refused, override, says):
    assert says in refused("seed: 1", override, first="--set")


def test_a_bad_value_from_an_override_names_its_path(refused):
    assert refused("seed: 1", "training.epochs=many").startswith(": training.epochs: ")
    assert refused("seed: 1", "training.epoch=3").startswith(": training.epoch: unknown key")


def test_an_override_of_an_empty_file_or_a_list_is_refused(refused):
    for content in ("", "[]", "text"):
        refused(content, "seed=1", first="")


JUNK = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=5)
    | st.sampled_from(["torch", "broyden", "digits"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["name", "qubits", "layers", "fallback", "solver"]) | st.integers() | st.text(max_size=3),
            inner,
            max_size=3,
        )
    ),
    max_leaves=6,
)


@settings(max_examples=300, suppress_health_check=list(HealthCheck))
@given(st.dictionaries(st.sampled_from(list(ExperimentSpec.model_fields)), JUNK, min_size=1, max_size=3) | JUNK)
def test_any_data_at_all_is_a_spec_or_a_spec_error(data):
    try:
        spec = parse_spec(data, "file.yaml")
    except SpecError as error:
        outcome = str(error).startswith("file.yaml: ")
    else:
        outcome = isinstance(spec, ExperimentSpec)
    assert outcome


@settings(max_examples=150, suppress_health_check=list(HealthCheck))
@given(data=st.binary(max_size=60) | st.text(max_size=60).map(str.encode))
def test_any_bytes_at_all_are_a_spec_or_a_spec_error(data, tmp_path_factory):
    path = tmp_path_factory.mktemp("junk") / "x.yaml"
    path.write_bytes(data)
    try:
        message = load_spec(path).name and str(path)
    except SpecError as error:
        message = str(error)
    assert str(path) in message
