"""Write `fortyninety/settings/host.py`, which gives editors the names of the settings.

.venv/bin/python -m tests.unit.settings.host_source > fortyninety/settings/host.py
"""

from __future__ import annotations

import textwrap
from typing import Any

from fortyninety.settings.schema import host_schema

HEAD = '''"""Name the settings of a host, so that an editor completes them in an inventory.

Written by tests/unit/settings/host_source.py from the settings themselves.
"""

from __future__ import annotations

from typing import Any, Literal, TypedDict, Unpack


class HostData(TypedDict, total=False):
    """What an inventory may say of a host. `fortyninety settings` has the reasons."""

'''
FOOT = '''

def host(name: str, **data: Unpack[HostData]) -> tuple[str, HostData]:
    """A host of an inventory, in pyinfra's form: `two_cards = [host("gpu-box-1", gpu_count=2)]`."""
    return name, data
'''
KINDS = {"string": "str", "integer": "int", "number": "float", "boolean": "bool", "null": "None"}


def kinds(schema: dict[str, Any]) -> list[str]:
    """The types of Python that a schema takes, None last."""
    if "anyOf" in schema:
        found = [kind for each in schema["anyOf"] for kind in kinds(each)]
    elif "enum" in schema:
        found = [f"Literal[{', '.join(map(_quoted, schema['enum']))}]"]
    elif "const" in schema:
        found = [f"Literal[{_quoted(schema['const'])}]"]
    elif schema.get("type") == "array":
        found = [f"list[{' | '.join(kinds(schema['items']))}]"]
    elif schema.get("type") == "object":
        (values,) = schema["patternProperties"].values()
        found = [f"dict[str, {' | '.join(kinds(values))}]"]
    else:
        names = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
        found = [KINDS.get(each, "dict[str, Any]") for each in names]
    return sorted(dict.fromkeys(found), key=lambda kind: kind == "None")


def _quoted(value: object) -> str:
    return f'"{value}"'


def source() -> str:
    """The text of the module."""
    fields = [
        f"{name}: {' | '.join(kinds(own))}\n" for name, own in host_schema()["properties"].items()
    ]
    return HEAD + textwrap.indent("".join(fields), "    ") + FOOT


if __name__ == "__main__":
    print(source(), end="")
