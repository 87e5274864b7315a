"""Show what there is to set: `fortyninety settings`."""

from __future__ import annotations

import difflib
import json
import textwrap

import click

from fortyninety.cli.envelope import print_envelope
from fortyninety.cli.errors import NoAnswer
from fortyninety.cli.exit_codes import DONE
from fortyninety.cli.options import AS_JSON
from fortyninety.settings.defaults import ALL
from fortyninety.settings.described import Described, described_settings
from fortyninety.text.printable import printable

WIDTH = 79


@click.command()
@click.argument("name", nargs=-1)
@click.option("--schema", is_flag=True, help="Print the JSON schema of a host's data.")
@AS_JSON
def settings(name: tuple[str, ...], schema: bool, as_json: bool) -> None:
    """Show every setting, or those of NAME, with default and reason.

    Without a NAME it prints group_data/all.py, which can be kept and edited as one's own.

    Ends with 0, or with 2 for a name that no setting has.

    \b
    Examples:
      fortyninety settings power_limit
      fortyninety settings > group_data/all.py
      fortyninety settings --schema > host.schema.json
      fortyninety settings --json | jq -r '.result.settings[].name'
    """
    chosen = _named(name)
    # Reads pyinfra for the keys that are its own.
    from fortyninety.settings.allowed import allowed_values  # noqa: PLC0415
    from fortyninety.settings.model import Settings  # noqa: PLC0415
    from fortyninety.settings.schema import host_schema  # noqa: PLC0415

    allowed = {
        each.name: allowed_values(each.name) if each.name in Settings.model_fields else None
        for each in chosen
    }
    if schema:
        page = host_schema()
        print_envelope(DONE, page) if as_json else click.echo(json.dumps(page, indent=2))
    elif as_json:
        print_envelope(DONE, {"settings": [_values(each, allowed[each.name]) for each in chosen]})
    elif name:
        click.echo("\n\n".join(_lines(each, allowed[each.name]) for each in chosen))
    else:
        click.echo(ALL.read_text(), nl=False)


def _named(names: tuple[str, ...]) -> tuple[Described, ...]:
    """The settings of these names, or all. Raises NoAnswer for a name that none has."""
    known = {each.name: each for each in described_settings()}
    for name in names:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"; did you mean {near[0]}?" if near else ""
            raise NoAnswer(f"there is no setting {printable(repr(name), 80)}{hint}")
    return tuple(known[name] for name in names) if names else tuple(known.values())


def _values(setting: Described, allowed: str | None) -> dict[str, object]:
    return {
        "name": setting.name,
        "section": setting.section,
        "default": setting.default,
        "allowed": allowed,
        "why": setting.why,
    }


def _lines(setting: Described, allowed: str | None) -> str:
    """The setting as group_data/all.py has it, and what it takes."""
    said = [setting.why, f"Takes {allowed}." if allowed else ""]
    comment = [
        line
        for text in said
        for line in textwrap.wrap(
            text, WIDTH, initial_indent="# ", subsequent_indent="# ", break_on_hyphens=False
        )
    ]
    return "\n".join([*comment, f"{setting.name} = {setting.text}"])
