"""Render templates strictly: a misspelt variable is an error and not a blank."""

from __future__ import annotations

from functools import cache
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from fortyninety.checkout import ROOT

TEMPLATES_DIRECTORY = ROOT / "templates"


@cache
def _environment() -> Environment:
    return Environment(
        loader=FileSystemLoader(TEMPLATES_DIRECTORY),
        undefined=StrictUndefined,
        keep_trailing_newline=True,
        trim_blocks=True,
        lstrip_blocks=True,
        autoescape=False,  # units and apt sources, not HTML
    )


def render(template: str, **values: Any) -> str:
    """The text of `templates/<template>` with `values`.

    Raises jinja2.UndefinedError for a value that the template needs and did not get.
    """
    return _environment().get_template(template).render(**values)
