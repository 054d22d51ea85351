"""The JSON that the commands print, against the schemas that are its contract: docs/schemas."""

import json
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator
from referencing import Registry, Resource

FOLDER = Path(__file__).resolve().parent.parent / "docs" / "schemas"


def schema(name: str) -> Draft202012Validator:
    schemas = {path.name: json.loads(path.read_text()) for path in FOLDER.glob("*.json")}
    registry = Registry().with_resources((file, Resource.from_contents(one)) for file, one in schemas.items())
    return Draft202012Validator(schemas[f"{name}.json"], registry=registry)


def document(name: str, text: str) -> Any:
    """The one document in the text, after it was found to be as its schema says."""
    read = json.loads(text)
    schema(name).validate(read)
    return read
