"""Say it by the unit itself: in its journal as a start ends, in its status as the next begins."""

from __future__ import annotations

import contextlib
import os
import select
import socket
from time import gmtime, strftime

from fortyninety.on_host.engine_failure.cause import ended_alone
from fortyninety.on_host.engine_failure.journal import Unreadable, journal, run, starts

# Seconds that systemd may take to read what it is told.
BARRIER_TIMEOUT = 5


def ending(unit: str) -> list[str]:
    """Return the lines for the journal about the start that ends now."""
    # What the engine wrote last is on its way to the journal.
    with contextlib.suppress(Unreadable):
        run("journalctl", "--sync")
    own = os.environ.get("INVOCATION_ID", "")
    found = [each for each in starts(journal(f"--unit={unit}")) if each.invocation == own]
    lines = ended_alone(found[0], unit) if found else []
    return [f"the engine ended: {lines[0]}", *lines[1:]] if lines else []


def before(unit: str) -> str:
    """Return what `systemctl status` is to say of the start before this one, or ""."""
    own = os.environ.get("INVOCATION_ID", "")
    others = [each for each in starts(journal(f"--unit={unit}")) if each.invocation != own]
    lines = ended_alone(others[-1], unit) if others else []
    if not lines:
        return ""
    at = strftime("%H:%M", gmtime(others[-1].ended_at))
    return f"the start before ended at {at} UTC: {' '.join(lines)}"


def notify(status: str) -> None:
    """Have systemd show `status`, and wait until it took it: it asks who it was that spoke."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not status or not address:
        return
    mine, theirs = os.pipe()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
        sender.connect(f"\0{address[1:]}" if address.startswith("@") else address)
        sender.send(f"STATUS={status}".encode())
        # sd_notify_barrier(3): systemd closes the descriptor when everything before was read.
        socket.send_fds(sender, [b"BARRIER=1"], [theirs])
    os.close(theirs)
    select.select([mine], [], [], BARRIER_TIMEOUT)
    os.close(mine)
