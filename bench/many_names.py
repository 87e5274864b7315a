"""Write an inventory in which a few lab hosts have many names each, as a larger fleet would.

A run takes the lease of each of its hosts, and a lease is a lock of one file of a host. So each
further name of a host is an SSH server of its own there, with another folder for the lease.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from bench.relays import Address, relays
from fortyninety.lease import FOLDER
from lab import hosts
from lab.hosts import LabHost, ssh
from lab.inventory import inventory

SSH = 22
# The ports of a host's further names follow this one.
FURTHER = 2200
UNIT = "bench-name"


@contextmanager
def named(count: int, round_trip: float) -> Iterator[str]:
    """The path of an inventory of `count` names for the hosts that are up, `round_trip` s away."""
    data = [of for _, of in inventory()]
    with ExitStack() as cleanup, tempfile.TemporaryDirectory() as folder:
        for turn in range(1, -(-count // len(data))):
            for host in [each for each in hosts.hosts() if each.running]:
                cleanup.callback(host.ssh, f"systemctl stop {UNIT}-{turn}")
                _open(host, turn)
        places = [
            (str(data[at % len(data)]["ssh_hostname"]), port(at // len(data)))
            for at in range(count)
        ]
        ways = {place: place for place in places}
        if round_trip:
            ports = cleanup.enter_context(relays(ways, round_trip))
            ways = {place: ("127.0.0.1", ports[place]) for place in places}
        known = Path(folder) / "known_hosts"
        known.write_text(known_elsewhere(ssh.known_hosts_file().read_text(), ways))
        # The group's name, which is the file's, as in inventory/lab.py.
        path = Path(folder) / "lab.py"
        path.write_text(
            inventory_text(
                [
                    {
                        **data[at % len(data)],
                        "ssh_hostname": ways[place][0],
                        "ssh_port": ways[place][1],
                        "ssh_known_hosts_file": str(known),
                    }
                    for at, place in enumerate(places)
                ]
            )
        )
        yield str(path)


def port(turn: int) -> int:
    """The port of a host's SSH server for the `turn`th of its names, from 0 on."""
    return FURTHER + turn if turn else SSH


def _open(host: LabHost, turn: int) -> None:
    """Start an SSH server of the host that has a lease of its own. Raises LabError."""
    own = f"/run/{UNIT}-{turn}"
    host.ssh(
        # What else is there of a deploy is as it is under the host's first name.
        f"rm -rf {own} && cp -a {FOLDER} {own} && rm -f {own}/lease {own}/holder && "
        f"systemd-run --quiet --collect --unit={UNIT}-{turn} -p BindPaths={own}:{FOLDER} "
        f"/usr/sbin/sshd -D -p {port(turn)} -o PidFile=none && "
        f"timeout 60 sh -c 'until ss -Hltn sport = :{port(turn)} | grep -q .; do sleep 0.1; done'",
        check=True,
    )


def inventory_text(boxes: list[dict[str, Any]]) -> str:
    """An inventory of boxes with these data."""
    lines = [f"    {(f'box{at + 1}', data)!r},\n" for at, data in enumerate(boxes)]
    return f"lab = [\n{''.join(lines)}]\n"


def known_elsewhere(known_hosts: str, ways: dict[Address, Address]) -> str:
    """The same keys for where each port of a host is reached, by the host's address."""
    keys = dict(line.split(" ", 1) for line in known_hosts.splitlines() if " " in line)
    return "".join(
        f"{way if port == SSH else f'[{way}]:{port}'} {keys[address]}\n"
        for (address, _), (way, port) in ways.items()
        if address in keys
    )
