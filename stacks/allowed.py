"""What a setting may be, in words, read from the settings' model: `a whole number from 1 to 100`."""

from collections.abc import Mapping, Sequence
from typing import Any

Schema = Mapping[str, Any]


def allowed(schema: Schema, path: Sequence[str | int]) -> str:
    """For the setting at this path of a model's JSON schema."""
    return _words(_at(schema, path), schema)


def members(schema: Schema, path: Sequence[str | int]) -> list[str]:
    """The names of the settings in the group at this path; none of what is no such group."""
    return list(_at(schema, path).get("properties", {}))


def _at(schema: Schema, path: Sequence[str | int]) -> Schema:
    found = schema
    for part in path:
        group = isinstance(part, str)
        found = found.get("properties", {}).get(part) or found.get("additionalProperties" if group else "items") or {}
        found = _resolved(found, schema)
    return found


def _resolved(found: Any, schema: Schema) -> Schema:
    """Behind references, and without the null of one that may be left out."""
    if not isinstance(found, Mapping):
        return {}
    if "$ref" in found:
        return _resolved(schema["$defs"][found["$ref"].rpartition("/")[2]], schema)
    if "anyOf" in found:
        return _resolved(next(one for one in found["anyOf"] if one.get("type") != "null"), schema)
    return found


def _words(found: Schema, schema: Schema) -> str:
    if "enum" in found:
        return f"one of {', '.join(map(str, found['enum']))}"
    match found.get("type"):
        case "boolean":
            return "true or false"
        case "integer":
            return f"a whole number{_range(found)}"
        case "number":
            return f"a number{_range(found)}"
        case "array":
            return f"a list, each {_words(_resolved(found['items'], schema), schema)}"
        case "object" if "properties" in found:
            return f"a group of {', '.join(found['properties'])}"
        case "object":
            each = _words(_resolved(found["additionalProperties"], schema), schema)
            return f"{found['minProperties']} to {found['maxProperties']} names, each {each}"
    return f"text of the form {found['pattern']}" if "pattern" in found else "text"


def _range(found: Schema) -> str:
    least, most, below = found.get("minimum"), found.get("maximum"), found.get("exclusiveMaximum")
    if least is None:
        return ""
    if most is not None:
        return f" from {least:,} to {most:,}"
    return f" from {least:,} to less than {below:,}" if below is not None else f", {least:,} or more"
