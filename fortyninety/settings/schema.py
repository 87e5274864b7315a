"""Describe the data of a host as JSON schema: settings, and the keys that pyinfra takes itself."""

from __future__ import annotations

import copy
from typing import Any

from fortyninety.settings.described import described_settings
from fortyninety.settings.model import Settings
from fortyninety.settings.parse import CONNECTION_TYPES

DIALECT = "https://json-schema.org/draft/2020-12/schema"
# Of pyinfra's global arguments: how a user who is not root becomes it.
SUDO = {"_sudo": bool, "_sudo_user": str}
_JSON_TYPES = {str: "string", int: "integer", float: "number", bool: "boolean", dict: "object"}


def host_schema() -> dict[str, Any]:
    """The JSON schema of what an inventory may say of a host; none of it is required."""
    return {
        "$schema": DIALECT,
        "title": "fortyninety: the data of a host",
        "description": (
            "Sizes are MiB, power is W, times are seconds, lengths are tokens. Checked together "
            "with the host and the other hosts before a deploy changes anything."
        ),
        "type": "object",
        "additionalProperties": False,
        "properties": {**_settings(), **_of_pyinfra()},
    }


def _settings() -> dict[str, Any]:
    properties = Settings.model_json_schema()["properties"]
    described = {each.name: each for each in described_settings()}
    return {
        name: _setting(copy.deepcopy(own), described[name].default, described[name].why)
        for name, own in properties.items()
    }


def _setting(own: dict[str, Any], default: Any, why: str) -> dict[str, Any]:
    """A setting's values, with the reason for the default in place of a title."""
    own.pop("title", None)
    if default is None and {"type": "null"} not in own.get("anyOf", []):
        # Filled in from other settings where the data says None.
        own = {"anyOf": [own, {"type": "null"}]}
    allowed = own.pop("description", "")
    description = " ".join(filter(None, (why, allowed and f"Takes {allowed}.")))
    return {"description": description, **own, "default": default}


def _of_pyinfra() -> dict[str, Any]:
    defaults = {each.name: each for each in described_settings()}
    found = {}
    for name, kind in {**CONNECTION_TYPES, **SUDO}.items():
        found[name] = {
            "description": "How pyinfra reaches the host: its pages on the SSH connector.",
            "type": [_JSON_TYPES[kind], "null"],
        }
        if (own := defaults.get(name)) is not None:
            found[name] |= {"description": own.why, "default": own.default}
    return found
