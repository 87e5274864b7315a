"""Hold the lease of a host, so that only one run changes it at a time.

A program on the host (fortyninety/on_host/hold_lease.sh) holds it for as long as its connection
lives and is used. A controller that is killed loses it at once, one that is cut off within
PATIENCE.
"""

from __future__ import annotations

import getpass
import os
import re
import secrets
import shlex
import socket
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

from fortyninety.checkout import PACKAGE

# Where it lies: root's alone, and gone after a reboot, as its holder is.
FOLDER = "/run/fortyninety"

# That of a rollout, which has it beside its deploys' from its first box to its last.
ROLLOUT_FOLDER = "/run/fortyninety-rollout"

# Seconds between two signs of life; for which the host waits for one; and for which, since the last
# one that the host answered, a controller may think that it has the lease still. The last is
# shorter than what the host waits, so that never two may change it.
INTERVAL = 10
PATIENCE = 40
TRUST = 30

# Seconds for a host to answer whether it grants its lease, of which 2 are its own (hold_lease.sh).
ANSWER = 15

# Seconds for which a controller insists where another one is taking leases at the same moment and
# has to give way; that one does so as soon as it meets ours.
INSISTENCE = 10
_RETRY = 0.1

_HOLD, _END = (PACKAGE / "on_host" / f"{name}_lease.sh" for name in ("hold", "end"))
_RECORD = re.compile(
    r"(?P<process>\d{1,10}) (?P<since>\d{1,11}) (?P<run>[0-9a-f]{16}) (?P<stage>taking|held) "
    r"(?P<who>[\w.@+-]{1,100}) (?P<what>[a-z-]{1,30})",
    re.ASCII,
)
_UNKNOWN = "somebody who does not say who it is"


@dataclass(frozen=True)
class Holder:
    """Who has a lease: `run` tells two runs of the same person apart, `since` is Unix time."""

    run: str
    who: str
    what: str
    since: int
    taking: bool = False

    def __str__(self) -> str:
        since = datetime.fromtimestamp(self.since, UTC).strftime("%Y-%m-%d %H:%M:%S")
        return f"{self.who} ({self.what} {self.run}, since {since} UTC)"


def read_holder(line: str) -> Holder | None:
    """The holder that a host's line names, or None for a line that is not as the program's."""
    found = _RECORD.fullmatch(line.strip())
    if found is None:
        return None
    return Holder(
        found["run"],
        found["who"],
        found["what"],
        int(found["since"]),
        taking=found["stage"] == "taking",
    )


@dataclass(frozen=True)
class Claim:
    """What a controller wants leases for. The lower of two `run`s goes before the other.

    Leases of two folders have nothing to do with each other.
    """

    what: str
    who: str
    run: str
    folder: str = FOLDER

    def command(self, folder: str | None = None) -> str:
        """The program that holds a host's lease, with what it is to say."""
        values = {
            "folder": folder or self.folder,
            "run": self.run,
            "who": self.who,
            "what": self.what,
            "patience": str(PATIENCE),
        }
        return _script(_HOLD, values)


def new_claim(what: str) -> Claim:
    """A claim of whoever runs this, for something to be done: "deploy", "rollback"."""
    return Claim(what, whoever_runs_this(), secrets.token_hex(8))


def rollout_claim(rollout: str) -> Claim:
    """A claim of a rollout, which goes on from box to box and lets its deploys have theirs."""
    run = rollout + secrets.token_hex(8)
    return Claim("rollout", whoever_runs_this(), run[:16], ROLLOUT_FOLDER)


def whoever_runs_this() -> str:
    """User and machine, as others are told them: "alice@laptop"."""
    try:
        user = os.environ.get("SUDO_USER") or getpass.getuser()
    except (KeyError, OSError):  # An account without a name.
        user = str(os.getuid())
    named = f"{user}@{socket.gethostname()}"
    return re.sub(r"[^\w.@+-]", "-", named, flags=re.ASCII)[:100]


def ending(reason: str, folder: str | None = None) -> str:
    """The command that ends a host's lease, whoever has it."""
    return _script(_END, {"folder": folder or FOLDER, "who": whoever_runs_this(), "reason": reason})


def _script(path: Path, values: Mapping[str, str]) -> str:
    head = "\n".join(f"{name}={shlex.quote(value)}" for name, value in values.items())
    return f"{head}\n{path.read_text()}"


class ChannelLost(Exception):
    """A channel to a host ended or gave no answer, with the reason in one line."""


