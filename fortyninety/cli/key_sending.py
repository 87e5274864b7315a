"""Have the gateways take the keys as soon as they are changed, and say which did."""

from __future__ import annotations

from collections.abc import Sequence, Set
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import click

from fortyninety.cli.errors import NoAnswer
from fortyninety.cli.exit_codes import DONE, NO
from fortyninety.problem import Problem
from fortyninety.text.printable import printable

if TYPE_CHECKING:
    from fortyninety.fleet.key_sending import Sent

NO_SEND = click.option(
    "--no-send", is_flag=True, help="Change the file alone: a deploy brings it to the hosts."
)


@dataclass(frozen=True)
class Sending:
    """What came of it: the hosts that took the keys, and why others did not."""

    sent: Sequence[Sent] = ()
    problems: Sequence[Problem | str] = ()

    @property
    def exit_code(self) -> int:
        """Whether every gateway has the keys."""
        return NO if self.problems else DONE

    @property
    def result(self) -> list[dict[str, str]]:
        """The hosts, as the command's own data."""
        return [asdict(each) for each in self.sent]

    def say(self) -> None:
        """Say it on standard error: a key stands alone on the other."""
        for each in self.sent:
            click.echo(f"{each.host}: {each.how}", err=True)
        for problem in self.problems:
            click.secho(printable(str(problem), 1000), fg="red", err=True)
        if self.problems:
            click.secho(
                "The keys are changed in the file, and not on every gateway: run "
                "`fortyninety key send INVENTORY` until all have them",
                fg="red",
                err=True,
            )


def send(inventory: str, *, no_send: bool = False) -> Sending:
    """Send the keys of an inventory to its gateways."""
    if no_send:
        return Sending()
    # Imported when the command runs: pyinfra_cli patches the standard library.
    from fortyninety.fleet.inventory import InventoryUnusable  # noqa: PLC0415
    from fortyninety.fleet.key_sending import send_keys  # noqa: PLC0415
    from fortyninety.gateway.key_file import KeyFileUnusable  # noqa: PLC0415

    try:
        sent, problems = send_keys(inventory)
    except (InventoryUnusable, KeyFileUnusable) as error:
        return Sending(problems=[f"which hosts have a gateway is not known: {error}"])
    return Sending(sent, problems)


def refuse_together(inventory: str, tenants: Set[str]) -> None:
    """Raise NoAnswer where a gateway's engine could not keep these tenants apart."""
    if len(tenants) < 2:
        return
    # Imported when the command runs: pyinfra_cli patches the standard library.
    from fortyninety.fleet.inventory import InventoryUnusable  # noqa: PLC0415
    from fortyninety.fleet.key_sending import not_kept_apart  # noqa: PLC0415

    try:
        problems = not_kept_apart(inventory, tenants)
    except InventoryUnusable as error:
        raise NoAnswer(f"which hosts have a gateway is not known: {error}") from error
    if problems:
        raise NoAnswer("; ".join(str(each) for each in problems))
