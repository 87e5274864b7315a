"""Hosts that start where a whole deploy left one, so that a test need not wait for DKMS again."""

from __future__ import annotations

from lab import hosts, saved_hosts
from lab.hosts import LabHost
from tests.lab.deploys import deploy

# As a whole deploy leaves it, with the lab's usual two cards, and with one: it stands on the other.
SAVED = "test-converged"
SAVED_WITH_ONE_CARD = "test-converged-one-card"
ONE_CARD, TWO_CARDS = "1x24564", "2x24564"


def start_converged(count: int) -> list[LabHost]:
    """`count` hosts with one card each, as a deploy left one: so two engines fit into this machine.

    What is not saved yet is made first. The engines start with their hosts, so they may not answer
    yet; a deploy waits for them.
    """
    if not _is_saved(SAVED_WITH_ONE_CARD):
        _make_saved()
        (first,) = hosts.up(1, cards=ONE_CARD, saved=SAVED)
        _deploy()
        hosts.save(first.name, SAVED_WITH_ONE_CARD)
        hosts.down()
    return hosts.up(count, cards=ONE_CARD, saved=SAVED_WITH_ONE_CARD)


def start_converged_with_two_cards(count: int) -> list[LabHost]:
    """`count` hosts as a deploy left one with two cards, made first where none is saved."""
    _make_saved()
    return hosts.up(count, cards=TWO_CARDS, saved=SAVED)


def save_converged(host: LabHost) -> None:
    """Keep a host that a whole deploy converged, in the place of an earlier one."""
    remove_saved()
    hosts.save(host.name, SAVED)


def remove_saved() -> None:
    """Forget the saved hosts, if there are any."""
    for name in (SAVED_WITH_ONE_CARD, SAVED):
        if _is_saved(name):
            saved_hosts.remove(name)


def _make_saved() -> None:
    if not _is_saved(SAVED):
        (first,) = hosts.up(1, cards=TWO_CARDS)
        _deploy()
        hosts.save(first.name, SAVED)
        hosts.down()


def _is_saved(name: str) -> bool:
    return name in [saved.name for saved in saved_hosts.everything()]


def _deploy() -> None:
    ran = deploy()
    assert ran.exit_code == 0, ran.output
