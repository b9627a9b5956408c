"""Checks the words of a program as the program itself would, and starts nothing."""

import argparse
import contextlib
import importlib
import io
import re
import sys
import tomllib
from collections.abc import Callable
from itertools import pairwise
from typing import Any, NoReturn
from unittest import mock

import typer.main
from doc_pages import ROOT
from doc_workspace import Workspace
from typer.testing import CliRunner

from qdeq.builders import build_circuit
from qdeq.cli.commands import app
from qdeq.cli.shorthands import shorthands
from qdeq.cli.solve_study import solver_choices
from qdeq.plugins import BACKENDS, DATASETS, SOLVERS, Registry
from qdeq.reproduce import load_table
from qdeq.solvers import get_solver
from qdeq.spec import load_spec, parse_yaml
from qdeq.sweeps import load_sweep

COMMANDS = typer.main.get_command(app).commands
OWN_OPTIONS = {"--help", "--version", "--debug", "--no-color", "--install-completion", "--show-completion"}
SYSTEM = {"[", "cat", "cd", "echo", "exit", "export", "head", "jq", "ls", "scontrol", "sleep"}
"""Programs whose words nobody here can judge."""
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")


class DocError(Exception):
    """A command that would not do what the page says."""


def check(words: list[str], workspace: Workspace, writes: str = "") -> str:
    """Raise DocError, or what qdeq itself raises, where a program would not take these words.

    A command of qdeq that takes no time is run.

    Args:
        words: The program's name and its arguments.
        workspace: Where they would be run.
        writes: The file that its standard output goes to.

    Returns:
        What it printed; empty where it was not run.
    """
    program, *rest = words
    checks: dict[str, Callable[[list[str], Workspace], None]] = {
        "qdeq": _qdeq,
        "make": _make,
        "python": _python,
        "pip": _pip,
        "pytest": _pytest,
        "torchrun": _torchrun,
        "source": _files,
        "bash": _files,
        "jupyter": _jupyter,
        "srun": _slurm,
        "sbatch": _slurm,
        "ray": _ray,
        "kubectl": _kubectl,
    }
    if program in checks:
        checks[program](rest, workspace)
        if program == "qdeq" and _is_quick(rest):
            # the files that a page shows are written beforehand, and one of them may be what `init` makes
            printed = run_qdeq([*rest, "--force"] if rest[0] == "init" else rest)
            if writes:
                workspace.write(writes, printed)
            return printed
    elif program not in SYSTEM:
        raise DocError(f"{program}: a program that the tests of the documentation do not know")
    return ""


# -- qdeq -------------------------------------------------------------------------------------------------------------


def parse_qdeq(words: list[str]) -> dict[str, Any] | None:
    """Return what qdeq's own parser makes of the words; None where it would show help."""
    own = [word for word in words if word.split("=")[0] in OWN_OPTIONS]
    if own and own == words[: len(own)]:
        words = words[len(own) :]
    words = [word for word in words if word not in ("--debug", "--no-color")]
    if not words:
        return None
    name, *rest = words
    if name not in COMMANDS:
        raise DocError(f"qdeq {name}: no such command")
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            return dict(COMMANDS[name].make_context(name, rest).params)
    except typer.Exit:
        return None
    except Exception as error:
        if not hasattr(error, "format_message"):  # the parser's own errors have it
            raise
        raise DocError(f"qdeq {' '.join(words)}: {error.format_message()}") from error


def _qdeq(words: list[str], workspace: Workspace) -> None:
    given = parse_qdeq(words)
    if given is None:
        return
    name = words[0]
    _names(name, given)
    _runs(given, workspace)
    config = given.get("config")
    if name == "sweep":
        sweep = load_sweep(given["file"])
        workspace.runs.add(str(given["out"] or f"runs/{sweep.spec.name}"))
        workspace.runs.update(f"runs/{sweep.spec.name}/cells/{cell.name}" for cell in sweep.cells)
    elif name == "reproduce" and given["table"]:
        sweep = load_table(given["table"]).sweep(given["mode"].value, seeds=given["seeds"], epochs=given["epochs"])
        workspace.runs.add(str(given["out"] or f"runs/reproduce/{sweep.spec.name}"))
    elif config is not None and str(config) not in workspace.runs:
        short = shorthands(config, given.get("backend"), given.get("solver"), given.get("device"))
        spec = load_spec(config, [*short, *(given.get("assignments") or ())])
        build_circuit(spec.model)
        if name == "train":
            workspace.runs.add(str(given["out"] or f"runs/{spec.name}"))


