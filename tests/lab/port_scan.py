"""Find the TCP ports that answer, from this machine or from a lab host."""

from __future__ import annotations

import shlex
import subprocess
import sys

from lab.hosts import LabHost

ALL_PORTS = 65535
# Prints where something answers, or says that nobody listens.
_SCAN = """
import asyncio, sys
async def ask(port, gate, met):
    async with gate:
        try:
            (await asyncio.wait_for(asyncio.open_connection(sys.argv[1], port), 1.5))[1].close()
            met.add(port)
        except ConnectionRefusedError: met.add(port)
        except TimeoutError: pass
async def main():
    gate, met = asyncio.Semaphore(900), set()
    await asyncio.gather(*(ask(port, gate, met) for port in range(int(sys.argv[2]), 0, -1)))
    print(*sorted(met))
asyncio.run(main())
"""


def answering(host: LabHost, last: int = ALL_PORTS) -> set[int]:
    """Ports up to `last` that answer this machine, which is a neighbour of every lab host."""
    found = subprocess.run(
        [sys.executable, "-c", _SCAN, host.address, str(last)],
        capture_output=True,
        text=True,
        check=True,
    )
    return _ports(found.stdout)


def answering_from(other: LabHost, address: str) -> set[int]:
    """Ports of all that answer another host at this address, of IPv4 or IPv6 (`fe80::1%host0`)."""
    found = other.ssh(
        f"python3 -c {shlex.quote(_SCAN)} {shlex.quote(address)} {ALL_PORTS}",
        check=True,
        timeout=600,
    )
    return _ports(found.stdout)


def link_local(host: LabHost) -> str:
    """The host's own IPv6 address on the lab's network, as another lab host asks it."""
    shown = host.ssh("ip -6 -oneline address show dev host0 scope link", check=True).stdout
    return f"{shown.split()[3].partition('/')[0]}%host0"


def _ports(text: str) -> set[int]:
    return set(map(int, text.split()))
