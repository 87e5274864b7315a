"""`fortyninety drift`: what a deploy would change now."""

from __future__ import annotations

import sys
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from fortyninety.cli.envelope import print_envelope
from fortyninety.cli.errors import NoAnswer
from fortyninety.cli.options import AS_JSON, INVENTORY, LIMIT
from fortyninety.cli.waiting import waiting
from fortyninety.problem import problem_lines

if TYPE_CHECKING:
    from fortyninety.fleet.drift import Drift, HostDrift


@click.command()
@INVENTORY
@LIMIT
@AS_JSON
def drift(inventory: str, limit: tuple[str, ...], as_json: bool) -> None:
    """Show what a deploy would change and why, changing nothing.

    The engine is asked for one completion, as in a deploy. Consequences of a change (a restart, a
    reboot) are not shown.

    Ends with 0 where a deploy would change nothing, 3 where it would change something, and 2 where
    a host could not be checked: unreachable, refused by preflight, sudo that asks for a password.

    \b
    Examples:
      fortyninety drift inventory/prod.py
      fortyninety drift inventory/prod.py --limit gpu-box-2
      fortyninety drift inventory/prod.py --json | jq '.result.hosts[].changes'
    """
    # Imported when the command runs: pyinfra_cli patches the standard library.
    from fortyninety.fleet.drift import look  # noqa: PLC0415
    from fortyninety.fleet.inventory import InventoryUnusable  # noqa: PLC0415

    try:
        with waiting(f"checking the hosts of {inventory}"):
            found = look(inventory, limit)
    except InventoryUnusable as unusable:
        raise NoAnswer(str(unusable)) from unusable
    if as_json:
        result = {"hosts": [_values(host) for host in found.hosts]}
        print_envelope(found.exit_code, result, found.problems)
    else:
        _print(found, inventory)
    sys.exit(found.exit_code)


def _values(host: HostDrift) -> dict[str, object]:
    values = asdict(host)
    return {"host": values.pop("name"), **values}


def _print(found: Drift, inventory: str) -> None:
    for host in found.hosts:
        _print_host(host)
    for line in problem_lines(found.problems):
        click.secho(line.removeprefix("    - "), fg="red", err=True)
    if any(host.changes for host in found.hosts):
        click.echo(
            f"A deploy would make these changes: fortyninety deploy {inventory}\n"
            "Consequences, such as a restart or a reboot, are not listed."
        )


def _print_host(host: HostDrift) -> None:
    count = len(host.changes)
    if count == 0:
        click.echo(f"{host.name}: {click.style('up to date', fg='green')}")
    else:
        would = "one operation" if count == 1 else f"{count} operations"
        click.echo(f"{host.name}: {click.style(f'{would} would change it', fg='yellow')}")
    for change in host.changes:
        click.echo(f"  {change.stage} | {change.operation}")
        for difference in change.differences:
            click.echo(f"    {difference}")
        if change.failure is not None:
            click.echo(f"    {click.style('would fail', fg='red')}: {change.failure}")
    for each in host.not_looked_at:
        click.echo(f"  not checked: {each}")
