"""Write an inventory of one's own boxes: `fortyninety init`."""

from __future__ import annotations

import ipaddress
import re
import sys
import tempfile
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from fortyninety.cli.doctor import (
    doctor_exit_code,
    examined_hosts,
    examined_values,
    print_examined,
)
from fortyninety.cli.envelope import print_envelope
from fortyninety.cli.errors import NoAnswer
from fortyninety.cli.exit_codes import DONE, NO, NO_ANSWER
from fortyninety.cli.fit import Answer, fit
from fortyninety.cli.options import AS_JSON, YES
from fortyninety.cli.replaced_file import replace_file
from fortyninety.cli.waiting import waiting
from fortyninety.fit.errors import FitError
from fortyninety.plan.new_inventory import FoundBox, inventory_text
from fortyninety.problem import Problem
from fortyninety.settings.addresses import is_host_name

DEFAULT_OUTPUT = "inventory/fleet.py"
# As OpenSSH and pyinfra take it, without what a shell or a file would make something of.
_USER = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,63}")
_MOST_HOSTS = 500
_PORT = click.IntRange(1, 65535)


@click.command()
@click.argument("hosts", nargs=-1, metavar="[HOST]...")
@click.option("--user", metavar="USER", help="Who logs in by SSH; default: root.")
@click.option("--port", type=_PORT, metavar="PORT", help="Default: SSH's own.")
@click.option("--key", metavar="FILE", help="The private key; default: ssh-agent's, ~/.ssh/id_*.")
@click.option("--output", metavar="FILE", help=f"The inventory; default: {DEFAULT_OUTPUT}.")
@YES
@AS_JSON
def init(
    hosts: tuple[str, ...],
    user: str | None,
    port: int | None,
    key: str | None,
    output: str | None,
    *,
    yes: bool,
    as_json: bool,
) -> None:
    """Write an inventory for your boxes, by what is in them.

    HOST is an address, or NAME=ADDRESS to call it by a name. Without one, a terminal is asked for
    the boxes and all that is not given. With --yes a file that is there is replaced. The boxes are
    read and not changed. The file proposes what they can serve, and says why; then come `doctor`
    and `fit` for it. The same boxes give the same file.

    Ends with 0 where it was written and all is right, 1 where something is to mend, the model does
    not fit, or the file was there and stays, 2 where a host could not be reached.

    \b
    Examples:
      fortyninety init
      fortyninety init 192.0.2.11 192.0.2.12 --user root
      fortyninety init left=10.0.0.4 right=10.0.0.5 --key ~/.ssh/fleet --output inventory/home.py
      fortyninety init 192.0.2.11 --json | jq -r '.problems[].remedy'
    """
    asks = not (yes or as_json) and sys.stdin.isatty()
    if asks and not hosts:
        hosts = tuple(click.prompt("Boxes (addresses, blanks between)", err=True).split())
        user = user or click.prompt("User of SSH", default="root", err=True)
        port = port or click.prompt("Port of SSH", default=22, type=_PORT, err=True)
        key = key or click.prompt("Private key (empty: ssh-agent's)", default="", err=True) or None
        output = output or click.prompt("Inventory to write", default=DEFAULT_OUTPUT, err=True)
    if not hosts:
        raise click.UsageError("give the boxes: fortyninety init 192.0.2.11 192.0.2.12")
    named = _named(hosts)
    ssh = _ssh("root" if user is None else user, port, key)
    path = _output(DEFAULT_OUTPUT if output is None else output)
    boxes = _read(named, ssh)
    read = [box.name for box in boxes if box.reading is not None]
    stays = _write(path, inventory_text(boxes, ssh), yes=yes, asks=asks, aside=as_json)
    if stays is not None:
        click.echo(f"Error: {stays}", err=True)
        if as_json:
            print_envelope(NO, problems=[stays])
        sys.exit(NO)
    sys.exit(_examine_as_values(str(path), read) if as_json else _examine(str(path), read))


def _named(hosts: Sequence[str]) -> dict[str, str]:
    """The address of each box by its name, which is the address where that is one."""
    found: dict[str, str] = {}
    if len(hosts) > _MOST_HOSTS:
        raise click.UsageError(f"{len(hosts)} hosts; expected at most {_MOST_HOSTS}")
    for number, host in enumerate(hosts, 1):
        name, equals, address = host.rpartition("=")
        if not is_host_name(address) or (equals and not is_host_name(name)):
            raise click.UsageError(f"host is {host!r}; expected an address, or NAME=ADDRESS")
        name = name or (f"gpu-box-{number}" if _is_number(address) else address)
        if name in found or address in found.values():
            raise click.UsageError(f"host {host!r} is there twice")
        found[name] = address
    return found


def _is_number(address: str) -> bool:
    try:
        ipaddress.ip_address(address)
    except ValueError:
        return False
    return True


