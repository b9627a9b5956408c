"""Every block of code in the documentation is run, or read by what reads its kind."""

import ast
import json
import os
import re
import subprocess
import sys
import textwrap
import tomllib
from pathlib import Path

import pytest
import yaml
from doc_pages import PAGES, ROOT, Block, blocks, name
from doc_workspace import Workspace
from patience import HANG

from qdeq.builders import build_circuit
from qdeq.spec import parse_spec, parse_yaml
from qdeq.sweeps import load_sweep

LANGUAGES = {"bash", "console", "json", "python", "text", "toml", "yaml"}  # of bash and console: test_commands.py
BETWEEN = "\x1e"  # is printed between two blocks of a page
SAME = 0.05  # of a printed number: sums are rounded differently on another machine, and a solve may end a step later


def faults(page: Path, folder: Path) -> list[str]:
    """Return what is wrong with the blocks of a page that are not Python, or are Python and not run."""
    with Workspace(folder, page) as workspace:
        return [f"{name(page)}:{block.line}: {fault}" for block in blocks(page) for fault in _faults(block, workspace)]


def _faults(block: Block, workspace: Workspace) -> list[str]:
    if block.language not in LANGUAGES:
        return ["a block that is only indented, or has no language, cannot be checked: give it a fence and a language"]
    if block.exempt and (block.language not in ("python", "yaml") or len(block.exempt.split()) < 3):
        return [f"not run, and no good reason why: {block.exempt}"]
    if block.title and (ROOT / block.title).exists() and not _same_file(block):
        return [f"is not what {block.title} holds"]
    try:
        if block.language == "python":
            ast.parse(textwrap.dedent(block.text))
        elif block.language == "toml":
            tomllib.loads(block.text)
        elif block.language == "json":
            json.loads(block.text)
        elif block.language == "yaml" and block.exempt:
            list(yaml.safe_load_all(block.text))
        elif block.language == "yaml":
            _experiment_or_sweep(block, workspace)
        elif block.language == "text" and re.search(r"^ *(\$|qdeq|make|pip|python) ", block.text, re.MULTILINE):
            return ["a command in a block of text is not checked: make it `console`"]
    except Exception as error:  # each format has errors of its own
        return [f"{type(error).__name__}: {error}"]
    return []


def _same_file(block: Block) -> bool:
    """Return whether a block is the file that it is called after; in YAML, but for comments and layout."""
    held = (ROOT / block.title).read_text(encoding="utf-8")
    return yaml.safe_load(held) == yaml.safe_load(block.text) if block.language == "yaml" else held == block.text


def _experiment_or_sweep(block: Block, workspace: Workspace) -> None:
    data = parse_yaml(block.text, block.title or "a block")
    if "base" in data:
        assert block.title, "a sweep needs a title: its base is found from there"
        assert load_sweep(workspace.folder / block.title).cells
    else:
        build_circuit(parse_spec(data, block.title or "a block").model)


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page)], ids=name)
def test_every_block_is_read_by_what_reads_its_kind(page, tmp_path):
    assert faults(page, tmp_path) == []


def shown(page: Path) -> list[tuple[Block, str]]:
    """Return the blocks of Python of a page that are run, each with what the page says that it prints."""
    every = blocks(page)
    following = [*every[1:], Block("", "", 0, "")]
    return [
        (block, after.text if after.prints else "")
        for block, after in zip(every, following, strict=False)
        if block.language == "python" and not block.exempt
    ]


@pytest.mark.parametrize("page", [page for page in PAGES if shown(page)], ids=name)
def test_every_python_block_runs_and_prints_what_is_shown(page, tmp_path):
    # One script a page, line numbers kept, in a process of its own: default dtypes and seeds stay there.
    lines: list[str] = []
    for block, _ in shown(page):
        lines += [""] * (block.line - 2 - len(lines)) + [f"print({BETWEEN!r})", *block.text.splitlines()]
    script = tmp_path / f"page_{page.stem}.py"  # a script braket.py would be what `import braket` finds
    script.write_text("\n".join(lines), encoding="utf-8")
    (tmp_path / "configs").symlink_to(ROOT / "configs")
    printed = run([str(script)], tmp_path).split(BETWEEN + "\n")[1:]
    for (block, expected), got in zip(shown(page), printed, strict=True):
        if expected:
            assert alike(expected, got), f"{name(page)}:{block.line} prints\n{got}"


def test_what_is_shown_to_be_printed_follows_a_block_of_python():
    for page in PAGES:
        expected = [block for block in blocks(page) if block.prints]
        assert len(expected) == sum(bool(text) for _, text in shown(page)), name(page)


def alike(expected: str, got: str) -> bool:
    """Return whether two texts are the same, but for spaces and for the last digits of numbers with a point."""
    number = re.compile(r"-?\d+\.\d+(?:e[+-]?\d+)?|-?\d+e[+-]?\d+")
    if number.sub("#", expected).split() != number.sub("#", got).split():
        return False
    pairs = zip(map(float, number.findall(expected)), map(float, number.findall(got)), strict=True)
    return all(abs(a - b) <= SAME * max(abs(a), abs(b)) for a, b in pairs)


@pytest.mark.parametrize("path", sorted((ROOT / "examples").glob("*.py")), ids=name)
def test_every_example_runs(path, tmp_path):
    assert run([str(path)], tmp_path).strip()


def run(arguments: list[str], folder: Path) -> str:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "error::DeprecationWarning:__main__"}
    command = [sys.executable, *arguments]
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=HANG, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
