"""Check a value of one setting without the others, for a question that has no host."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import TypeAdapter, ValidationError

from fortyninety.settings.allowed import allowed_values
from fortyninety.settings.model import Settings
from fortyninety.text.short_repr import short_repr


def value_problem(key: str, value: Any) -> str | None:
    """Say in a line why no deploy takes `value` for the setting `key`; None where one does."""
    field = Settings.model_fields[key]
    kind: Any = field.annotation
    for constraint in field.metadata:
        kind = Annotated[kind, constraint]
    try:
        TypeAdapter(kind).validate_python(value, strict=True)
    except ValidationError:
        return f"{key} is {short_repr(value)}; expected {allowed_values(key)}"
    return None
