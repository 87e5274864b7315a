"""Read JSON that a program on a host printed, and accept only the fields that it may have."""

from __future__ import annotations

import json
from typing import Any

from fortyninety.survey.records import Unreadable, quoted
from fortyninety.text.printable import LONGEST, printable

# Of an answer. The longest is the list of what is wrong with a snapshot of some hundred files.
MOST_CHARACTERS = 1_000_000
MOST_DEPTH = 20


def read_object(text: str) -> dict[str, Any]:
    """The object of an answer, its texts and keys fit for a terminal. Raises Unreadable."""
    if len(text) > MOST_CHARACTERS:
        raise Unreadable(f"an answer of {len(text):,} characters")
    try:
        found = json.loads(text, parse_constant=_refused)
    except (ValueError, RecursionError) as error:
        raise Unreadable(f"{quoted(text)}; expected a JSON object") from error
    if not isinstance(found, dict):
        raise Unreadable(f"{quoted(text)}; expected a JSON object")
    cleaned: dict[str, Any] = _cleaned(found, 0)
    return cleaned


def text_of(answer: dict[str, Any], key: str) -> str | None:
    """The text under a key, cut where it is long; None where there is none. Raises Unreadable."""
    found = answer.get(key)
    if found is not None and not isinstance(found, str):
        raise Unreadable(f"{key} {quoted(repr(found))}; expected a text")
    return None if found is None else printable(found, LONGEST)


def number_of(answer: dict[str, Any], key: str, default: int | None = None) -> int:
    """The whole number under a key, from 0 to 10**18. Raises Unreadable."""
    found = answer.get(key, default)
    # True is a number to Python.
    if type(found) is not int or not 0 <= found <= 10**18:
        raise Unreadable(f"{key} {quoted(repr(found))}; expected a number")
    return found


def texts_of(answer: dict[str, Any], key: str) -> list[str]:
    """The texts of the list under a key, each cut where it is long. Raises Unreadable."""
    found = answer.get(key, [])
    if not isinstance(found, list) or not all(isinstance(each, str) for each in found):
        raise Unreadable(f"{key} {quoted(repr(found))}; expected a list of texts")
    return [printable(each, LONGEST) for each in found]


def _refused(constant: str) -> None:
    raise ValueError(f"{constant} is no number")


def _cleaned(value: Any, depth: int) -> Any:
    if depth > MOST_DEPTH:
        raise Unreadable("an answer nested too deep")
    if isinstance(value, str):
        return printable(value, len(value))
    if isinstance(value, list):
        return [_cleaned(each, depth + 1) for each in value]
    if isinstance(value, dict):
        return {printable(key): _cleaned(each, depth + 1) for key, each in value.items()}
    return value
