"""Names in the documentation: keys of the experiment, targets of make, and the public names of the package."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from typing import Any, get_args

import pytest
from doc_pages import PAGES, ROOT, name, prose, snippets
from patience import HANG
from pydantic import BaseModel

import qdeq
from qdeq.adjoints import ADJOINTS
from qdeq.plugins import BACKENDS, DATASETS, SOLVERS
from qdeq.spec import ExperimentSpec

PLUGGED = {"data.dataset": DATASETS, "backend": BACKENDS, "solver": SOLVERS}


def keys(model: type[BaseModel] = ExperimentSpec, path: str = "") -> Iterator[str]:
    """Yield every key of an experiment file, those of qdeq's own plug-ins among them."""
    for field, described in model.model_fields.items():
        key = f"{path}{field}"
        yield key
        for part in (described.annotation, *get_args(described.annotation)):
            if isinstance(part, type) and issubclass(part, BaseModel):
                yield from keys(part, f"{key}.")
        plugins: list[Any] = [PLUGGED[key].load(each) for each in PLUGGED[key].names()] if key in PLUGGED else []
        plugins += [*ADJOINTS.values(), *map(SOLVERS.load, SOLVERS.names())] if key == "adjoint" else []
        for plugin in plugins:
            yield from (f"{key}.{option}" for option in plugin.__pydantic_fields__)


KEYS = set(keys()) | {f"{key}.name" for key in (*PLUGGED, "adjoint")}
ASSIGNED = re.compile(r"--set[ =]([\w.]+)=")


def faults(page) -> list[str]:
    """Return the keys of the experiment that a page names within lines and that there are not."""
    found = []
    for code in snippets(page):
        key = re.match(r"(?:backend|solver|adjoint|data|model|training|budget)\.[\w.]+(?=$|[:=] ?)", code)
        named = [*ASSIGNED.findall(code), *([key[0]] if key and not key[0].endswith((".py", ".md")) else [])]
        found += [f"{name(page)}: `{code}`: there is no key {each}" for each in named if not _known(each)]
    return found


def _known(key: str) -> bool:
    free = ("noise.", "budget.prices")  # what stands below is named by gates, qubits and devices
    return key in KEYS or key.startswith(free) or key.split(".")[0] not in {each.split(".")[0] for each in KEYS}


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_keys_within_lines_are_keys_of_the_experiment(page):
    assert faults(page) == []


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_targets_of_make_within_lines_exist(page):
    targets = set(re.findall(r"^([\w-]+):.*##", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    for code in snippets(page):
        made = re.match(r"make ([a-z]+)\b", code)
        assert not made or made[1] in targets, f"{name(page)}: `{code}`"


def test_readme_begins_with_the_two_commands():
    top = (ROOT / "README.md").read_text(encoding="utf-8")[:600]
    assert "make train" in top
    assert "make test" in top


def test_nothing_is_left_to_do():
    for page in PAGES:
        assert not re.search(r"\b(TODO|FIXME|XXX)\b", prose(page)), name(page)


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


def test_importing_qdeq_loads_neither_torch_nor_a_quantum_sdk():
    heavy = ["torch", "cirq", "braket", "pennylane", "qiskit", "sklearn", "matplotlib"]
    code = f"import sys, qdeq; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=HANG, check=True)
    assert done.stdout.strip() == "[]"
