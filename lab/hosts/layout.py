"""Lay out the directory of a host: its disk, its identity, what its supervisor is told."""

from __future__ import annotations

import dataclasses
import shutil
import uuid
from pathlib import Path
from typing import Any

from lab import paths
from lab.gpu import cards
from lab.hosts import image, power, saved_hosts, ssh
from lab.hosts.host import LabHost, hosts
from lab.hosts.layers import Layers
from lab.json_file import write_json
from lab.network import bridge
from lab.sources import python_index
from lab.tiny_model.choice import ModelChoice


def make(index: int, card_spec: str, layers: Layers, choice: ModelChoice) -> LabHost:
    """Lay out a host's directory; lab.json comes last, so a directory without it is half made."""
    host = LabHost(
        name=paths.host_name(index),
        index=index,
        address=paths.host_address(index),
        release=layers.release,
        cards=card_spec,
        image=layers.image,
        saved=layers.saved,
        model=choice.model.name,
        model_reason=choice.reason,
    )
    directory = host.directory
    directory.mkdir(parents=True)
    own_cards = cards.parse(card_spec, host.name)
    cards.write_pci_devices(directory / "pci", own_cards)
    cards.write_cards(directory / "gpu" / "cards", own_cards)
    cards.write_kernel_modules(directory / "modules")
    _write_identity(host, directory / "upper")
    for cache in ("uv", "pip", "ccache", "wheels"):
        (paths.cache_directory() / cache).mkdir(parents=True, exist_ok=True)
    write_json(directory / "supervisor.json", _supervisor_settings(host))
    write_json(directory / "lab.json", dataclasses.asdict(host))
    return host


def to_serve(host: LabHost, choice: ModelChoice) -> LabHost:
    """Note that the host is to serve another model, where it is another."""
    if host.model == choice.model.name:
        return host
    changed = dataclasses.replace(host, model=choice.model.name, model_reason=choice.reason)
    write_json(host.directory / "lab.json", dataclasses.asdict(changed))
    return changed


def remove(name: str) -> None:
    """Remove a host: its processes, its link, its disk."""
    power.cut(name)
    shutil.rmtree(paths.host_directory(name))


def remove_half_made() -> None:
    """Clear directories that an `up` left when it was cut off before they were whole."""
    for directory in (paths.state_directory() / "hosts").glob("lab*"):
        if not (directory / "lab.json").exists():
            remove(directory.name)


def write_known_hosts() -> None:
    """Write the public keys of all hosts to where SSH looks for them."""
    keys = {}
    for host in hosts():
        public = host.directory / "upper/etc/ssh/ssh_host_ed25519_key.pub"
        keys[host.address] = public.read_text()
    ssh.write_known_hosts(keys)


def _write_identity(host: LabHost, root: Path) -> None:
    """Write what no two hosts share onto the host's own layer, over whatever lies below."""
    etc = root / "etc"
    (etc / "ssh").mkdir(parents=True)
    root.chmod(0o755)
    (etc / "hostname").write_text(f"{host.name}\n")
    (etc / "hosts").write_text(f"127.0.0.1 localhost\n127.0.1.1 {host.name}\n")
    (etc / "machine-id").write_text(f"{uuid.uuid4().hex}\n")
    servers = "".join(f"nameserver {server}\n" for server in bridge.name_servers())
    (etc / "resolv.conf").write_text(servers)
    ssh.make_key(etc / "ssh" / "ssh_host_ed25519_key", comment=host.name)
    authorized = root / "root" / ".ssh"
    authorized.mkdir(parents=True, mode=0o700)
    (root / "root").chmod(0o700)
    shutil.copyfile(ssh.key_file().with_suffix(".pub"), authorized / "authorized_keys")


def _supervisor_settings(host: LabHost) -> dict[str, Any]:
    cache = paths.cache_directory()
    gpu = host.directory / "gpu"
    return {
        "name": host.name,
        "directory": str(host.directory),
        "layers": [
            *(str(saved_hosts.layer(name)) for name in host.saved),
            str(image.images_directory() / host.image),
        ],
        "address": host.address,
        "prefix_length": paths.PREFIX_LENGTH,
        "gateway": paths.BRIDGE_ADDRESS,
        "bridge": paths.BRIDGE,
        "link": bridge.link_name(host.name),
        "hardware_address": bridge.hardware_address(host.index),
        "mtu": bridge.uplink_mtu(),
        "read_only_binds": [
            (str(host.directory / "pci"), "/sys/bus/pci/devices"),
            (str(host.directory / "modules"), "/sys/module"),
            (str(python_index.wheels_directory()), python_index.WHEELS_ON_HOST),
        ],
        "binds": [
            (str(gpu), "/run/lab-gpu"),
            (str(cache / "uv"), "/root/.cache/uv"),
            (str(cache / "pip"), "/root/.cache/pip"),
            (str(cache / "ccache"), "/var/cache/lab/ccache"),
        ],
    }
