"""What MkDocs takes from the code at build time, so that nothing is written twice.

* one reference page for each public module;
* ``<!-- spec -->``, ``<!-- sweep -->``, ``<!-- options qdeq.solvers -->``, ``<!-- adjoints -->``, ``<!-- gates -->``,
  ``<!-- channels -->``, ``<!-- cli -->``, ``<!-- problems -->`` and ``<!-- checks solvers -->`` become tables;
* ``<!-- notebook own_circuit -->`` becomes that notebook of ``examples/notebooks``, with the outputs that are stored;
* LaTeX becomes MathML, which browsers draw without a script.
"""

from __future__ import annotations

import base64
import html
import inspect
import json
import pkgutil
import re
from pathlib import Path
from typing import Any, get_args

from latex2mathml.converter import convert
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page
from pydantic import BaseModel, TypeAdapter
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

import qdeq
from qdeq.adjoints import ADJOINTS
from qdeq.channels import CHANNELS
from qdeq.errors import PluginError
from qdeq.gates import GATES
from qdeq.plugins import Registry
from qdeq.spec import ExperimentSpec

# -- reference pages --------------------------------------------------------------------------------------------------


def modules() -> list[str]:
    """Return the names of all public modules."""
    found = ["qdeq"]
    for info in pkgutil.walk_packages(qdeq.__path__, "qdeq."):
        if not any(part.startswith("_") for part in info.name.split(".")):
            found.append(info.name)
    return sorted(found)


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Add the reference to the navigation: a section for each package, with its modules."""
    assert config.nav is not None
    sections: dict[str, list[dict[str, str]]] = {}
    for name in modules():
        sections.setdefault(".".join(name.split(".")[:2]), []).append({name: f"reference/{name}.md"})
    reference: list[Any] = ["reference/index.md"]
    reference += [pages[0] if len(pages) == 1 else {name: pages} for name, pages in sections.items()]
    config.nav.append({"Reference": reference})
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the reference pages."""
    for name in modules():
        # a package's own page has its docstring and what is defined in it; what it re-exports is on the modules' pages
        page = f"---\ntitle: {name}\nsearch:\n  boost: 0.5\n---\n::: {name}\n"
        files.append(File.generated(config, f"reference/{name}.md", content=page))
    for path in sorted(NOTEBOOKS.glob("*.ipynb")):
        files.append(File.generated(config, f"guides/{path.name}", content=path.read_bytes()))
        for number, (picture, _) in enumerate(pictures(path), 1):
            files.append(File.generated(config, f"guides/{path.stem}-{number}.png", content=base64.b64decode(picture)))
    return files


# -- tables -----------------------------------------------------------------------------------------------------------


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Fill in the tables."""
    makers = {
        "spec": spec_tables,
        "sweep": sweep_table,
        "options": option_tables,
        "adjoints": adjoint_tables,
        "gates": gate_table,
        "channels": channel_table,
        "cli": command_reference,
        "problems": problem_table,
        "checks": check_table,
        "notebook": notebook,
        "public": public_table,
    }

    def fill(match: re.Match[str]) -> str:
        return makers[match[1]](*match[2].split())

    return re.sub(rf"<!-- ({'|'.join(makers)})((?: [\w.]+)*) -->", fill, markdown)


def public_table() -> str:
    """Return the table of what `from qdeq import ...` gives."""
    lines = ["| name | what it is |", "| --- | --- |"]
    for name in sorted(qdeq.__all__, key=str.lower):
        thing = getattr(qdeq, name)
        if name.startswith("__") or not hasattr(thing, "__module__"):
            continue
        home = f"{thing.__module__}.{thing.__qualname__}" if hasattr(thing, "__qualname__") else ""
        shown = f"[`{name}`][{home}]" if home else f"`{name}`"
        lines.append(f"| {shown} | {_cell(_plain(_summary(thing)))} |")
    return "\n".join(lines)


def _plain(text: str) -> str:
    """Return a docstring's line without roles and in Markdown's code marks."""
    return re.sub(r":\w+:`~?(?:[\w.]*\.)?(\w+)`", r"`\1`", text).replace("``", "`")


def spec_tables() -> str:
    """Return a table for each section of an experiment file."""
    return "\n".join(_section(ExperimentSpec, "", "The top level"))


def sweep_table() -> str:
    """Return the table of a sweep file's keys."""
    from qdeq.sweeps import SweepSpec

    lines = _header()
    for name, field in SweepSpec.model_fields.items():
        key = field.alias or name
        shown = _type_of(SweepSpec, key)
        lines.append(f"| `{key}` | {_cell(shown)} | {_default(field)} | {_cell(field.description)} |")
    return "\n".join(lines)


