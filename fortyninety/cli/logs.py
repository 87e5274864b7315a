"""Show what the engine and the gateway of a box wrote: `fortyninety logs`."""

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING

import click

from fortyninety.cli.each_host import connected_hosts
from fortyninety.cli.envelope import print_envelope
from fortyninety.cli.errors import NoAnswer
from fortyninety.cli.exit_codes import DONE
from fortyninety.cli.options import AS_JSON, INVENTORY
from fortyninety.engine.log_line import is_probe, shown_line

if TYPE_CHECKING:
    from pyinfra.api.host import Host

    from fortyninety.settings.model import Settings

MOST_LINES = 10_000
# Lines that are read for each that is shown: most are of those who look whether the engine lives.
READ_FOR_EACH = 20
MOST_READ = 50_000
_SINCE = re.compile(r"([1-9][0-9]{0,5})([smhd])")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


@click.command()
@INVENTORY
@click.argument("box")
@click.option("--follow", is_flag=True, help="Go on with new lines; Ctrl-C ends.")
@click.option("--since", metavar="TIME", help="Of the last such as 30m, 2h, 1d.")
@click.option(
    "--lines",
    type=click.IntRange(1, MOST_LINES),
    default=200,
    show_default=True,
    metavar="N",
    help="The latest of them.",
)
@AS_JSON
def logs(
    inventory: str, box: str, *, follow: bool, since: str | None, lines: int, as_json: bool
) -> None:
    """Show what engine and gateway of BOX wrote, without prompts.

    This project's engines log no requests. Where `engine_arguments` say otherwise, prompts, answers
    and their tokens are left out of the lines that have them, and so are lines of those who ask
    whether the engine lives. Whatever moves a terminal is shown escaped.

    Ends with 0, or with 2 where the box could not be reached or its journal not be read.

    \b
    Examples:
      fortyninety logs inventory/prod.py gpu-box-1
      fortyninety logs inventory/prod.py gpu-box-1 --since 2h --lines 1000
      fortyninety logs inventory/prod.py gpu-box-1 --follow
    """
    if follow and as_json:
        raise click.UsageError("give --follow or --json, not both")
    seconds = _seconds(since)
    with connected_hosts(inventory, (box,)) as connected:
        if connected.problems or len(connected.settings) != 1:
            raise NoAnswer(
                "" if connected.problems else "give the name of one box, and of no group",
                connected.problems,
            )
        ((host, settings),) = connected.settings.items()
        if follow:
            _follow(host, settings, seconds, lines)
            return
        found = _read(host, settings, seconds, lines)
    if as_json:
        print_envelope(DONE, {"host": host.name, "lines": found})
        return
    for line in found:
        click.echo(line)


def _seconds(since: str | None) -> int | None:
    if since is None:
        return None
    found = _SINCE.fullmatch(since)
    if found is None:
        raise click.UsageError("--since is no time; expected one such as 30m, 2h or 1d")
    return int(found[1]) * _SECONDS[found[2]]


def _command(settings: Settings, seconds: int | None, lines: int, *, follow: bool) -> str:
    from fortyninety.plan.paths import GATEWAY_SERVICE, SERVICE  # noqa: PLC0415

    units = [SERVICE] if settings.has_engine else []
    if settings.gateway or settings.is_front:
        units.append(GATEWAY_SERVICE)
    parts = [
        "journalctl --no-pager --quiet --output=short-iso",
        *(f"--unit={unit}" for unit in units or [SERVICE]),
        f"--lines={lines}",
        *([f"--since=-{seconds}s"] if seconds is not None else []),
        *(["--follow"] if follow else []),
    ]
    return " ".join(parts)


def _read(host: Host, settings: Settings, seconds: int | None, lines: int) -> list[str]:
    from fortyninety.connection.shell import HostLost, attempt  # noqa: PLC0415

    try:
        read = min(lines * READ_FOR_EACH, MOST_READ)
        done, output = attempt(host, _command(settings, seconds, read, follow=False))
    except HostLost as lost:
        raise NoAnswer(f"{host.name} is lost: {lost}") from lost
    if not done:
        said = " ".join(output.stderr.split())[:300]
        raise NoAnswer(f"{host.name}: its journal cannot be read: {said or 'no reason given'}")
    return [shown_line(line) for line in output.stdout_lines if not is_probe(line)][-lines:]


def _follow(host: Host, settings: Settings, seconds: int | None, lines: int) -> None:
    from pyinfra.api.arguments import (  # noqa: PLC0415
        CONNECTOR_ARGUMENT_KEYS,
        pop_global_arguments,
    )

    from fortyninety.connection.bounded import bounded  # noqa: PLC0415
    from fortyninety.lease import ChannelLost  # noqa: PLC0415

    own, _ = pop_global_arguments(host.state, host, {})
    arguments = {key: value for key, value in own.items() if key in CONNECTOR_ARGUMENT_KEYS}
    try:
        channel = bounded(host).open(_command(settings, seconds, lines, follow=True), **arguments)
    except ChannelLost as lost:
        raise NoAnswer(f"{host.name} is lost: {lost}") from lost
    try:
        while True:
            try:
                line = channel.read(1)
            except ChannelLost as lost:
                if channel.ended():
                    raise NoAnswer(f"{host.name}: its journal ended: {lost}") from lost
                # Silent so far. A host that is lost closes the channel.
                continue
            if not is_probe(line):
                click.echo(shown_line(line.rstrip("\n")))
                sys.stdout.flush()
    finally:
        channel.close()
