"""Hosts that start where a whole deploy left one, so that a test need not wait for DKMS again."""

from __future__ import annotations

from lab import hosts, saved_hosts
from lab.hosts import LabHost
from tests.lab.deploys import deploy

SAVED = "test-converged"


def start_converged(count: int, cards: str = "1x24564") -> list[LabHost]:
    """`count` hosts as a deploy left them, made by one deploy where none is saved yet.

    With one card each, so that two engines fit into this machine; a deploy brings them to that.
    """
    if SAVED not in [saved.name for saved in saved_hosts.everything()]:
        (first,) = hosts.up(1, cards=cards)
        ran = deploy()
        assert ran.exit_code == 0, ran.output
        hosts.save(first.name, SAVED)
        hosts.down()
    return hosts.up(count, cards=cards, saved=SAVED)


def save_converged(host: LabHost) -> None:
    """Keep a host that a whole deploy converged, in the place of an earlier one."""
    remove_saved()
    hosts.save(host.name, SAVED)


def remove_saved() -> None:
    """Forget the saved host, if there is one."""
    if SAVED in [saved.name for saved in saved_hosts.everything()]:
        saved_hosts.remove(SAVED)
