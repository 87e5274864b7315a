"""What pyinfra is told about the hosts that are up."""

from __future__ import annotations

from lab import hosts, ssh
from lab.errors import LabError


def inventory() -> list[tuple[str, dict[str, str]]]:
    """The running hosts in pyinfra's form, with the lab's own keys and strict host key checking."""
    running = [host for host in hosts.hosts() if host.running]
    if not running:
        raise LabError("no lab host is up: `fortyninety lab up` makes one")
    return [
        (
            host.name,
            {
                "ssh_hostname": host.address,
                "ssh_user": "root",
                "ssh_key": str(ssh.key_file()),
                "ssh_known_hosts_file": str(ssh.known_hosts_file()),
                "ssh_strict_host_key_checking": "yes",
            },
        )
        for host in running
    ]
