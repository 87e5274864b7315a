"""Write HAProxy's configuration for a front: one address for several boxes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath

from fortyninety.gateway.configuration import Monitor, common_values, own_socket
from fortyninety.gateway.policy import Policy
from fortyninety.gateway.quoting import haproxy_word
from fortyninety.templates import render

TEMPLATE = "haproxy-front.cfg.j2"


@dataclass(frozen=True)
class Box:
    """A box behind a front: the name in its certificate, and where it listens for fronts."""

    name: str
    address: str


@dataclass(frozen=True, kw_only=True)
class Front:
    """What a front's configuration is made of.

    `addresses` are those that it listens at for clients, by `certificate`. `identity` is the
    certificate that boxes know it by, and `authority` signed theirs. `paths` maps each path that
    is let through to the method that it is asked by. `monitor` reads how the front is, where no
    gateway of the same host shows it.
    """

    addresses: tuple[str, ...]
    certificate: PurePosixPath
    identity: PurePosixPath
    authority: PurePosixPath
    key_map: PurePosixPath
    control_socket: PurePosixPath
    status_address: str
    boxes: tuple[Box, ...]
    paths: Mapping[str, str]
    policy: Policy
    monitor: Monitor | None = None


def front_configuration(front: Front) -> str:
    """Return the text of the configuration. Raises ValueError for what no word of it can hold."""

    def verified(box: Box) -> str:
        """The words of a `server` line by which the box is who it says, and the front too."""
        name = haproxy_word(box.name)
        files = f"ca-file {_path(front.authority)} crt {_path(front.identity)}"
        return f"ssl {files} verify required verifyhost {name} sni str({box.name}) alpn http/1.1"

    return render(
        TEMPLATE,
        **common_values(front.policy, front.paths),
        front=front,
        monitor=front.monitor,
        control_socket=front.control_socket,
        key_map=front.key_map,
        forwarded_host="front",
        verified=verified,
        held=own_socket(front.control_socket, "held"),
        next_try=own_socket(front.control_socket, "next-try"),
    )


def _path(path: PurePosixPath) -> str:
    return haproxy_word(str(path))
