"""Do one thing on every host of an inventory, and print what came of it.

The fleet's modules are imported when a command runs: pyinfra_cli patches the standard library.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

import click

from fortyninety.cli.errors import NoAnswer

if TYPE_CHECKING:
    from pyinfra.api.host import Host

    from fortyninety.fleet.inventory import ConnectedHosts
    from fortyninety.problem import Problem
    from fortyninety.settings.model import Settings

Done = TypeVar("Done")


@contextmanager
def connected_hosts(
    inventory: str, limit: Iterable[str], *, as_root: bool = True
) -> Iterator[ConnectedHosts]:
    """The hosts of an inventory, connected meanwhile. Raises NoAnswer where it has none.

    With `as_root` a host where commands would not run as root is a problem, as an unreachable one.
    """
    from fortyninety.fleet.inventory import InventoryUnusable, connect_hosts  # noqa: PLC0415
    from fortyninety.fleet.quiet import errors_alone  # noqa: PLC0415
    from fortyninety.fleet.root import leave_without_root  # noqa: PLC0415

    try:
        with errors_alone():
            connected = connect_hosts(inventory, limit)
    except InventoryUnusable as unusable:
        raise NoAnswer(str(unusable)) from unusable
    try:
        if as_root:
            leave_without_root(connected)
        yield connected
    finally:
        connected.disconnect()


def with_engine(connected: ConnectedHosts) -> None:
    """Leave those of the hosts that have an engine. Raises NoAnswer where none of them has."""
    theirs = {host: each for host, each in connected.settings.items() if each.has_engine}
    if connected.settings and not theirs and not connected.problems:
        names = ", ".join(host.name for host in connected.settings)
        raise NoAnswer(f"{names}: roles is without 'engine'; expected a host with an engine")
    connected.settings = theirs


def on_each_host(
    connected: ConnectedHosts, do: Callable[[Host, Settings], Done]
) -> dict[str, Done]:
    """Do it on every connected host, side by side; what it returned, by the host's name."""
    pool = connected.state.fact_pool
    waiting = {
        host.name: pool.spawn(do, host, settings) for host, settings in connected.settings.items()
    }
    return {name: greenlet.get() for name, greenlet in waiting.items()}


def print_lines(lines: Iterable[str], problems: Iterable[Problem]) -> None:
    """Print the lines of the hosts, and on standard error why the others have none."""
    for line in lines:
        click.echo(line)
    for problem in problems:
        click.secho(str(problem), fg="red", err=True)
