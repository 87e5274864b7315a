"""Ask, before anything is changed, whether a firewall would lock out who asks for it."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_address, ip_network

from fortyninety.problem import Problem
from fortyninety.settings.model import Settings
from fortyninety.survey.reading import HostReading


def firewall_problems(host: str, settings: Settings, reading: HostReading) -> Iterator[Problem]:
    """Why the firewall of these settings would keep this deploy from the host."""
    if not settings.firewall:
        return
    if not reading.firewall.ssh_ports:
        yield Problem(
            host=host,
            subject="firewall",
            found="True, and no port at which SSH listens",
            expected="one that `sshd -T` or the login's own SSH_CONNECTION names",
            remedy="Look on the host with `sshd -T`, or set firewall = False",
        )
    came_from = reading.firewall.came_from
    if not settings.allowed_networks or came_from is None:
        return
    address = ip_address(came_from)
    # A network of the other kind holds no address of this one.
    if not any(address in ip_network(each) for each in settings.allowed_networks):
        yield Problem(
            host=host,
            subject="allowed_networks",
            found=f"without {came_from}, from which this deploy comes as the host sees it",
            expected="a network that holds it",
            remedy="Add it (behind a jump host or a NAT it is that one's address), or deploy from "
            "an allowed network",
        )


def others_in_words(reading: HostReading) -> str | None:
    """What else filters on the host, in a line for people; None where nothing does."""
    others = reading.firewall.others
    if not others:
        return None
    return (
        f"firewall: beside this project's rules there are {', '.join(others)}. These are left "
        "alone: what they drop stays dropped, and what they forward, as Docker its published "
        "ports, this firewall does not see"
    )
