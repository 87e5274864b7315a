"""Say in words which values a setting takes, read from its type, bounds and description."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from fortyninety.settings.model import Settings


@cache
def allowed_values(key: str) -> str:
    """In words, which values the setting `key` takes."""
    schema = Settings.model_json_schema()["properties"][key]
    choices = [schema] if "description" in schema else schema.get("anyOf", [schema])
    separator = ", or " if "description" in choices[0] else " or "
    return separator.join(each.get("description") or _in_words(each) for each in choices)


def _in_words(schema: Mapping[str, Any]) -> str:
    if "enum" in schema:
        return "one of " + ", ".join(repr(value) for value in schema["enum"])
    if "const" in schema:
        return repr(schema["const"])
    kind = {
        "integer": "a whole number",
        "number": "a number",
        "boolean": "True or False",
        "string": "a text",
        "array": "a list",
        "null": "None",
    }[schema["type"]]
    low = schema.get("minimum", schema.get("exclusiveMinimum"))
    high = schema.get("maximum", schema.get("exclusiveMaximum"))
    if low is not None and high is not None:
        above = "above " if "exclusiveMinimum" in schema else ""
        return f"{kind} from {above}{low} to {high}"
    if low is not None:
        return f"{kind} of at least {low}"
    if "pattern" in schema:
        return f"{kind} that matches {schema['pattern']}"
    return kind