def _is_a_class(name: str) -> bool:
    return bool(re.fullmatch(r"[\w.]+:[A-Z]\w*", name))


def _names(command: str, given: dict[str, Any]) -> None:
    """Check the names of plug-ins."""
    wanted: list[tuple[str, Registry]] = []
    for option, registry in (("backend", BACKENDS), ("backends", BACKENDS), ("dataset", DATASETS), ("solver", SOLVERS)):
        wanted += [(name, registry) for name in (given.get(option) or "").split(",") if name]
    if command == "check-backend" and given["name"]:
        wanted.append((given["name"], BACKENDS))
    if command == "check-dataset" and given["name"] and not _is_a_class(given["name"]):
        wanted.append((given["name"], DATASETS))
    for name, registry in wanted:
        if name.split(":")[0] not in registry.names():
            raise DocError(f"{name}: there is no {registry.kind} of this name")
    if command == "check-solver" and given["name"]:
        options = (option.partition("=") for option in given["options"] or ())
        get_solver({"name": given["name"], **{key: parse_yaml(value, key) for key, _, value in options}})
    for choice in solver_choices(given["solvers"]) if given.get("solvers") else ():
        get_solver(choice)


def _runs(given: dict[str, Any], workspace: Workspace) -> None:
    """Ask that a run that is read has been made by a command before."""
    for option in ("run", "runs", "resume", "config"):
        paths = given.get(option) or ()
        for path in map(str, paths if isinstance(paths, (list, tuple)) else [paths]):
            if path.startswith("runs/") and path not in workspace.runs:
                raise DocError(f"{path}: no command before makes this run")


def _is_quick(words: list[str]) -> bool:
    """Whether a command reads and prints only."""
    return bool({"--list", "--show"} & set(words) or words[0] in ("estimate", "init", "schema", "show"))


def run_qdeq(words: list[str]) -> str:
    """Run a command of qdeq in this process, and return what it prints on the standard output."""
    result = CliRunner().invoke(app, words, prog_name="qdeq")
    if result.exit_code:
        raise DocError(f"qdeq {' '.join(words)}: exit code {result.exit_code}: {result.output}")
    return str(result.stdout)


# -- other programs ---------------------------------------------------------------------------------------------------


def _make(words: list[str], workspace: Workspace) -> None:
    targets = set(re.findall(r"^([\w-]+):.*##", MAKEFILE, re.MULTILINE))
    variables = set(re.findall(r"^(?:export )?(\w+) *[?:]?=", MAKEFILE, re.MULTILINE))
    for word in words:
        name, assigned, _ = word.partition("=")
        if name not in (variables if assigned else targets):
            raise DocError(f"make {word}: the Makefile has no such {'variable' if assigned else 'target'}")


def _python(words: list[str], workspace: Workspace) -> None:
    if words[:1] == ["-m"]:
        module, *rest = words[1:]
        known = {"qdeq": _qdeq, "pytest": _pytest, "pip": _pip}
        if module in known:
            known[module](rest, workspace)
        elif module.split(".")[0] in ("benchmarks", "tests"):
            _parsed_by(module, rest)
        else:
            raise DocError(f"python -m {module}: a module that the tests of the documentation do not know")
    else:
        _files(words[:1], workspace)


class _Parsed(Exception):
    """The parser of a script was content."""


