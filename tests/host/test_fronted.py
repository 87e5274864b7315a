"""A box behind fronts: that it hears these, and nobody else."""

from __future__ import annotations

import re

from testinfra.host import Host

from fortyninety.settings.model import Settings
from tests.host.haproxy_door import assert_runs_and_comes_back
from tests.host.haproxy_files import ends_soon, noted, on_disk
from tests.host.inventory_bridge import Box
from tests.host.on_host import read

SERVICE = "fortyninety-gateway.service"
FOLDER = "/etc/fortyninety/gateway"


def test_it_hears_fronts_and_comes_back_at_boot(host: Host) -> None:
    """Without it the box is none for its fronts."""
    assert_runs_and_comes_back(host, SERVICE)


def test_nobody_is_heard_without_a_certificate_of_a_front(host: Host, settings: Settings) -> None:
    """Whoever is heard there asks in any tenant's name, without a key."""
    said = read(host, "heard_as", str(settings.gateway_fronts_port))
    assert said.startswith("refused"), (
        f"port {settings.gateway_fronts_port} answers {said!r} to one without a certificate; "
        "expected no TLS with it. Deploy again"
    )


def test_it_knows_the_fronts_of_the_inventory_and_no_others(host: Host, fronts: list[Box]) -> None:
    """A front that has gone may still have its certificate."""
    text = host.check_output(f"cat {FOLDER}/haproxy.cfg")
    found = {
        name
        for line in re.findall(r"ssl_c_s_dn\(cn\) -m str (.*?)\}", text)
        for name in re.findall(r"'([^']*)'|(\S+)", line)
        for name in name
        if name
    }
    expected = {each.name.lower() for each in fronts}
    assert found == expected, (
        f"it hears {', '.join(sorted(found)) or 'nobody'}; expected {', '.join(sorted(expected))}. "
        "Deploy again"
    )


def test_its_certificates_last(host: Host) -> None:
    """With another no front believes it."""
    ends = {
        name: end
        for name in ("server.pem", "authority.pem")
        if (end := ends_soon(host, f"{FOLDER}/{name}")) is not None
    }
    assert not ends, (
        f"{', '.join(f'{name} ends on {end}' for name, end in ends.items())}; expected at least 14 "
        "days. Deploy again"
    )


def test_it_has_in_force_what_is_on_disk(host: Host) -> None:
    """A front that is struck off on disk alone is still heard."""
    assert noted(host, SERVICE) == on_disk(host, FOLDER), (
        f"{SERVICE} has not loaded what is in {FOLDER}. Deploy again"
    )
