"""Just enough of JSON Schema to check an experiment file against ours: jsonschema is no dependency."""

TYPES = {
    "object": dict,
    "array": list,
    "string": str,
    "integer": int,
    "number": (int, float),
    "boolean": bool,
    "null": type(None),
}
KNOWN = {
    *(
        "type",
        "enum",
        "const",
        "anyOf",
        "$ref",
        "properties",
        "required",
        "additionalProperties",
        "items",
        "prefixItems",
    ),
    *("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "minItems", "maxItems", "pattern", "format"),
    *("title", "description", "default", "$comment", "$defs", "$schema"),
}


def errors(value, schema, root, path="$"):
    """Return what is wrong, as texts."""
    assert set(schema) <= KNOWN, set(schema) - KNOWN
    if "$ref" in schema:
        target = root
        for part in schema["$ref"].removeprefix("#/").split("/"):
            target = target[part]
        return errors(value, target, root, path)
    if "anyOf" in schema:
        branches = [errors(value, branch, root, path) for branch in schema["anyOf"]]
        return [] if not all(branches) else [f"{path}: {value!r} fits no branch: {branches}"]
    found = []
    kind = schema.get("type")
    if kind and (not isinstance(value, TYPES[kind]) or (isinstance(value, bool) and kind != "boolean")):
        return [f"{path}: {value!r} is no {kind}"]
    if "enum" in schema and value not in schema["enum"]:
        found.append(f"{path}: {value!r} is not in {schema['enum']}")
    if "const" in schema and value != schema["const"]:
        found.append(f"{path}: {value!r} is not {schema['const']!r}")
    for word, bad in (
        ("minimum", lambda bound: value < bound),
        ("maximum", lambda bound: value > bound),
        ("exclusiveMinimum", lambda bound: value <= bound),
        ("exclusiveMaximum", lambda bound: value >= bound),
        ("minItems", lambda bound: len(value) < bound),
    ):
        if word in schema and bad(schema[word]):
            found.append(f"{path}: {value!r}: {word} {schema[word]}")
    if isinstance(value, dict):
        properties = schema.get("properties", {})
        found += [f"{path}: {key} is missing" for key in schema.get("required", []) if key not in value]
        for key, item in value.items():
            if key in properties:
                found += errors(item, properties[key], root, f"{path}.{key}")
            elif schema.get("additionalProperties") is False:
                found.append(f"{path}: unknown key {key}")
    if isinstance(value, list):
        for position, item in enumerate(value):
            given = schema.get("prefixItems", [])
            inner = given[position] if position < len(given) else schema.get("items", {})
            found += errors(item, inner, root, f"{path}[{position}]")
    return found