def _ssh(user: str, port: int | None, key: str | None) -> dict[str, Any]:
    """The ssh_* keys of the inventory."""
    if not _USER.fullmatch(user):
        raise click.UsageError(f"--user is {user!r}; expected the name of an account")
    found: dict[str, Any] = {"ssh_user": user}
    if port not in (None, 22):
        found["ssh_port"] = port
    if key is not None:
        # Imported here: it needs pyinfra.
        from fortyninety.connection.key_file import key_fault  # noqa: PLC0415

        if not key.isprintable() or key_fault(key) == "missing":
            raise click.UsageError(f"--key is {key!r}; expected a private key's file")
        found["ssh_key"] = key if key.startswith("~") else str(Path(key).absolute())
    return found


def _output(given: str) -> Path:
    path = Path(given)
    if path.suffix != ".py" or not path.stem.isidentifier() or not given.isprintable():
        raise click.UsageError(
            f"--output is {given!r}; expected a file such as {DEFAULT_OUTPUT}, whose name is that "
            "of a group as well"
        )
    try:
        if path.exists() and not path.is_file():
            raise click.UsageError(f"--output is {given!r}, which is no file")
    except OSError as error:
        raise click.UsageError(f"--output is {given!r}: {error.strerror}") from error
    return path


def _read(named: dict[str, str], ssh: dict[str, Any]) -> list[FoundBox]:
    """The boxes as they are, by an inventory that says no more than how they are reached."""
    # Imported when the command runs: pyinfra_cli patches the standard library.
    from fortyninety.fleet.first_look import FirstLook, look_at  # noqa: PLC0415
    from fortyninety.fleet.inventory import InventoryUnusable  # noqa: PLC0415

    bare = [FoundBox(name, address) for name, address in named.items()]
    with tempfile.TemporaryDirectory(prefix="fortyninety-init-") as folder:
        inventory = Path(folder) / "boxes.py"
        inventory.write_text(inventory_text(bare, ssh), encoding="utf-8")
        try:
            with waiting("reading the boxes"):
                looks = look_at(str(inventory))
        except InventoryUnusable as unusable:
            raise NoAnswer(str(unusable)) from unusable
    found = {box.name: looks.get(box.name, FirstLook()) for box in bare}
    return [
        FoundBox(box.name, box.address, found[box.name].reading, found[box.name].sudo)
        for box in bare
    ]


def _write(path: Path, text: str, *, yes: bool, asks: bool, aside: bool) -> str | None:
    """Write the file by one rename; why it stays where another is there, or None.

    `aside` is whether it is said on standard error that it was written.
    """
    try:
        if path.exists():
            if path.read_bytes() == text.encode():
                click.echo(f"{path} is there already, and says the same", err=aside)
                return None
            if not yes and not (asks and click.confirm(f"Replace {path}?", err=True)):
                said = "" if asks else "; give --yes to replace it, or another --output"
                return f"{path} is there and stays as it is{said}"
        replace_file(path, text)
    except (OSError, RuntimeError) as error:
        why = error.strerror if isinstance(error, OSError) else "a loop of links"
        raise NoAnswer(f"{path} cannot be written: {why}") from error
    click.echo(f"Wrote {path}", err=aside)
    return None


def _examine(inventory: str, read: Sequence[str]) -> int:
    """Print doctor's answer and, of the boxes that were read, fit's; the worse exit code."""
    click.echo(f"\nfortyninety doctor {inventory}")
    examined = examined_hosts(inventory)
    print_examined(examined)
    code = doctor_exit_code(examined)
    if not read:
        click.echo("\nNo box could be read: mend what doctor names, and run this again")
        return code
    click.echo(f"\nfortyninety fit {inventory}")
    try:
        click.get_current_context().invoke(fit, inventory=inventory, limit=tuple(read))
    except click.ClickException as error:
        error.show()
        return max(code, error.exit_code)
    except SystemExit as ended:
        code = max(code, ended.code if isinstance(ended.code, int) else NO)
    if code == DONE:
        click.echo(f"\nNext: fortyninety deploy {inventory}")
    return code


def _examine_as_values(inventory: str, read: Sequence[str]) -> int:
    """Print the same as one object; the worse exit code."""
    # Imported when the command runs: pyinfra_cli patches the standard library.
    from fortyninety.fleet.fit import fleet_fit  # noqa: PLC0415

    examined = examined_hosts(inventory)
    code = doctor_exit_code(examined)
    problems: list[Problem | str] = [problem for each in examined for problem in each.problems]
    answers: list[Answer] = []
    if read:
        try:
            fleet = fleet_fit(inventory, read, defaultdict(lambda: None))
        except FitError as error:
            problems, code = [*problems, str(error)], NO_ANSWER
        else:
            problems += fleet.problems
            answers = [
                Answer(each.name, each.fit, each.alternatives, each.remarks)
                for each in fleet.answers
            ]
            fits = all(each.fit.fits for each in answers)
            code = max(code, NO_ANSWER if fleet.problems else DONE if fits else NO)
    print_envelope(
        code,
        {
            "inventory": inventory,
            "hosts": [examined_values(each) for each in examined],
            "fit": [each.values for each in answers],
        },
        problems,
    )
    return code