def _parsed_by(module: str, words: list[str]) -> None:
    """Run a script up to the point where it has read its options."""
    name = module if (ROOT / module.replace(".", "/")).with_suffix(".py").exists() else f"{module}.__main__"
    parse = argparse.ArgumentParser.parse_args

    def parse_and_stop(parser: argparse.ArgumentParser, *arguments: Any, **options: Any) -> NoReturn:
        parse(parser, *arguments, **options)
        raise _Parsed

    complaint = io.StringIO()
    with (
        mock.patch.object(sys, "path", [str(ROOT), *sys.path]),
        mock.patch.object(sys, "argv", [module, *words]),
        mock.patch.object(argparse.ArgumentParser, "parse_args", parse_and_stop),
        contextlib.redirect_stderr(complaint),
    ):
        try:
            importlib.import_module(name).main()
        except _Parsed:
            return
        except SystemExit as exit:
            raise DocError(f"python -m {module} {' '.join(words)}: {complaint.getvalue()}") from exit
        except ModuleNotFoundError as error:
            raise DocError(f"python -m {module}: {error}") from error
    raise DocError(f"python -m {module}: it reads no options")


def _pip(words: list[str], workspace: Workspace) -> None:
    if words[:1] != ["install"]:
        raise DocError(f"pip {' '.join(words)}: only `pip install` is known here")
    for option, word in pairwise(words):
        if option in ("-c", "-r"):
            _files([word], workspace)
    for word in words[1:]:
        package = re.fullmatch(r"(qdeq|\.)(?:\[([\w,-]+)\])?", word)
        if package:
            unknown = set((package[2] or "").split(",")) - {"", *PROJECT["optional-dependencies"]}
            if unknown:
                raise DocError(f"pip install {word}: no such extra: {', '.join(unknown)}")
        elif word.startswith("./"):
            _files([f"{word}/pyproject.toml"], workspace)
        elif word not in ("-c", "-r", "-e", "--no-deps", "--upgrade") and words[words.index(word) - 1] not in "-c-r":
            raise DocError(f"pip install {word}: not qdeq")


def _pytest(words: list[str], workspace: Workspace) -> None:
    _files([word.split("::")[0] for word in words if "/" in word], workspace)


def _files(words: list[str], workspace: Workspace) -> None:
    for word in words:
        if not (word.startswith(".venv/") or (workspace.folder / word).exists()):
            raise DocError(f"{word}: there is no such file")


def _jupyter(words: list[str], workspace: Workspace) -> None:
    if words[:1] != ["execute"]:
        raise DocError(f"jupyter {' '.join(words)}: only `jupyter execute` is known here")
    _files([word for word in words[1:] if not word.startswith("--")], workspace)


def _torchrun(words: list[str], workspace: Workspace) -> None:
    from torch.distributed.run import get_args_parser

    complaint = io.StringIO()
    try:
        with contextlib.redirect_stderr(complaint):
            given = get_args_parser().parse_args(words)
    except SystemExit as exit:
        raise DocError(f"torchrun {' '.join(words)}: {complaint.getvalue()}") from exit
    _python([*(["-m"] if given.module else []), given.training_script, *given.training_script_args], workspace)


SLURM = {"cpus-per-task", "exclude", "job-name", "mem", "nodelist", "nodes", "ntasks", "ntasks-per-node"}
SLURM |= {"open-mode", "requeue", "signal", "time"}


def _slurm(words: list[str], workspace: Workspace) -> None:
    """Check the options of sbatch and srun, written ``--name=value``, and what they start."""
    while words and words[0].startswith("-"):
        if words[0].removeprefix("--").split("=")[0] not in SLURM:
            raise DocError(f"{words[0]}: no option of SLURM that the tests of the documentation know")
        words = words[1:]
    if words and words[0].endswith((".sbatch", ".sh")):
        _files(words[:1], workspace)
    elif words:
        check(words, workspace)


def _kubectl(words: list[str], workspace: Workspace) -> None:
    """Check what is run in a pod."""
    if "--" in words:
        check(words[words.index("--") + 1 :], workspace)


def _ray(words: list[str], workspace: Workspace) -> None:
    from ray.scripts.scripts import cli

    try:
        with contextlib.redirect_stdout(io.StringIO()):
            context = cli.make_context("ray", list(words))
            name, command, rest = cli.resolve_command(context, [*context._protected_args, *context.args])
            command.make_context(name, rest, parent=context)
    except Exception as error:
        if not hasattr(error, "format_message"):
            raise
        raise DocError(f"ray {' '.join(words)}: {error.format_message()}") from error
