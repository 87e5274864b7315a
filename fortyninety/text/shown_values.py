"""Show a wrong value of a setting in a message: short, on one line, never a credential."""

from __future__ import annotations

import re
from typing import Any

from fortyninety.text.short_repr import short_repr

# Keys whose wrong value is not shown, including misspelt ones: it may be the secret itself.
_SECRET_KEY = re.compile(r"to?ke?n|pas|pwd|secret|credential|auth|private|api_?key", re.I)
# Values that look like a secret: an address with a user, a query or a fragment, a hub's token, a
# header, or a word for a secret.
_SECRET_VALUE = re.compile(
    r"@|://[^\s]*[?#]|hf_|Bearer|Basic |PRIVATE KEY|token|passw|pwd|secret|credential|api.?key",
    re.I,
)


def shown(key: str, value: Any) -> str:
    """What was given for the setting `key`, as it would be written in Python.

    "something else" where the key or the value looks like it holds a credential. Raises nothing.
    """
    text = short_repr(value)
    try:
        whole = str(value)[:100_000]
    except Exception:
        whole = text
    if _SECRET_KEY.search(key) or _SECRET_VALUE.search(f"{text} {whole}"):
        return "something else"
    return text
