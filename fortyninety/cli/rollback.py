"""`fortyninety rollback`: back to what served before."""

from __future__ import annotations

import json
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from fortyninety.fleet import FleetError, FleetHost, FleetRun, inventory_hosts, run_on_fleet
from fortyninety.settings import ROLLBACK_ENGINE

DEPLOY = Path(__file__).resolve().parent.parent / "rollback_deploy.py"


@click.command()
@click.argument("inventory", type=click.Path())
@click.option("--limit", multiple=True, metavar="HOST", help="Only this host or group; repeatable.")
@click.option("--engine", metavar="RELEASE", help="To the latest that served with this release.")
@click.option("--json", "as_json", is_flag=True, help="Print what was done as JSON.")
def rollback(inventory: str, limit: tuple[str, ...], engine: str | None, as_json: bool) -> None:
    """Put back what served before the last change, restart, and wait for an answer.

    Each host goes back to the latest unit that passed a deploy's gate and is not the one on disk:
    its engine, its model and its flags. Another rollback comes back again. No network is used.
    The members of a cell go back together: a limit that names some of them alone is refused.

    Ends with 0 where every host answers, 1 where one did not go back or does not answer, 2 where
    a host could not be looked at.

    \b
    Examples:
      fortyninety rollback inventory/prod.py --limit gpu-box-1
      fortyninety rollback inventory/prod.py --engine 0.8.5.post1
      fortyninety rollback inventory/prod.py --json
    """
    console = Console(stderr=True, highlight=False)
    try:
        names = [host.name for host in _whole_cells(inventory, limit)]
        with console.status(f"rolling back {', '.join(names)}"):
            data = {ROLLBACK_ENGINE: engine} if engine else {}
            ran = run_on_fleet(inventory, DEPLOY, limit=limit, data=data)
    except FleetError as error:
        click.echo(f"Error: {error}", err=True)
        sys.exit(2)
    silent = [name for name in names if name not in ran.reports]
    if as_json:
        click.echo(json.dumps({"hosts": ran.reports, "not_reached": silent}, indent=2))
    else:
        _print(ran, names, silent)
    if silent:
        sys.exit(2)
    sys.exit(1 if any("error" in result for result in ran.reports.values()) else 0)


def _whole_cells(inventory: str, limit: tuple[str, ...]) -> list[FleetHost]:
    """The hosts to roll back. Raises FleetError where they are a part of a cell."""
    chosen = inventory_hosts(inventory, limit)
    names = [host.name for host in chosen]
    cells = {host.data["cell"] for host in chosen if host.data.get("cell")}
    left_out = [
        host
        for host in inventory_hosts(inventory)
        if host.data.get("cell") in cells and host.name not in names
    ]
    if left_out:
        named = ", ".join(f"{host.name} of cell {host.data['cell']}" for host in left_out)
        raise FleetError(
            f"nothing was changed: the limit leaves out {named}; expected every member of a cell "
            "or none. Add --limit for them too"
        )
    return chosen


def _print(ran: FleetRun, names: list[str], silent: list[str]) -> None:
    for name in names:
        if name in ran.reports:
            click.echo(f"{name}: {_line(ran.reports[name])}")
    if silent:
        click.echo(ran.log.rstrip(), err=True)
        click.echo(f"not rolled back, see above: {', '.join(silent)}", err=True)
    if any("error" not in result for result in ran.reports.values()):
        click.echo("The next deploy goes by the settings again: set engine and the rest to match.")


def _line(result: dict[str, Any]) -> str:
    if "error" in result:
        state = "was rolled back" if result["changed"] else "nothing was changed"
        return f"{state}: {result['error']}"
    old, new = result["from"], result["to"]
    until = datetime.fromtimestamp(new["served_until"]).strftime("%Y-%m-%d %H:%M")
    return (
        f"from {old['release']} (configuration {old['configuration']}) back to {new['release']} "
        f"(configuration {new['configuration']}, which served at {until}); "
        f"answered after {result['seconds']} s"
    )