class Channel(Protocol):
    """A command under way on a host."""

    def write(self, line: str) -> None:
        """Give it a line of input. Raises ChannelLost."""

    def read(self, seconds: float) -> str:
        """Its next line. Raises ChannelLost where none came, and why."""

    def ended(self) -> bool:
        """Whether it ended, or its connection."""

    def close(self) -> None:
        """End it."""


class Lease:
    """The lease of one host, kept by signs of life until it is given back."""

    def __init__(self, channel: Channel, before: str, granted_at: float) -> None:
        self.before = before
        self._channel = channel
        self._trusted_until = granted_at + TRUST
        self._given_back = threading.Event()
        self._confirmed = threading.Event()
        self._why = ""

    def keep(self) -> None:
        """Tell others that it is held for good, and give signs of life from now on."""
        with suppress(ChannelLost):  # Seen by the first sign of life.
            self._channel.write("held")
        threading.Thread(target=self._beat, daemon=True).start()

    def give_back(self) -> None:
        """Free the host."""
        self._given_back.set()
        self._channel.close()

    def lost(self) -> str | None:
        """Why the host may not be changed any more, or None while it may."""
        if self._channel.ended():
            return (
                "the lease of this host was lost: somebody ended it, or its holder there, or the "
                "connection. See `journalctl -t fortyninety` there, then run this again"
            )
        if _now() <= self._trusted_until:
            return None
        # A controller that was suspended, or too busy: the host may have it still, and says so.
        self._confirmed.clear()
        self._confirmed.wait(INTERVAL + 1)
        if _now() <= self._trusted_until:
            return None
        return (
            f"the lease of this host was not confirmed for {TRUST} s"
            f"{self._why and f' ({self._why})'}, and somebody else may have it by now. Run this "
            "again"
        )

    def _beat(self) -> None:
        while not self._given_back.is_set():
            sent = _now()
            try:
                self._channel.write("beat")
                self._channel.read(PATIENCE)
            except ChannelLost as lost:
                self._why = str(lost)
                return
            self._trusted_until = sent + TRUST
            self._confirmed.set()
            self._given_back.wait(INTERVAL)


class Refused(Exception):
    """Why no lease was taken on any host: by host, in one line each."""

    def __init__(self, reasons: dict[str, str]) -> None:
        super().__init__("; ".join(f"{host}: {reason}" for host, reason in reasons.items()))
        self.reasons = reasons


def take_all(hosts: Mapping[str, Callable[[str], Channel]], claim: Claim) -> dict[str, Lease]:
    """The leases of all hosts, or of none. `hosts` opens a channel to each, for a command.

    Of two controllers that want the same hosts at the same moment one goes on: where they meet, the
    one with the higher run gives way. Raises Refused.
    """
    leases: dict[str, Lease] = {}
    reasons: dict[str, str] = {}
    in_vain = threading.Event()

    def take(name: str) -> None:
        try:
            leases[name] = _take(hosts[name], claim, in_vain)
        except ChannelLost as lost:
            reasons[name] = str(lost)
            in_vain.set()
        except _GivenUp:
            pass

    threads = [threading.Thread(target=take, args=(name,), daemon=True) for name in hosts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if len(leases) == len(hosts):
        for lease in leases.values():
            lease.keep()
        return leases
    for lease in leases.values():
        lease.give_back()
    raise Refused({name: reasons[name] for name in hosts if name in reasons})


class _GivenUp(Exception):
    """Another host refused."""


def _take(open_channel: Callable[[str], Channel], claim: Claim, in_vain: threading.Event) -> Lease:
    """One host's lease. Raises ChannelLost with the reason, and _GivenUp where it is in vain."""
    until = _now() + INSISTENCE
    while not in_vain.is_set():
        asked = _now()
        channel = open_channel(claim.command())
        try:
            answer, _, said = channel.read(ANSWER).rstrip("\n").partition("\t")
        except ChannelLost:
            channel.close()
            raise
        if answer == "taken":
            if in_vain.is_set():
                channel.close()
                break
            return Lease(channel, said if re.fullmatch("[0-9a-f]{16}", said) else "", asked)
        channel.close()
        if answer != "refused":
            raise ChannelLost(f"its lease cannot be taken: {said[:200] or 'it said nothing'}")
        holder = read_holder(said)
        if holder is None or not holder.taking or holder.run < claim.run or _now() > until:
            raise ChannelLost(f"it is being changed by {holder or _UNKNOWN}")
        in_vain.wait(_RETRY)
    raise _GivenUp


def _now() -> float:
    """Seconds that also pass while this machine is suspended."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))
