"""Bring one checkpoint to a fleet: fetched once, verified by everyone, handed on between hosts.

Every host of a run that lacks the checkpoint calls `Exchange.supply` in a thread of its own (under
pyinfra: a greenlet). What moves the bytes are programs on the hosts; this tells them who asks whom.
What the checkpoint consists of is the caller's, and no host's, to say.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from fortyninety.model.distribution import HUB, Distribution, Exhausted, Transfer
from fortyninety.model.peers import Peers
from fortyninety.model.steps import (
    BEGINNING,
    BETWEEN_HOSTS,
    CUT,
    OUTSIDE,
    REFUSED,
    WRONG_BYTES,
    Folders,
    Found,
    Member,
    StepFailed,
    Steps,
)
from fortyninety.on_host.checkpoint_files import File

# Files below this size travel together, up to it: a part is what one transfer moves. Bytes.
SMALL = 64 * 10**6
# Seconds that members who look at what they have wait for one that is to come and does not.
APPEARANCE = 30
# Bytes a second that a member hashes which they wait for longer: NVMe and a core or two do 1 to 3
# GB/s (docs/snapshot.md).
HASHING = 500 * 10**6
# Bytes a second below which others no longer wait for a transfer: 80 Mbit/s. It goes on.
IN_TIME = 10**7


@dataclass(frozen=True)
class Source:
    """Where the fleet's first copy comes from.

    `place` is a folder of the hosts or the address of a mirror; None is the hub at `endpoint`, or
    the public one. The `token` is a secret.
    """

    repository: str
    revision: str
    endpoint: str | None = None
    token: str | None = field(default=None, repr=False)
    place: str | None = None
    # Seconds for which a source may be silent before it counts as gone.
    patience: float = 60

    def request(self) -> dict[str, Any]:
        """Return it as the program on the host takes it."""
        kind = "hub" if self.place is None else "mirror"
        return {"kind": kind, "source": self.place, **asdict(self)}


def in_parts(files: Iterable[File]) -> list[list[File]]:
    """Return what travels together: each large file by itself, the small ones in few parts."""
    parts: list[list[File]] = []
    small: list[File] = []
    for file in sorted(files, key=lambda each: each.path):
        if file.size >= SMALL:
            parts.append([file])
            continue
        if small and sum(each.size for each in small) + file.size > SMALL:
            parts.append(small)
            small = []
        small.append(file)
    return [*parts, *([small] if small else [])]


@dataclass
class _Receiver:
    """A member that is being supplied: what it has, and the order that it waits for."""

    steps: Steps
    found: Found | None = None
    # Bytes for which its disk was not asked yet whether it has room.
    unasked: int = 0
    waits: bool = False
    order: Transfer | Exhausted | None = None
    # Set for its own order alone: what concerns one member wakes no other.
    ordered: threading.Event = field(default_factory=threading.Event)


class Exchange:
    """The distribution of one commit, which consists of `files`, over the hosts of one run.

    `peers` says whether hosts hand on; `port` is where they do it, `rate` (KiB/s) how fast at most,
    and `addresses` are those of the fleet, which may read there. `report` gets a host's name and a
    line for people.
    """

    def __init__(
        self,
        files: Sequence[File],
        source: Source,
        *,
        peers: bool = True,
        port: int = 8873,
        rate: int | None = None,
        addresses: Sequence[str] = (),
        report: Callable[[str, str], None] = lambda host, line: None,
    ) -> None:
        self.size = sum(file.size for file in files)
        self._files = tuple(files)
        self._source = source
        self._report = report
        self._limit = rate * 1024 if rate else IN_TIME
        self._parts = in_parts(files)
        self._distribution = Distribution(len(self._parts), peers=peers)
        self._peers = Peers(port, rate, addresses, report)
        # Held for what is below; never while a host is asked.
        self._lock = threading.RLock()
        self._givers: dict[str, Steps] = {}
        self._whole: set[str] = set()
        self._receivers: dict[str, _Receiver] = {}
        self._expected: set[str] = set()
        self._empty: set[str] = set()
        self._began: float | None = None
        # When a transfer that is under way is overdue.
        self._due: dict[Transfer, float] = {}

    def add_giver(self, member: Member, folders: Folders) -> None:
        """Let a member that has the checkpoint whole already give."""
        with self._lock:
            self._givers[member.name] = self._steps(member, folders)
            self._whole.add(member.name)
            self._distribution.add(member.name, range(len(self._parts)))

    def expect(self, names: Iterable[str], empty: Iterable[str] = ()) -> None:
        """Wait for the members that are about to call `supply`, but for those that are `empty`.

        Nothing is fetched before the others too said what they have: one whose reading took longer
        may hold what would leave the hub once more. One that does not come is waited for APPEARANCE
        seconds.
        """
        with self._lock:
            if self._distribution.peers:
                self._expected = set(names) - self._receivers.keys()
                self._empty = set(empty)

    def supply(self, member: Member, folders: Folders, *, empty: bool = False) -> None:
        """Bring the checkpoint to one member and publish it there.

        One that is `empty`, which is known to have no byte of it, is not asked what it has. Were
        that wrong, it would fetch what it has once more.

        Raises StepFailed where the member cannot go on, and Exhausted where nobody can give it what
        it lacks.
        """
        steps = self._steps(member, folders)
        receiver = self._enter(steps)
        try:
            if empty:
                receiver.unasked = self.size
            self._join(receiver, Found(frozenset(), {}) if empty else steps.inspect())
            while (transfer := self._next(receiver)) is not None:
                self._carry_out(receiver, transfer)
            steps.publish()
        except Exhausted:
            raise  # What it has, it gives.
        except BaseException:
            with self._lock:
                self._distribution.remove(steps.name)
            raise
        finally:
            self._leave(receiver)

    def _steps(self, member: Member, folders: Folders) -> Steps:
        return Steps(member, folders, self._source.revision, self._files)

    # Coming and going

    def _enter(self, steps: Steps) -> _Receiver:
        with self._lock:
            receiver = self._receivers[steps.name] = _Receiver(steps)
            self._expected.discard(steps.name)
            if self._began is None:
                self._began = time.monotonic()
            return receiver

    def _join(self, receiver: _Receiver, found: Found) -> None:
        here = {file.path: file.size for file in self._files if file.path in found.verified}
        here |= found.begun
        have = [
            number
            for number, part in enumerate(self._parts)
            if all(file.path in found.verified for file in part)
        ]
        begun = {
            number: sum(here.get(file.path, 0) for file in part)
            for number, part in enumerate(self._parts)
        }
        with self._lock:
            receiver.found = found
            self._whole.discard(receiver.steps.name)
            self._givers[receiver.steps.name] = receiver.steps
            self._distribution.add(receiver.steps.name, have, begun)
            early = self._distribution.peers and not self._alone()
            self._assign()
        if early:
            self._peers.open_early(receiver.steps, whole=False)

    def _leave(self, receiver: _Receiver) -> None:
        with self._lock:
            del self._receivers[receiver.steps.name]
            last = not self._receivers
            self._assign()
        if last:
            self._peers.close()

    def _alone(self) -> bool:
        return len(self._receivers.keys() | self._expected) == 1

    # Who gets what from whom

    def _next(self, receiver: _Receiver) -> Transfer | None:
        """Wait for what the member is to fetch; None where it lacks nothing. Raises Exhausted."""
        with self._lock:
            if not self._distribution.lacks(receiver.steps.name):
                return None
            receiver.waits = True
            receiver.order = None
            receiver.ordered.clear()
            self._assign()
            patience = self._patience()
        while not receiver.ordered.wait(patience):
            with self._lock:
                self._assign()  # Somebody or something did not come in time.
                patience = self._patience()
        if isinstance(receiver.order, Exhausted):
            raise receiver.order
        return receiver.order

    def _patience(self) -> float | None:
        """The seconds until those who wait look again, or None where only an order wakes them."""
        if (awaited := self._awaited()) is not None:
            return awaited
        return max(0.0, min(self._due.values()) - time.monotonic()) if self._due else None

    def _awaited(self) -> float | None:
        """The seconds until a member is no longer waited for; None where nobody is.

        Nothing is fetched that one who is still to say so may have.
        """
        now = time.monotonic()
        appeared = self._appeared()
        if self._expected - self._empty and now < appeared:
            return appeared - now
        hashed = appeared + self.size / HASHING
        if any(each.found is None for each in self._receivers.values()) and now < hashed:
            return hashed - now
        return None

    def _appeared(self) -> float:
        """When those who were to come and have not are expected no more."""
        return (self._began or time.monotonic()) + APPEARANCE

    def _assign(self) -> None:
        """Give those who wait what they can do now. Called with the lock held."""
        if self._awaited() is not None:
            return
        now, under_way = time.monotonic(), self._distribution.under_way
        if now >= self._appeared():
            self._expected.clear()
        for transfer, due in list(self._due.items()):
            if transfer in under_way and due <= now:
                self._distribution.overdue(transfer)
            if transfer not in under_way or due <= now:
                del self._due[transfer]
        waiting = {name: each for name, each in self._receivers.items() if each.waits}
        for name, order in self._distribution.assign(waiting).items():
            if isinstance(order, Transfer):
                size = sum(file.size for file in self._parts[order.part])
                rate = IN_TIME if order.sender == HUB else min(IN_TIME, self._limit)
                self._due[order] = now + BEGINNING + size / rate
            waiting[name].waits = False
            waiting[name].order = order
            waiting[name].ordered.set()

    def _carry_out(self, receiver: _Receiver, transfer: Transfer) -> None:
        """Have a member fetch what it was ordered to, and tell the distribution how that went."""
        steps = receiver.steps
        source = self._opened(transfer)
        if source is None:
            return
        numbers, rate = self._extent(transfer)
        verified = receiver.found.verified if receiver.found is not None else frozenset()
        files = [
            file for number in numbers for file in self._parts[number] if file.path not in verified
        ]
        began = time.monotonic()
        room, receiver.unasked = receiver.unasked, 0
        try:
            steps.fetch(files, source, rate, room=room)
        except StepFailed as failed:
            if failed.exit_code not in (CUT, WRONG_BYTES, REFUSED):
                raise
            self._report(steps.name, f"{failed}")
            with self._lock:
                self._distribution.failed(transfer, str(failed))
                self._assign()
            return
        seconds = time.monotonic() - began
        with self._lock:
            self._distribution.done(transfer)
            self._distribution.has(steps.name, numbers)
            self._assign()
        self._report(steps.name, _arrived(transfer, files, seconds))

    def _opened(self, transfer: Transfer) -> dict[str, Any] | None:
        """The sender as the receiver's program takes it; None where it cannot hand on."""
        if transfer.sender == HUB:
            return self._source.request()
        giver = self._givers[transfer.sender]
        try:
            return self._peers.open(giver, whole=giver.name in self._whole)
        except StepFailed as failed:
            # The giver's trouble and not the receiver's, who asks others.
            why = f"{giver.name} cannot hand on: {failed}"
            self._report(transfer.receiver, why)
            with self._lock:
                self._distribution.withdraw(transfer, why)
                self._assign()
            return None

    def _extent(self, transfer: Transfer) -> tuple[list[int], float]:
        """The parts that are fetched at one go, and the bytes a second that they come with.

        Everything comes at once where nobody waits for the first part of it.
        """
        with self._lock:
            if transfer.sender != HUB:
                return [transfer.part], min(BETWEEN_HOSTS, self._limit)
            if not self._distribution.peers:
                lacks = sorted(self._distribution.lacks(transfer.receiver))
                return lacks, OUTSIDE / len(self._receivers)
            if self._alone():
                return sorted(self._distribution.lacks(transfer.receiver)), OUTSIDE
            return [transfer.part], OUTSIDE


def _arrived(transfer: Transfer, files: Sequence[File], seconds: float) -> str:
    size = sum(file.size for file in files)
    what = files[0].path if len(files) == 1 else f"{len(files)} files"
    where = "the source" if transfer.sender == HUB else transfer.sender
    return (
        f"{what} from {where}: {size / 1e9:.2f} GB in {seconds:.1f} s, "
        f"{size / 1e6 / max(seconds, 0.001):.0f} MB/s, verified"
    )
