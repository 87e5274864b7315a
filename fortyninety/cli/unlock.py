"""End the lease of a run that hangs: `fortyninety unlock`."""

from __future__ import annotations

import sys
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import click

from fortyninety.cli.each_host import connected_hosts, on_each_host, print_lines
from fortyninety.cli.envelope import print_envelope
from fortyninety.cli.exit_codes import DONE, NO, NO_ANSWER
from fortyninety.cli.options import AS_JSON, INVENTORY, LIMIT_HELP
from fortyninety.lease import ending, read_holder

if TYPE_CHECKING:
    from pyinfra.api.host import Host

# What the program on the host answers (fortyninety/on_host/end_lease.sh).
_ANSWERS = ("free", "ended", "stuck")


@dataclass(frozen=True)
class Unlocked:
    """The result for a host: whose lease it was, or why it could not be ended."""

    host: str
    ended: bool
    holder: str | None = None
    error: str | None = None


@click.command()
@INVENTORY
@click.option("--limit", multiple=True, required=True, metavar="HOST_OR_GROUP", help=LIMIT_HELP)
@click.option("--reason", required=True, help="Why; logged on each host with your name.")
@AS_JSON
def unlock(inventory: str, limit: tuple[str, ...], reason: str, as_json: bool) -> None:
    """End the lease of hosts of INVENTORY, and say whose it was.

    A deploy or a rollback has the lease of each host that it changes, and frees it however it ends,
    within a minute where its network is cut. Use this for a controller that hangs. It begins
    nothing more on the hosts whose lease it lost; a command under way there may continue.

    Ends with 0 where nobody has the lease of any of the hosts now, 1 where one could not be ended,
    2 where a host or the inventory could not be used.

    \b
    Examples:
      fortyninety unlock inventory/prod.py --limit gpu-box-1 --reason "alice's laptop is asleep"
      fortyninety unlock inventory/prod.py --limit two_cards --reason "CI hangs" --json
    """
    # It becomes one line of a log.
    said = " ".join("".join(each if each.isprintable() else " " for each in reason).split())[:300]
    if not said:
        raise click.UsageError("--reason is empty; expected a reason for the hosts' logs")
    with connected_hosts(inventory, limit) as connected:
        done = on_each_host(connected, lambda host, _: _unlock(host, said))
    results, problems = done.values(), connected.problems
    code = NO if any(each.error for each in results) else DONE
    if problems:
        code = NO_ANSWER
    if as_json:
        print_envelope(code, {"hosts": [asdict(each) for each in results]}, problems)
    else:
        print_lines((f"{each.host}: {_line(each)}" for each in results), problems)
    sys.exit(code)


def _unlock(host: Host, reason: str) -> Unlocked:
    from fortyninety.connection.shell import HostLost, shell  # noqa: PLC0415

    try:
        output = shell(host, ending(reason))
    except HostLost as lost:
        return Unlocked(host.name, ended=False, error=str(lost))
    answer, _, said = output.stdout.partition("\t")
    if answer not in _ANSWERS:
        error = " ".join(output.stderr.split())[:200] or "the host gave no answer"
        return Unlocked(host.name, ended=False, error=error)
    if answer == "stuck":
        error = "its holder cannot be killed: look at the host's disks (`dmesg`)"
        return Unlocked(host.name, ended=False, error=error)
    holder = read_holder(said)
    return Unlocked(host.name, ended=answer == "ended", holder=str(holder) if holder else None)


def _line(result: Unlocked) -> str:
    if result.error is not None:
        return f"{click.style('not ended', fg='red')}: {result.error}"
    if not result.ended:
        return "no run had its lease"
    return f"ended the lease of {result.holder or 'an unnamed holder'}"