def _section(model: type[BaseModel], path: str, title: str) -> list[str]:
    lines = ["", f"## {title}", "", _summary(model), "", *_header()]
    nested: dict[type[BaseModel], str] = {}  # what two fields share is described once
    for name, field in model.model_fields.items():
        kind = field.annotation
        kind = next((part for part in get_args(kind) if isinstance(part, type) and issubclass(part, BaseModel)), kind)
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            whole = nested.setdefault(kind, f"{path}{name}")
            see = f"see [`{whole}`](#{whole.replace('.', '')})"
            lines.append(f"| `{path}{name}` | section | {see} | {_cell(field.description)} |")
        else:
            shown = _type_of(model, name)
            lines.append(f"| `{path}{name}` | {_cell(shown)} | {_default(field)} | {_cell(field.description)} |")
    for kind, whole in nested.items():
        lines += _section(kind, f"{whole}.", f"`{whole}`")
    return lines


def _type_of(model: type[BaseModel], name: str) -> str:
    """Return the type in words, from the JSON schema that editors get too."""
    schema = model.model_json_schema()
    return _words(schema["properties"][name], schema.get("$defs", {}))


def _words(schema: dict[str, Any], definitions: dict[str, Any]) -> str:
    if "$ref" in schema:
        return _words(definitions[schema["$ref"].rsplit("/", 1)[-1]], definitions)
    if "anyOf" in schema:
        return " or ".join(dict.fromkeys(_words(part, definitions) for part in schema["anyOf"]))
    if "const" in schema:
        return f"`{schema['const']}`"
    if "enum" in schema:
        return ", ".join(f"`{value}`" for value in schema["enum"])
    kind = schema.get("type")
    if kind == "array":
        if "prefixItems" in schema:
            return "[" + ", ".join(_words(item, definitions) for item in schema["prefixItems"]) + "]"
        return f"list of {_words(schema.get('items', {}), definitions)}"
    words = {"integer": "whole number", "number": "number", "string": "text", "boolean": "`true`, `false`"}
    words |= {"object": "name or mapping", "null": "null"}
    text = words.get(str(kind), "any")
    signs = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
    limits = [f"{sign} {schema[key]:g}" for key, sign in signs.items() if key in schema]
    return " ".join([text, ", ".join(limits)]).strip()


def option_tables(group: str) -> str:
    """Return a table of options for each plug-in of a group."""
    lines: list[str] = []
    registry = Registry(group, "plug-in")
    for name in registry.names():
        try:
            plugin = registry.load(name)
        except PluginError as error:
            lines += ["", f"### `{name}`", "", f"Could not be loaded here: {error}"]
            continue
        if not plugin.__module__.startswith("qdeq."):
            continue  # installed by chance beside the documentation's tools
        lines += _options(plugin, name, group.rsplit(".", 1)[-1])
    return "\n".join(lines)


def adjoint_tables() -> str:
    """Return a table of options for each adjoint that is no solver."""
    return "\n".join(line for name, adjoint in ADJOINTS.items() for line in _options(adjoint, name, "adjoints"))


def _options(plugin: Any, name: str, kind: str) -> list[str]:
    lines = ["", f"### `{name}` {{ #{kind}-{name} }}", "", _summary(plugin), ""]
    fields: dict[str, FieldInfo] = plugin.__pydantic_fields__
    schemas = TypeAdapter(plugin).json_schema().get("properties", {})
    lines += _header() if fields else ["No options."]
    for option, field in fields.items():
        words = _words(schemas[option], {})
        lines.append(f"| `{option}` | {_cell(words)} | {_default(field)} | {_cell(field.description)} |")
    return lines


def channel_table() -> str:
    """Return the table of noise channels."""
    lines = ["| channel | qubits | parameter | Kraus operators |", "| --- | --- | --- | --- |"]
    for row in CHANNELS.values():
        lines.append(f"| `{row.name}` | {row.num_qubits} | {row.parameter}, 0 to {row.most:g} | {row.kraus} |")
    return "\n".join(lines)


def gate_table() -> str:
    """Return the gate table: qubits, angles, shift rule, decomposition."""
    lines = ["| gate | qubits | angles | shift rule | written with |", "| --- | --- | --- | --- | --- |"]
    for row in GATES.values():
        rule = {0: "-", 2: "two terms", 4: "four terms"}[len(row.shift_rules[0]) if row.shift_rules else 0]
        parts = " · ".join(name for name, _, _ in row.decomposition) or "-"
        lines.append(f"| `{row.name}` | {row.num_qubits} | {', '.join(row.parameters) or '-'} | {rule} | {parts} |")
    return "\n".join(lines)


