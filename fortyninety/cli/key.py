"""Give and take API keys: `fortyninety key`."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import click
from pydantic import ValidationError

from fortyninety.cli.envelope import print_envelope
from fortyninety.cli.errors import NoAnswer
from fortyninety.cli.exit_codes import DONE
from fortyninety.cli.key_sending import NO_SEND, refuse_together, send
from fortyninety.cli.options import AS_JSON, INVENTORY
from fortyninety.gateway.key_file import (
    MOST_KEYS,
    KeyFileUnusable,
    alone_with,
    key_file_of,
    read_keys,
    write_keys,
)
from fortyninety.gateway.keys import Key, digest, new_secret
from fortyninety.text.printable import printable

OUTPUT = click.option(
    "--output",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Write the key there, for its owner alone, in place of printing it.",
)


@click.group()
def key() -> None:
    """The API keys of an inventory's gateways.

    \b
    Examples:
      fortyninety key add inventory/prod.py ada-laptop --tenant engineering
      fortyninety key list inventory/prod.py
    """


@key.command()
@INVENTORY
@click.argument("name")
@click.option("--tenant", help="Whose it is; the key's own name by default.")
@click.option(
    "--requests-per-minute", type=int, default=60, show_default=True, help="How often it may ask."
)
@click.option(
    "--concurrent", type=int, default=4, show_default=True, help="How many requests at once."
)
@click.option(
    "--expires", type=click.DateTime(["%Y-%m-%d"]), metavar="DATE", help="Its last day, in UTC."
)
@OUTPUT
@NO_SEND
@AS_JSON
def add(
    inventory: str,
    name: str,
    *,
    tenant: str | None,
    requests_per_minute: int,
    concurrent: int,
    expires: datetime | None,
    output: Path | None,
    no_send: bool,
    as_json: bool,
) -> None:
    """Make the key NAME, and show it once.

    Only its hash is kept, in a file beside INVENTORY (prod.keys.json for prod.py), and sent to
    every gateway. Ends with 0, with 1 where a gateway did not take it, or with 2 where there is a
    key of that name, a value cannot be, or an engine would not keep its tenant from the others.

    \b
    Examples:
      fortyninety key add inventory/prod.py ada-laptop --tenant engineering
      fortyninety key add inventory/prod.py batch --concurrent 16 --expires 2027-01-31
      fortyninety key add inventory/prod.py ada --json --output ada.key
    """
    _refuse_key_in_json(output, as_json)
    now, secret = datetime.now(UTC), new_secret()
    made = _made(
        {
            "name": name,
            "tenant": name if tenant is None else tenant,
            "sha256": digest(secret),
            "requests_per_minute": requests_per_minute,
            "concurrent": concurrent,
            "created": now.date(),
            "expires": None if expires is None else expires.date(),
        }
    )
    if made.state(now) != "usable":
        raise NoAnswer(f"--expires {made.expires} has passed; expected today or a later day")
    path = key_file_of(Path(inventory))
    try:
        with alone_with(path):
            keys = read_keys(path)
            if any(each.name == made.name for each in keys):
                raise NoAnswer(f"there is a key {made.name} in {path} already; take another name")
            if len(keys) >= MOST_KEYS:
                raise NoAnswer(f"{path} has {MOST_KEYS} keys, which is as many as it may have")
            if not no_send:
                usable = [each for each in (*keys, made) if each.state(now) == "usable"]
                refuse_together(inventory, {each.tenant for each in usable})
            _keep(path, [*keys, made], secret, output)
    except KeyFileUnusable as error:
        raise NoAnswer(str(error)) from error
    _show(secret, output, as_json=as_json)
    _end(inventory, _values(made, now) | {"output": str(output)}, no_send=no_send, as_json=as_json)


@key.command("list")
@INVENTORY
@AS_JSON
def list_keys(inventory: str, as_json: bool) -> None:
    """List the keys of INVENTORY, without the keys themselves.

    Ends with 0, or with 2 where the file of keys cannot be used.

    \b
    Examples:
      fortyninety key list inventory/prod.py
      fortyninety key list inventory/prod.py --json | jq -r '.result.keys[].name'
    """
    now = datetime.now(UTC)
    path = key_file_of(Path(inventory))
    try:
        keys = sorted(read_keys(path), key=lambda each: each.name)
    except KeyFileUnusable as error:
        raise NoAnswer(str(error)) from error
    if as_json:
        print_envelope(DONE, {"keys": [_values(each, now) for each in keys]})
    elif keys:
        click.echo("\n".join(_table(keys, now)))
    else:
        click.echo(f"no keys: there is no {path}, or nothing in it")


@key.command()
@INVENTORY
@click.argument("name")
@NO_SEND
@AS_JSON
def revoke(inventory: str, name: str, no_send: bool, as_json: bool) -> None:
    """Take the key NAME back, for good, on every gateway at once.

    Requests that are under way end as they would. Ends with 0, also where it was revoked before,
    with 1 where a gateway could not be told, or with 2 where there is no such key.

    \b
    Examples:
      fortyninety key revoke inventory/prod.py ada-laptop
    """
    now = datetime.now(UTC)
    path = key_file_of(Path(inventory))
    try:
        with alone_with(path):
            keys = read_keys(path)
            found = _named(keys, name, path)
            if found.revoked is None:
                found = found.model_copy(update={"revoked": now.date()})
                write_keys(path, [found if each.name == name else each for each in keys])
    except KeyFileUnusable as error:
        raise NoAnswer(str(error)) from error
    if not as_json:
        click.echo(f"{name} is revoked, since {found.revoked}")
    _end(inventory, _values(found, now), no_send=no_send, as_json=as_json)


@key.command("send")
@INVENTORY
@AS_JSON
def send_again(inventory: str, as_json: bool) -> None:
    """Send the keys of INVENTORY to every gateway once more.

    For hosts that could not be reached when a key was changed. Ends with 0, with 1 where a gateway
    did not take them, or with 2 where the file of keys cannot be used.

    \b
    Examples:
      fortyninety key send inventory/prod.py
    """
    try:
        read_keys(key_file_of(Path(inventory)))
    except KeyFileUnusable as error:
        raise NoAnswer(str(error)) from error
    _end(inventory, {}, no_send=False, as_json=as_json)


@key.command()
@INVENTORY
@click.argument("name")
@OUTPUT
@NO_SEND
@AS_JSON
def rotate(inventory: str, name: str, *, output: Path | None, no_send: bool, as_json: bool) -> None:
    """Replace the key NAME by a new one, which is shown once.

    The old one ends. Where both are to serve for a while, `key add` another for the same tenant,
    and revoke this one later. Ends with 0, with 1 where a gateway could not be told, or with 2
    where there is no such key or it is revoked.

    \b
    Examples:
      fortyninety key rotate inventory/prod.py ada-laptop
    """
    _refuse_key_in_json(output, as_json)
    now, secret = datetime.now(UTC), new_secret()
    path = key_file_of(Path(inventory))
    try:
        with alone_with(path):
            keys = read_keys(path)
            found = _named(keys, name, path)
            if found.revoked is not None:
                raise NoAnswer(f"the key {name} is revoked; add one of another name")
            found = found.model_copy(update={"sha256": digest(secret), "created": now.date()})
            changed = [found if each.name == name else each for each in keys]
            _keep(path, changed, secret, output)
    except KeyFileUnusable as error:
        raise NoAnswer(str(error)) from error
    _show(secret, output, as_json=as_json)
    _end(inventory, _values(found, now) | {"output": str(output)}, no_send=no_send, as_json=as_json)


def _refuse_key_in_json(output: Path | None, as_json: bool) -> None:
    if as_json and output is None:
        raise NoAnswer("--json needs --output FILE: a key itself stands in no JSON")


def _made(values: dict[str, object]) -> Key:
    try:
        return Key.model_validate(values)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        field = str(first["loc"][0])
        allowed = Key.model_fields[field].description
        expected = f"expected {allowed}" if allowed else first["msg"]
        found = printable(repr(first["input"]), 80)
        raise NoAnswer(f"{field.replace('_', '-')} is {found}; {expected}") from error


def _named(keys: tuple[Key, ...], name: str, path: Path) -> Key:
    for each in keys:
        if each.name == name:
            return each
    raise NoAnswer(f"there is no key {printable(repr(name), 80)} in {path}")


def _keep(path: Path, keys: list[Key], secret: str, output: Path | None) -> None:
    """Write the key first: one that is in force and that nobody has would be of no use."""
    if output is not None:
        try:
            file = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(file, "w") as stream:
                stream.write(f"{secret}\n")
        except (OSError, ValueError) as error:
            said = error.strerror if isinstance(error, OSError) else "it is no path"
            raise NoAnswer(f"{output} cannot be written: {said}") from error
    try:
        write_keys(path, keys)
    except KeyFileUnusable:
        if output is not None:
            output.unlink(missing_ok=True)
        raise


def _show(secret: str, output: Path | None, *, as_json: bool) -> None:
    if as_json:
        return
    if output is None:
        # Alone on standard output, for who reads it from there.
        click.echo(secret)
        click.echo("It is shown this once: only its hash is kept.", err=True)
    else:
        click.echo(f"Wrote {output}")


def _end(inventory: str, result: dict[str, object], *, no_send: bool, as_json: bool) -> None:
    """Send the keys to the gateways, and exit by whether all have them."""
    sending = send(inventory, no_send=no_send)
    if as_json:
        print_envelope(sending.exit_code, result | {"sent": sending.result}, sending.problems)
    else:
        sending.say()
    sys.exit(sending.exit_code)


def _values(key: Key, now: datetime) -> dict[str, object]:
    shown = key.model_dump(mode="json", exclude={"sha256"})
    return {"name": key.name, "state": key.state(now)} | shown


def _table(keys: list[Key], now: datetime) -> Iterator[str]:
    rows = [("name", "tenant", "a minute", "at once", "last day", "state")]
    rows += [
        (
            *(each.name, each.tenant, str(each.requests_per_minute), str(each.concurrent)),
            *(str(each.expires or "none"), each.state(now)),
        )
        for each in keys
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        yield "  ".join(cells).rstrip()
