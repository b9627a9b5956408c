"""The JSON schema of the experiment file, with the options of every installed plug-in, for editors."""

from __future__ import annotations

from typing import Any

from pydantic import TypeAdapter

from qdeq.adjoints import ADJOINTS
from qdeq.errors import QdeqError
from qdeq.plugins import BACKENDS, DATASETS, SOLVERS, Registry
from qdeq.spec.experiment import ExperimentSpec

DIALECT = "https://json-schema.org/draft/2020-12/schema"
Schema = dict[str, Any]


def experiment_schema() -> Schema:
    """Return the JSON schema of :class:`~qdeq.spec.ExperimentSpec`.

    ``backend``, ``solver``, ``adjoint``, ``solver.fallback`` and ``data.dataset`` take the name of an installed
    plug-in (``adjoint`` that of an adjoint, too), or a mapping with the name and its options. A plug-in that cannot be
    loaded may be named, without options.
    """
    schema = ExperimentSpec.model_json_schema()
    definitions = schema["$defs"]
    section = definitions.pop("SolverSpec")["properties"]
    solver, backend, dataset = (_choice(registry, definitions) for registry in (SOLVERS, BACKENDS, DATASETS))
    extra = {key: value for key, value in section.items() if key != "name"}
    extra["fallback"] = {**section["fallback"], "items": _reference(definitions, "Solver", solver)}
    properties = schema["properties"]
    _put(properties, "backend", _reference(definitions, "Backend", backend))
    _put(definitions["DataSpec"]["properties"], "dataset", _reference(definitions, "Dataset", dataset))
    adjoints = [_mapping(name, kind, f"adjoint-{name}", definitions) for name, kind in ADJOINTS.items()]
    adjoint = {"anyOf": [{"type": "string", "enum": list(ADJOINTS)}, *adjoints, {"$ref": "#/$defs/Solver"}]}
    _put(properties, "adjoint", _reference(definitions, "Adjoint", adjoint))
    _put(properties, "solver", _with_properties(solver, extra, section["name"]["default"]))
    return {"$schema": DIALECT, **schema}


def _choice(registry: Registry, definitions: Schema) -> Schema:
    """Return "one of the names, or a mapping with one of the names and its options"."""
    names: list[str] = []
    mappings: list[Schema] = []
    for name in registry.names():
        try:
            mapping = _mapping(name, registry.load(name), f"{registry.kind}-{name}", definitions)
        except QdeqError as error:
            names.append(name)  # still a name that may be written; loading the experiment will say what is wrong
            mappings.append({"type": "object", "properties": {"name": {"const": name}}, "$comment": str(error)})
            continue
        if mapping["required"] == ["name"]:
            names.append(name)
        mappings.append(mapping)
    return {"anyOf": [{"type": "string", "enum": names}, *mappings]}


def _mapping(name: str, plugin: Any, prefix: str, definitions: Schema) -> Schema:
    """Return "a mapping with this name and the plug-in's options"; what they refer to is defined under the prefix."""
    options = TypeAdapter(plugin).json_schema(ref_template=f"#/$defs/{prefix}-{{model}}")
    for key, definition in options.pop("$defs", {}).items():
        definitions[f"{prefix}-{key}"] = definition
    return {
        "type": "object",
        "title": name,
        "description": options.get("description", "").split("\n\n")[0],
        "properties": {"name": {"const": name}, **options.get("properties", {})},
        "required": ["name", *options.get("required", [])],
        "additionalProperties": False,
    }


def _reference(definitions: Schema, name: str, definition: Schema) -> Schema:
    definitions[name] = definition
    return {"$ref": f"#/$defs/{name}"}


def _put(properties: Schema, key: str, choice: Schema) -> None:
    """Replace what pydantic knows of a plug-in's field, but keep its description and its default."""
    kept = {word: properties[key][word] for word in ("description", "title", "default") if word in properties[key]}
    properties[key] = {**kept, **choice}


def _with_properties(choice: Schema, extra: Schema, default: str) -> Schema:
    """Return the choice with more properties in its mappings, and with the name left out for the default one."""
    branches = []
    for branch in choice["anyOf"]:
        if "properties" not in branch:
            branches.append(branch)
            continue
        required = branch.get("required", [])
        if branch["properties"]["name"]["const"] == default:
            required = [key for key in required if key != "name"]
        branches.append({**branch, "properties": {**branch["properties"], **extra}, "required": required})
    return {"anyOf": branches}
