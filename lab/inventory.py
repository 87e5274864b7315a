"""Give pyinfra the hosts that are up."""

from __future__ import annotations

from typing import Any

from lab import hosts
from lab.errors import LabError
from lab.hosts import ssh
from lab.hub import hub_process
from lab.hub.pinned import pinned_commit
from lab.tiny_model import TinyModel


def inventory() -> list[tuple[str, dict[str, Any]]]:
    """The running hosts in pyinfra's form: how they are reached, and the lab's model and its hub.

    With the lab's own keys and strict host key checking. The model, and what the settings must say
    for it, come with the hosts and not from group_data/, which pyinfra reads for every inventory,
    also where there is no lab.
    """
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
                "hub_endpoint": hub_process.endpoint(),
                **model_data(host.choice.model),
            },
        )
        for host in running
    ]


def model_data(model: TinyModel) -> dict[str, Any]:
    """The settings with which a host serves one of the tiny models from the lab's hub."""
    return {
        "model_repository": model.repository,
        "model_revision": pinned_commit(hub_process.root_directory(), model.repository),
        **model.settings,
    }
