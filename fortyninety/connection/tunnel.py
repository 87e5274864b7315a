"""Reach a port of a host's loopback through the SSH connection that the host has already."""

from __future__ import annotations

from typing import Any

from paramiko import ChannelException, SSHException
from pyinfra.api.host import Host

from fortyninety.connection.bounded import CHANNEL, HostLost, bounded

# RFC 4254, 5.1: why a server opens no channel.
PROHIBITED = 1


class NotForwarded(Exception):
    """Why the host, which answers, leads to no port, in one line."""


def open_tunnel(host: Host, port: int) -> Any:
    """A channel to 127.0.0.1:`port` of a connected host, to be used as a socket is.

    No port is opened on this machine. Raises NotForwarded, and HostLost where the host is gone.
    """
    transport = bounded(host).transport
    if transport is None or not transport.is_active():
        raise HostLost("cannot be reached: there is no SSH connection")
    try:
        return transport.open_channel(
            "direct-tcpip", ("127.0.0.1", port), ("127.0.0.1", 0), timeout=CHANNEL
        )
    except ChannelException as refused:
        if refused.code == PROHIBITED:
            raise NotForwarded(
                "not reachable: the host's SSH server forwards nothing (AllowTcpForwarding)"
            ) from refused
        raise NotForwarded(f"not running: nothing listens on its port {port}") from refused
    except (SSHException, OSError, EOFError) as error:
        raise HostLost(f"cannot be reached: {error}") from error
