"""Quote words of HAProxy's configuration."""

from __future__ import annotations


def haproxy_word(text: str) -> str:
    """The text as one word, nothing of it expanded. Raises ValueError for control characters."""
    if any(ord(character) < 32 or ord(character) == 127 for character in text):
        raise ValueError("a word of a configuration has no control characters")
    # Nothing is special within single quotes, which have no quote within.
    return "'" + text.replace("'", "'\\''") + "'"
