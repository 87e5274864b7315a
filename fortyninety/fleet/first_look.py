"""Read boxes for the first time, before there are settings of theirs.

Import it when a command runs, not before: pyinfra_cli patches the standard library.
"""

from __future__ import annotations

from dataclasses import dataclass

from pyinfra.api.host import Host

from fortyninety.connection.account import ask_account
from fortyninety.connection.bounded import HostLost
from fortyninety.connection.diagnosis import Diagnosis
from fortyninety.fleet.inventory import connect_hosts, way_of
from fortyninety.fleet.planning import on_each
from fortyninety.fleet.quiet import errors_alone
from fortyninety.plan.survey_request import survey_request
from fortyninety.releases.release import load_release
from fortyninety.settings.model import Settings
from fortyninety.survey.latest import take_reading
from fortyninety.survey.reading import HostReading


@dataclass(frozen=True)
class FirstLook:
    """A reading of a box, None where there is none, and whether root is reached by sudo there."""

    reading: HostReading | None = None
    sudo: bool = False


def look_at(inventory: str) -> dict[str, FirstLook]:
    """What the hosts of an inventory are like, by name, changing nothing.

    Raises InventoryUnusable.
    """
    with errors_alone():
        connected = connect_hosts(inventory, ())
        try:
            reached = connected.settings
            found = on_each(connected.state, reached, lambda host: _look(host, reached[host]))
        finally:
            connected.disconnect()
    return {host.name: look for host, look in found.items()}


def _look(host: Host, settings: Settings) -> FirstLook:
    try:
        account = ask_account(host, way_of(host))
    except HostLost:
        return FirstLook()
    if isinstance(account, Diagnosis):
        return FirstLook()
    sudo = account.uid != 0
    if sudo and account.sudo == "granted":
        host.data._sudo = True
    # Without root it shows less, and cards all the same.
    reading = take_reading(host, survey_request(settings, load_release(settings.engine)))
    return FirstLook(reading if reading.readable else None, sudo)