def problem_table() -> str:
    """Return the table of fixed-point problems that solvers are tried on."""
    from qdeq.testing.problems import PROBLEMS

    lines = ["| problem | f(y) | known answer | what it asks | must converge |", "| --- | --- | --- | --- | --- |"]
    for row in PROBLEMS:
        must = "yes" if row.required else ""
        lines.append(f"| `{row.name}` | {row.equation} | {row.answer} | {row.asks} | {must} |")
    return "\n".join(lines)


def check_table(kit: str) -> str:
    """Return what each check of the kit for ``backends``, ``solvers`` or ``datasets`` proves."""
    from qdeq.testing.kits import kit_checks

    rows = [f"| `{name}` | {_cell(proves)} |" for name, proves in kit_checks(kit).items()]
    return "\n".join(["| check | proves |", "| --- | --- |", *rows])


def command_reference() -> str:
    """Return the help text of every command."""
    import typer.main

    from qdeq.cli.commands import app

    group = typer.main.get_command(app)
    lines: list[str] = []
    for name, command in getattr(group, "commands", {}).items():
        lines += ["", f"### `qdeq {name}`", "", inspect.cleandoc(command.help or ""), ""]
        lines += ["| | |", "| --- | --- |"]
        for parameter in command.params:
            if getattr(parameter, "hidden", False):
                continue
            option = parameter.param_type_name == "option"
            names = ", ".join(parameter.opts) if option else parameter.metavar or parameter.name.upper()
            lines.append(f"| `{names}` | {_cell(getattr(parameter, 'help', '') or '')} |")
        shown = inspect.cleandoc((command.epilog or "").removeprefix("Examples:"))
        lines += ["", "```console", *(f"$ {line}" for line in shown.splitlines()), "```"]
    return "\n".join(lines)


# -- notebooks --------------------------------------------------------------------------------------------------------

NOTEBOOKS = Path(__file__).parents[1] / "examples" / "notebooks"


def cells(path: Path) -> list[dict[str, Any]]:
    """Return the cells of a notebook."""
    return list(json.loads(path.read_text(encoding="utf-8"))["cells"])


def pictures(path: Path) -> list[tuple[str, str]]:
    """Return the pictures of a notebook, as PNG in base64, each with the words for those who do not see it."""
    return [
        (output["data"]["image/png"], cell["metadata"]["alt"])
        for cell in cells(path)
        for output in cell.get("outputs", ())
        if "image/png" in output.get("data", {})
    ]


def notebook(stem: str) -> str:
    """Return a notebook as Markdown; its first heading is the page's."""
    parts: list[str] = []
    shown = iter(enumerate(pictures(NOTEBOOKS / f"{stem}.ipynb"), 1))
    for cell in cells(NOTEBOOKS / f"{stem}.ipynb"):
        source = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            parts.append(re.sub(r"^# .*\n+", "", source))
            continue
        parts.append(f"```python\n{source}\n```")
        for output in cell["outputs"]:
            if "image/png" in output.get("data", {}):
                number, (_, words) = next(shown)
                parts.append(f"![{words}]({stem}-{number}.png)")
            else:
                text = output.get("text") or output["data"]["text/plain"]
                parts.append(f"```text\n{''.join(text).rstrip()}\n```")
    return "\n\n".join(parts)


def _header() -> list[str]:
    return ["| key | value | default | meaning |", "| --- | --- | --- | --- |"]


def _summary(thing: Any) -> str:
    return (inspect.getdoc(thing) or "").split("\n\n")[0].replace("\n", " ")


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    if field.default is PydanticUndefined:
        return ""
    if field.default is None or isinstance(field.default, bool):
        return f"`{json.dumps(field.default)}`"  # as YAML has it
    return f"`{field.default}`"


def _cell(text: str | None) -> str:
    parts = re.split(r"(`[^`]*`)", text or "")  # within code a bar is no border of a cell, and a backslash would show
    return " ".join("".join(part if part[:1] == "`" else part.replace("|", "\\|") for part in parts).split())


# -- mathematics ------------------------------------------------------------------------------------------------------

_MATH = re.compile(r'<(span|div) class="arithmatex">\\[(\[](.*?)\\[)\]]</\1>', re.DOTALL)


def on_page_content(content: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Turn LaTeX into MathML."""

    def mathml(match: re.Match[str]) -> str:
        return convert(html.unescape(match[2]).strip(), display="block" if match[1] == "div" else "inline")

    return _MATH.sub(mathml, content)
