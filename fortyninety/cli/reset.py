"""Take from a host what a deploy brought: `fortyninety reset`."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from fortyninety.cli.each_host import connected_hosts
from fortyninety.cli.envelope import print_envelope
from fortyninety.cli.errors import NoAnswer
from fortyninety.cli.exit_codes import DONE, NO
from fortyninety.cli.options import AS_JSON, INVENTORY, LIMIT_HELP, YES
from fortyninety.cli.waiting import waiting
from fortyninety.plan.reset import plan_reset
from fortyninety.releases.release import load_release

if TYPE_CHECKING:
    from fortyninety.fleet.reset import HostReset, Reset, Step

# Things of one step that are shown by name; a toolkit alone has some 200 packages.
SHOWN = 8
WIDTH = 80


@click.command()
@INVENTORY
@click.option("--limit", multiple=True, required=True, metavar="HOST_OR_GROUP", help=LIMIT_HELP)
@click.option("--keep-model", is_flag=True, help="Leave the models where they are.")
@click.option("--keep-driver", is_flag=True, help="Leave the driver and the CUDA toolkit.")
@YES
@AS_JSON
def reset(  # noqa: PLR0917 (click gives them by name)
    inventory: str,
    limit: tuple[str, ...],
    keep_model: bool,
    keep_driver: bool,
    yes: bool,
    as_json: bool,
) -> None:
    """Take back what deploys brought to hosts, and say what stays.

    Shows it first, and asks for the host's name. Packages go that deploys noted as theirs when they
    installed them, but for those that others need. A second reset finds nothing; one that was cut
    off is gone on with. A deploy brings everything back.

    Ends with 0 where all of it is gone, 1 where a host still has some of it or the answer was no, 2
    where a host or the inventory could not be used: then nothing was changed on any.

    \b
    Examples:
      fortyninety reset inventory/prod.py --limit gpu-box-1
      fortyninety reset inventory/prod.py --limit gpu-box-1 --keep-model
      fortyninety reset inventory/prod.py --limit gpu-box-1 --yes --json
    """
    if as_json and not yes:
        raise click.UsageError("--json needs --yes: nobody is asked then")
    # Imported when the command runs: pyinfra_cli patches the standard library.
    from fortyninety.fleet.reset import look  # noqa: PLC0415
    from fortyninety.tasks.reset import remove  # noqa: PLC0415

    with connected_hosts(inventory, limit) as connected:
        plans = {
            host: plan_reset(
                settings,
                load_release(settings.engine),
                keep_model=keep_model,
                keep_driver=keep_driver,
            )
            for host, settings in connected.settings.items()
        }
        with waiting(f"looking at the hosts of {inventory}"):
            found = look(connected, plans, remove)
        if found.problems:
            raise NoAnswer("nothing was changed on any host", found.problems)
        hosts = list(found.hosts.values())
        if not as_json:
            click.echo("\n".join(line for each in hosts for line in _plan_lines(each)))
        if not yes and any(each.removes for each in hosts) and not _confirmed(hosts):
            click.secho("not confirmed: nothing was changed", fg="red", err=True)
            sys.exit(NO)
        _carry_out(found)
    code = DONE if all(each.done for each in hosts) else NO
    if as_json:
        print_envelope(code, {"hosts": [asdict(each) for each in hosts]})
    else:
        for each in hosts:
            _print_end(each)
    sys.exit(code)


def _carry_out(found: Reset) -> None:
    with waiting("beginning") as status:
        found.carry_out(status.update)


def _confirmed(hosts: list[HostReset]) -> bool:
    """Whether somebody types the names of the hosts."""
    names = " ".join(each.host for each in hosts if each.removes)
    try:
        answer: str = click.prompt(
            f"This cannot be undone. Type {names} to go on",
            default="",
            show_default=False,
            err=True,
        )
    except click.Abort:
        if sys.stdin.isatty():
            raise
        click.echo(err=True)
        return False  # Nobody is there to answer.
    return answer.split() == names.split()


def _plan_lines(reset: HostReset) -> Iterator[str]:
    """What a reset takes and leaves."""
    if not reset.removes:
        yield f"{reset.host}: {click.style('nothing of a deploy is there', fg='green')}"
        return
    yield click.style(f"{reset.host}: this goes", bold=True)
    for step in reset.removes:
        yield f"  {step.name}"
        yield from _wrapped(_in_short(step), "    ")
    yield click.style(f"{reset.host}: this stays", bold=True)
    for each in reset.leaves:
        yield from _wrapped(each, "  ")


def _in_short(step: Step) -> str:
    shown = ", ".join(step.found[:SHOWN])
    more = len(step.found) - SHOWN
    return f"{shown} and {more} more (--json names them)" if more > 0 else shown


def _wrapped(text: str, indent: str) -> list[str]:
    return textwrap.wrap(
        text,
        WIDTH,
        initial_indent=indent,
        subsequent_indent=f"{indent}  ",
        break_long_words=False,
        break_on_hyphens=False,
    )


def _print_end(reset: HostReset) -> None:
    if reset.error is not None:
        click.secho(f"{reset.host}: not all of it is gone: {reset.error}", fg="red", err=True)
        click.echo("What was not reached is found by the same command again.", err=True)
    elif reset.removes:
        click.echo(f"{reset.host}: {click.style('reset', fg='green')}")
