"""Write an inventory in which a few lab hosts have many names each, as a larger fleet would."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bench.relays import relays
from lab.hosts import ssh
from lab.inventory import inventory

SSH = 22


@contextmanager
def named(count: int, round_trip: float) -> Iterator[str]:
    """The path of an inventory of `count` names for the hosts that are up, `round_trip` s away."""
    hosts = [data for _, data in inventory()]
    with tempfile.TemporaryDirectory() as folder:
        # The group's name, which is the file's, as in inventory/lab.py.
        path = Path(folder) / "lab.py"
        if not round_trip:
            path.write_text(inventory_text(hosts, count))
            yield str(path)
            return
        addresses = [str(data["ssh_hostname"]) for data in hosts]
        with relays([(each, SSH) for each in addresses], round_trip) as ports:
            known = Path(folder) / "known_hosts"
            known.write_text(
                known_elsewhere(
                    ssh.known_hosts_file().read_text(),
                    {each: ports[each, SSH] for each in addresses},
                )
            )
            far = [
                {
                    **data,
                    "ssh_hostname": "127.0.0.1",
                    "ssh_port": ports[str(data["ssh_hostname"]), SSH],
                    "ssh_known_hosts_file": str(known),
                }
                for data in hosts
            ]
            path.write_text(inventory_text(far, count))
            yield str(path)


def inventory_text(hosts: list[dict[str, Any]], count: int) -> str:
    """An inventory of `count` names, which the hosts have in turns."""
    lines = [f"    {(f'box{at + 1}', hosts[at % len(hosts)])!r},\n" for at in range(count)]
    return f"lab = [\n{''.join(lines)}]\n"


def known_elsewhere(known_hosts: str, ports: dict[str, int]) -> str:
    """The same keys for ports of 127.0.0.1, by the address of whom each is a relay for."""
    lines = []
    for line in known_hosts.splitlines():
        address, _, key = line.partition(" ")
        if address in ports:
            lines.append(f"[127.0.0.1]:{ports[address]} {key}\n")
    return "".join(lines)
