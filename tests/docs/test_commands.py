"""Every command that the documentation shows is one that its program takes, with files and runs that are there."""

import contextlib
import re
import subprocess

import pytest
from doc_pages import PAGES, Block, blocks, name, snippets
from doc_programs import COMMANDS, OWN_OPTIONS, check
from doc_shell import commands, programs
from doc_workspace import Workspace

SHELL = ("console", "bash")
PLACEHOLDER = re.compile(r"^\$?[A-Z]+$|\.\.\.")


def faults(page, folder):
    """Return what is wrong with the commands of a page, each with its line."""
    with Workspace(folder, page) as workspace:
        return list(_faults(page, workspace))


def _faults(page, workspace):
    variables: dict[str, str] = {}
    for block in blocks(page, *SHELL):
        if block.language == "bash":
            for command in commands(block):  # what one branch of a script makes, another one may read
                with contextlib.suppress(Exception):
                    for program in programs(command.text, variables):
                        check(program.words, workspace)
            yield from (f"{name(page)}:{block.line}: {fault}" for fault in script_faults(block))
        for command in commands(block):
            if block.exempt:
                continue
            try:
                for program in programs(command.text, variables):
                    printed = check(program.words, workspace, program.writes)
                    if command.output and printed:
                        assert command.output.split() == printed.split(), "it prints something else"
            except Exception as error:  # each program has errors of its own
                yield f"{name(page)}:{command.line}: {type(error).__name__}: {error}"


def script_faults(block: Block):
    """Return what bash, and SLURM's known options, have against a script."""
    done = subprocess.run(["bash", "-n"], input=block.text, capture_output=True, text=True, check=False)
    found = [done.stderr] if done.returncode else []
    for option in re.findall(r"^#SBATCH +(\S+)", block.text, re.MULTILINE):
        try:
            check(["sbatch", option], None)
        except Exception as error:
            found.append(str(error))
    return found


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page, *SHELL)], ids=name)
def test_every_command_is_understood(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert faults(page, tmp_path) == []


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_commands_within_lines_have_options_that_exist(page):
    for code in snippets(page):
        words = re.split(r"[\s=]", code)
        if words[0] != "qdeq" or len(words) < 2:
            continue
        if not PLACEHOLDER.search(words[1]) and words[1] not in OWN_OPTIONS:
            assert words[1] in COMMANDS, f"{name(page)}: `{code}`: no such command"
            options = {each for parameter in COMMANDS[words[1]].params for each in parameter.opts}
            given = {word for word in words[2:] if word.startswith("--")} - OWN_OPTIONS
            assert given <= options, f"{name(page)}: `{code}`: no such option"
