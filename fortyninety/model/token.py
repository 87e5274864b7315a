"""Read the hub's token from where the settings say it is, and from nowhere else."""

from __future__ import annotations

import os
from pathlib import Path

from fortyninety.text.private_file import ReadableByOthers, read_private

# A token of the public hub has 37 characters; a file of more is something else.
LONGEST_TOKEN = 4096


class NoToken(Exception):
    """Why there is no token where the settings say it is."""


def token_at(place: str | None) -> str | None:
    """Return the token at `file:PATH` or `environment:NAME`; None where no place is given.

    HF_TOKEN and what other tools keep are left alone. Raises NoToken where it is not there, or
    where others could read its file.
    """
    if place is None:
        return None
    kind, _, name = place.partition(":")
    token = os.environ.get(name, "") if kind == "environment" else _of_file(Path(name).expanduser())
    if not token or not token.isascii() or not token.isprintable() or " " in token:
        raise NoToken(f"{place}, where there is no token")
    return token


def _of_file(path: Path) -> str:
    try:
        content = read_private(path, LONGEST_TOKEN + 1)
    except OSError as error:
        raise NoToken(f"in {path}, which cannot be read: {error.strerror}") from error
    except ReadableByOthers as error:
        raise NoToken(f"in {path}, which {error}") from error
    if len(content) > LONGEST_TOKEN:
        raise NoToken(f"in {path}, which holds more than a token")
    return content.decode(errors="replace").strip()
