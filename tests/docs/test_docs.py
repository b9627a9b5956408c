"""What the documentation shows works: code, experiment files, examples, links, and the list of public names."""

import ast
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

import qdeq
from qdeq.builders import build_circuit
from qdeq.circuit import Circuit
from qdeq.spec import load_spec, parse_spec, parse_yaml

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
CONFIGS = sorted((ROOT / "configs").glob("*.yaml"))
FENCE = re.compile(
    r"^(?P<skip><!-- not run: .+? -->\n)?```(?P<language>\w+)[^\n]*\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL
)
NAMED = re.compile(r"`((?:examples|configs|docs|tests|benchmarks)/[\w./-]+\.\w+)`")
VARIANTS = [
    [],
    ["model.mode=direct", "model.layers=5"],
    ["training.warmup_steps=750"],
    ["training.jacobian_weight=0.8"],
]


@dataclass(frozen=True)
class Block:
    """A fenced block of a page; one after the comment ``<!-- not run: reason -->`` is left out."""

    language: str
    line: int
    text: str


def blocks(page: Path, language: str) -> list[Block]:
    found = []
    pattern = re.compile(
        r"^(?P<skip><!-- not run: .+? -->\n)?```(?P<language>\w+)[^\n]*\n(?P<text>.*?)^```$", re.M | re.S
    )
    text = page.read_text(encoding="utf-8")
    for match in pattern.finditer(text):
        if match["language"] == language and not match["skip"]:
            found.append(Block(language, text.count("\n", 0, match.start("text")) + 1, match["text"]))
    return found


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def with_blocks(language: str) -> list[Path]:
    return [page for page in PAGES if blocks(page, language)]


@pytest.mark.parametrize("page", with_blocks("python"), ids=name)
def test_every_python_block_runs(page, tmp_path):
    # One script a page, line numbers kept, in a process of its own: default dtypes and seeds stay there.
    lines: list[str] = []
    for block in blocks(page, "python"):
        lines += [""] * (block.line - 1 - len(lines)) + block.text.splitlines()
    (tmp_path / page.name).with_suffix(".py").write_text("\n".join(lines), encoding="utf-8")
    (tmp_path / "configs").symlink_to(ROOT / "configs")
    run([str((tmp_path / page.name).with_suffix(".py"))], tmp_path)


@pytest.mark.parametrize("page", with_blocks("yaml"), ids=name)
def test_every_experiment_file_in_the_docs_is_valid(page):
    for block in blocks(page, "yaml"):
        source = f"{page.name}:{block.line}"
        parse_spec(parse_yaml(block.text, source), source)


@pytest.mark.parametrize("path", CONFIGS, ids=name)
@pytest.mark.parametrize("overrides", VARIANTS, ids=" ".join)
def test_configs_and_their_variants_describe_experiments(path, overrides):
    spec = load_spec(path, overrides)
    assert spec.name == path.stem
    assert isinstance(build_circuit(spec.model), Circuit)


@pytest.mark.parametrize("path", CONFIGS, ids=name)
def test_commands_in_a_config_are_about_that_config(path):
    commands = re.findall(r"^# .*qdeq train (\S+)(.*?)(?:  #.*)?$", path.read_text(encoding="utf-8"), re.M)
    assert commands
    for file, options in commands:
        assert ROOT / file == path
        overrides = re.findall(r"--set (\S+)", options)
        solver = re.search(r"--solver (\S+)", options)
        load_spec(path, [*([f"solver={solver[1]}"] if solver else []), *overrides])


@pytest.mark.parametrize("path", sorted((ROOT / "examples").glob("*.py")), ids=name)
def test_every_example_runs(path, tmp_path):
    assert run([str(path)], tmp_path).strip()


def run(arguments: list[str], folder: Path) -> str:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "error::DeprecationWarning:__main__"}
    command = [sys.executable, *arguments]
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_relative_links_lead_to_files(page):
    text = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if not re.match(r"[a-z]+:", target) and not target.startswith("#"):
            assert (page.parent / target.split("#")[0]).exists(), f"{name(page)} links to {target}"


def test_readme_begins_with_the_two_commands():
    top = (ROOT / "README.md").read_text(encoding="utf-8")[:600]
    assert "make train" in top
    assert "make test" in top


def test_files_that_the_docs_name_exist():
    for page in PAGES:
        for path in re.findall(
            r"`((?:examples|configs|docs|tests|benchmarks)/[\w./-]+\.\w+)`", page.read_text(encoding="utf-8")
        ):
            assert (ROOT / path).exists(), f"{name(page)} names {path}"


def test_every_public_name_is_there_and_typed():
    for public in qdeq.__all__:
        assert getattr(qdeq, public) is not None
    assert set(qdeq.__all__) - {"__version__"} == typed_names()
    with pytest.raises(AttributeError, match="no attribute 'Circus'"):
        qdeq.Circus  # noqa: B018


def typed_names() -> set[str]:
    """Return the names imported under ``if TYPE_CHECKING``, which type checkers and editors see."""
    tree = ast.parse((ROOT / "qdeq" / "__init__.py").read_text(encoding="utf-8"))
    branches = [node for node in tree.body if isinstance(node, ast.If)]
    branch = next(node for node in branches if getattr(node.test, "id", "") == "TYPE_CHECKING")
    return {alias.name for node in branch.body if isinstance(node, ast.ImportFrom) for alias in node.names}


def test_importing_qdeq_loads_neither_torch_nor_a_quantum_sdk(tmp_path):
    heavy = ["torch", "cirq", "braket", "pennylane", "qiskit", "sklearn", "matplotlib"]
    code = f"import sys, qdeq; print([name for name in {heavy} if name in sys.modules])"
    assert run(["-c", code], tmp_path).strip() == "[]"
