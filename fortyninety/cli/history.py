"""Say who changed the hosts of an inventory, when and how: `fortyninety history`."""

from __future__ import annotations

import re
import sys
import textwrap
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from fortyninety.cli.each_host import connected_hosts, on_each_host, print_lines
from fortyninety.cli.envelope import print_envelope
from fortyninety.cli.exit_codes import DONE, NO_ANSWER
from fortyninety.cli.options import AS_JSON, INVENTORY, LIMIT
from fortyninety.cli.waiting import waiting
from fortyninety.problem import Problem
from fortyninety.text.printable import printable

if TYPE_CHECKING:
    from pyinfra.api.host import Host

    from fortyninety.facts.history import Entry, History

WIDTH = 80
HOST_WIDTH = 16
# What may leave another engine than before.
RESTARTING = ("deploy", "rollback", "reset")
SECONDS = {"m": 60, "h": 3600, "d": 86_400, "w": 604_800}
LONGEST_DAYS = 3650
# Seconds for a journal to be searched, and entries of one host.
TIMEOUT = 60
MOST = 1000


class Since(click.ParamType[int]):
    """A span before now ("90m", "12h", "7d", "2w") or a day in UTC ("2026-11-27")."""

    name = "since"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Return the moment in seconds since 1970."""
        if isinstance(value, int):
            return value
        text = str(value)
        if found := re.fullmatch(r"([0-9]{1,6})([mhdw])", text, re.ASCII):
            span = int(found[1]) * SECONDS[found[2]]
            if span <= LONGEST_DAYS * SECONDS["d"]:
                return int(time.time()) - span
        elif re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", text, re.ASCII):
            try:
                return max(0, int(datetime.fromisoformat(f"{text}T00:00:00+00:00").timestamp()))
            except ValueError:
                pass
        return self.fail(
            f"{printable(text, 40)!r} is no moment; expected a span such as 12h, 7d or 2w, or a "
            "day such as 2026-11-27",
            param,
            ctx,
        )


@click.command()
@INVENTORY
@LIMIT
@click.option("--since", type=Since(), metavar="WHEN", help="As 12h, 7d, 2w or 2026-11-27.")
@click.option(
    "--most",
    type=click.IntRange(1, MOST),
    default=20,
    show_default=True,
    help="Entries of each host, the latest.",
)
@AS_JSON
def history(
    inventory: str, limit: tuple[str, ...], since: int | None, most: int, as_json: bool
) -> None:
    """Say who changed the hosts, when and how.

    Each host's journal has a line of each deploy, rollback and reset that changed it or failed,
    of its drains and of new keys, with what served before and after. Times are the hosts' own,
    in UTC. Read-only.

    Ends with 0, and with 2 where a host could not be read.

    \b
    Examples:
      fortyninety history inventory/prod.py
      fortyninety history inventory/prod.py --limit gpu-box-1 --since 7d
      fortyninety history inventory/prod.py --json | jq '.result.changes[].why'
    """
    with connected_hosts(inventory, limit) as connected:
        with waiting(f"reading the journals of {len(connected.settings)} hosts"):
            found = on_each_host(connected, lambda host, _: _read(host, most, since))
        problems = list(connected.problems)
    problems += [each for each in found.values() if isinstance(each, Problem)]
    histories = {name: each for name, each in found.items() if not isinstance(each, Problem)}
    entries = sorted(
        ((name, entry) for name, each in histories.items() for entry in each.entries),
        key=lambda each: each[1].at,
    )
    unreadable = {name: each.unreadable for name, each in histories.items() if each.unreadable}
    code = NO_ANSWER if problems else DONE
    if as_json:
        result = {
            "changes": [_values(name, entry) for name, entry in entries],
            "not_understood": unreadable,
        }
        print_envelope(code, result, problems)
    else:
        print_lines(_lines(entries, unreadable), problems)
    sys.exit(code)


def _read(host: Host, most: int, since: int | None) -> History | Problem:
    from fortyninety.connection.shell import HostLost, attempt  # noqa: PLC0415
    from fortyninety.facts.history import question, read_history  # noqa: PLC0415

    try:
        succeeded, output = attempt(host, question(most, since), timeout=TIMEOUT)
    except HostLost as lost:
        return _unread(host, str(lost))
    # Without an entry journalctl ends with 1 and says nothing.
    if not succeeded and output.stderr.strip():
        return _unread(host, output.stderr)
    return read_history(output.stdout_lines[:most])


def _unread(host: Host, why: str) -> Problem:
    return Problem(
        host=host.name,
        subject="its journal",
        found=f"not readable ({printable(' '.join(why.split()), 300)})",
        expected="what changed it",
    )


def _values(name: str, entry: Entry) -> dict[str, object]:
    change = entry.change
    return {
        "host": name,
        "at": entry.at,
        "what": change.what,
        "result": change.result,
        "why": change.why,
        "who": change.who,
        "stages": list(change.stages),
        "count": change.count,
        "version": change.project.version,
        "commit": change.project.commit,
        "changed": change.project.changed,
        "before": vars(change.before),
        "after": vars(entry.after),
    }


def _lines(entries: list[tuple[str, Entry]], unreadable: dict[str, int]) -> Iterator[str]:
    if not entries:
        yield "nothing changed these hosts that their journals know of"
    else:
        yield f"{'TIME (UTC)':<20} {'HOST':<{HOST_WIDTH}} {'WHAT':<9} {'RESULT':<7} WHO"
    for name, entry in entries:
        yield from _entry_lines(name, entry)
    for name, number in unreadable.items():
        yield f"{name}: {number} lines that are not of this form are left out"


def _entry_lines(name: str, entry: Entry) -> Iterator[str]:
    change = entry.change
    moment = datetime.fromtimestamp(entry.at, UTC).strftime("%Y-%m-%d %H:%M:%S")
    result = f"{change.result:<7}"
    if change.result != "done":
        result = click.style(result, fg="red")
    who = change.who if len(change.who) <= 23 else f"{change.who[:22]}…"
    yield (f"{moment:<20} {name[:HOST_WIDTH]:<{HOST_WIDTH}} {change.what[:9]:<9} {result} {who}")
    operations = "1 operation" if change.count == 1 else f"{change.count} operations"
    stages = f" ({', '.join(change.stages)})" if change.stages else ""
    yield from _wrapped(f"{operations}{stages}; fortyninety {change.project}")
    # What only has new keys or is drained serves as before.
    if change.before != entry.after and change.what in RESTARTING:
        yield from _wrapped(f"{change.before} -> {entry.after}")
    if change.why:
        yield from _wrapped(change.why)


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(
        text, WIDTH, initial_indent="    ", subsequent_indent="      ", break_on_hyphens=False
    )
