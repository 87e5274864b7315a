"""What the engine's processes can reach, and what of the host they see."""

from __future__ import annotations

import ipaddress

from fortyninety.settings.model import Settings
from tests.host.live_process import SERVICE, LiveProcess

EVERYBODY = {"0.0.0.0/0", "::/0"}
LOOPBACK = {"127.0.0.0/8", "::1/128"}


def members(process: LiveProcess) -> set[str]:
    """The addresses of the boxes that this one serves together with, and its own, as networks."""
    words = process.main["arguments"]
    listed = words[words.index("--members") + 1].split(",") if "--members" in words else []
    return {str(ipaddress.ip_network(each)) for each in listed}


def networks(process: LiveProcess, name: str) -> set[str]:
    """The networks that the unit has been loaded with under `name`."""
    return set(process.unit.get(name, "").split())


def test_the_engine_exchanges_packets_with_nobody_else(
    process: LiveProcess, settings: Settings
) -> None:
    """Whoever breaks into the engine goes on from there to the next host, or takes data away."""
    if settings.listen_address != "127.0.0.1":
        return
    denied, allowed = networks(process, "IPAddressDeny"), networks(process, "IPAddressAllow")
    wanted = LOOPBACK | members(process)
    assert denied >= EVERYBODY and allowed <= wanted, (
        f"{SERVICE} is loaded with IPAddressDeny={' '.join(sorted(denied)) or 'nobody'} and "
        f"IPAddressAllow={' '.join(sorted(allowed)) or 'nobody'}; expected any, and at most "
        f"{' '.join(sorted(wanted))}. Look at `systemctl cat {SERVICE}`, and deploy again"
    )


def test_the_processes_live_in_namespaces_of_their_own(process: LiveProcess) -> None:
    """A unit that was changed and not restarted is confined on paper alone."""
    for each in process.processes:
        shared = each["shared_namespaces"]
        assert not shared, (
            f"process {each['pid']} of the service shares its {', '.join(shared)} namespace with "
            f"the host; expected its own. `systemctl restart {SERVICE}`, and look at `systemctl "
            f"cat {SERVICE}`"
        )
