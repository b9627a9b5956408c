"""The table of modules in docs/architecture.md is that of the code, lower modules import no higher ones, and base
classes keep out of the way of what plug-ins add to them.
"""

import ast
import importlib
import inspect
import re
from pathlib import Path

import pytest

import qdeq
from qdeq.adjoints.base import Adjoint
from qdeq.backends.adapter import CircuitBackend
from qdeq.backends.base import Backend
from qdeq.backends.function import FrozenFunction
from qdeq.data.stored import StoredDataset
from qdeq.solvers import CompositeSolver, Solver

PACKAGE = Path(qdeq.__file__).parent
PAGE = PACKAGE.parent / "docs" / "architecture.md"
ENTRANCES = {"__init__", "__main__", "_version"}

ROWS = re.findall(r"^\| (\d) \| ([^|]+) \|", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)
LEVELS = {name: int(level) for level, names in ROWS for name in re.findall(r"`([^`]+)`", names)}


def modules():
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        yield path, ".".join(parts[:-1] if parts[-1] == "__init__" else parts) or "__init__"


def level(module):
    """Return the level of the module, or of the nearest package above it that the table names."""
    while module and module not in LEVELS:
        module = module.rpartition(".")[0]
    return LEVELS.get(module)


def imports(tree):
    """Yield the modules of qdeq that are imported while a program runs, wherever in the file."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.startswith("qdeq."))
        elif isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "qdeq":
            for alias in node.names:
                inner = PACKAGE.joinpath(*node.module.split(".")[1:], alias.name)
                is_module = inner.is_dir() or inner.with_suffix(".py").exists()
                yield f"{node.module}.{alias.name}" if is_module else node.module
        yield from imports(node)


def test_the_table_names_every_module_and_nothing_else():
    there = {name for _, name in modules()}
    assert set(LEVELS) <= there
    assert {name for name in there if level(name) is None} == ENTRANCES


@pytest.mark.parametrize(("path", "module"), [pytest.param(*pair, id=pair[1]) for pair in modules()])
def test_no_module_imports_a_higher_one(path, module):
    if module in ENTRANCES:
        return
    for imported in imports(ast.parse(path.read_text(encoding="utf-8"))):
        name = imported.removeprefix("qdeq").removeprefix(".")
        if name and name not in ENTRANCES:
            assert level(name) <= level(module), f"{module} (level {level(module)}) imports {name} ({level(name)})"


def abstract_classes():
    for _, name in modules():
        if name not in ENTRANCES and not name.startswith("testing"):
            for found in vars(importlib.import_module(f"qdeq.{name}")).values():
                if inspect.isabstract(found) and found.__module__ == f"qdeq.{name}":
                    yield found


def test_no_private_name_of_a_base_class_can_be_met_by_a_plug_ins_helper():
    bases = set(abstract_classes())
    assert {Backend, CircuitBackend, FrozenFunction, Solver, CompositeSolver, Adjoint, StoredDataset} <= bases
    for base in bases:
        private = {name for name in vars(base) if name.startswith("_") and not name.endswith("__")} - {"_abc_impl"}
        met = {name for name in private if not name.startswith(f"_{base.__name__}__")}
        assert not met, f"{base.__qualname__}: give {', '.join(met)} two leading underscores"
