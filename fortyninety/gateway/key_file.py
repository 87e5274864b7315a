"""Keep the keys of an inventory in one file beside it, of hashes alone."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from fortyninety.gateway.key_map import map_text
from fortyninety.gateway.keys import Key
from fortyninety.text.printable import printable

MOST_KEYS = 10_000
# 10,000 keys take 3 MB.
LARGEST = 8 * 1024 * 1024


class KeyFileUnusable(Exception):
    """Why the file of keys cannot be read or written, in one line."""


class _Content(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    version: Literal[1]
    # When, in seconds since 1970, and later than the time before.
    changed: Annotated[int, Field(ge=0, lt=10**12)] = 0
    keys: Annotated[tuple[Key, ...], Field(max_length=MOST_KEYS)]

    @model_validator(mode="after")
    def _each_once(self) -> _Content:
        for field in ("name", "sha256"):
            values = [getattr(key, field) for key in self.keys]
            if len(set(values)) != len(values):
                raise ValueError(f"two keys of the same {field}")
        return self


def key_file_of(inventory: Path) -> Path:
    """Where the keys of an inventory are: beside it, prod.keys.json for prod.py."""
    return inventory.with_name(f"{inventory.stem}.keys.json")


def read_keys(path: Path) -> tuple[Key, ...]:
    """Return the keys of the file, none where there is no file. Raises KeyFileUnusable."""
    return _read(path).keys


def read_key_map(path: Path) -> str:
    """Return the map of the file's keys, as a gateway has it. Raises KeyFileUnusable."""
    content = _read(path)
    return map_text(content.keys, content.changed)


def _read(path: Path) -> _Content:
    try:
        with path.open("rb") as stream:
            content = stream.read(LARGEST + 1)
    except FileNotFoundError:
        return _Content(version=1, keys=())
    except OSError as error:
        raise KeyFileUnusable(f"{path} cannot be read: {error.strerror}") from error
    if len(content) > LARGEST:
        raise KeyFileUnusable(f"{path} has more than {LARGEST} bytes")
    try:
        return _Content.model_validate_json(content)
    except ValidationError as error:
        raise KeyFileUnusable(f"{path} is no file of keys: {_first(error)}") from error


def write_keys(path: Path, keys: Iterable[Key]) -> None:
    """Replace the file by one rename, readable by its owner alone. Raises KeyFileUnusable."""
    # Where it is a link, what it points to.
    path = path.resolve()
    changed = max(int(time.time()), _read(path).changed + 1)
    content = _Content(version=1, changed=changed, keys=tuple(keys)).model_dump_json(indent=1)
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        file = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(file, "w") as stream:
            stream.write(f"{content}\n")
            stream.flush()
            os.fsync(file)
        beside.replace(path)
    except OSError as error:
        raise KeyFileUnusable(f"{path} cannot be written: {error.strerror}") from error
    finally:
        beside.unlink(missing_ok=True)


@contextmanager
def alone_with(path: Path) -> Iterator[None]:
    """Wait until no other run changes the file, and keep others waiting. Raises KeyFileUnusable."""
    try:
        folder = os.open(path.resolve().parent, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        raise KeyFileUnusable(f"{path} cannot be written: {error.strerror}") from error
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)


def _first(error: ValidationError) -> str:
    first = error.errors(include_url=False, include_context=False)[0]
    place = ".".join(map(str, first["loc"]))
    said = first["msg"].removeprefix("Value error, ")
    return printable(f"{place}: {said}" if place else said, 300)
