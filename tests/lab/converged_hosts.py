"""Hosts that start where a whole deploy left one, so that a test need not wait for DKMS again."""

from __future__ import annotations

import os

from lab import hosts
from lab.hosts import LabHost, saved_hosts
from lab.tiny_model import AWQ
from lab.tiny_model.choice import choose
from tests.lab.deploys import deploy

# As a whole deploy leaves it, with the lab's usual two cards, and with one: it stands on the other.
SAVED = "test-converged"
SAVED_WITH_ONE_CARD = "test-converged-one-card"
ONE_CARD, TWO_CARDS = "1x24564", "2x24564"

# One run of pytest may leave its saved hosts to the next: "keep" in the first, "use" in the second.
_HANDED_ON = os.environ.get("FORTYNINETY_SAVED_HOSTS", "")


def start_converged(count: int) -> list[LabHost]:
    """Start hosts with one card each, as a deploy left one, so that two engines fit this machine.

    What is not saved yet is made first. The engines start with their hosts, so they may not answer
    yet; a deploy waits for them.
    """
    if not _is_saved(SAVED_WITH_ONE_CARD):
        _make_saved()
        (first,) = hosts.up(1, cards=ONE_CARD, saved=SAVED)
        _deploy()
        hosts.save(first.name, SAVED_WITH_ONE_CARD, remove=True)
    return hosts.up(count, cards=ONE_CARD, saved=SAVED_WITH_ONE_CARD)


def start_converged_with_two_cards(count: int) -> list[LabHost]:
    """Start hosts as a deploy left one with two cards, made first where none is saved."""
    _make_saved()
    return hosts.up(count, cards=TWO_CARDS, saved=SAVED)


def keep_converged(host: LabHost) -> None:
    """Keep a host that a whole deploy converged, over an earlier one. The host itself ends."""
    remove_saved()
    if choose(None).model is AWQ:
        # What it served before the 4-bit model is of no use to anybody.
        host.ssh(
            "cd /srv/models && ls | grep -v awq | xargs rm -rf; "
            "cd /opt/fortyninety/served && ls -t | tail -n +2 | xargs rm -f",
            check=True,
        )
    hosts.save(host.name, SAVED, remove=True)


def forget_earlier() -> None:
    """Forget what an earlier run saved, unless this one is to use it."""
    if _HANDED_ON != "use":
        remove_saved()


def forget_own() -> None:
    """Forget what this run saved, unless the next one is to use it."""
    if _HANDED_ON != "keep":
        remove_saved()


def remove_saved() -> None:
    """Forget the saved hosts, if there are any."""
    for name in (SAVED_WITH_ONE_CARD, SAVED):
        if _is_saved(name):
            saved_hosts.remove(name)


def _make_saved() -> None:
    if not _is_saved(SAVED):
        (first,) = hosts.up(1, cards=TWO_CARDS)
        _deploy()
        hosts.save(first.name, SAVED, remove=True)


def _is_saved(name: str) -> bool:
    return name in [saved.name for saved in saved_hosts.everything()]


def _deploy() -> None:
    ran = deploy()
    assert ran.exit_code == 0, ran.output
