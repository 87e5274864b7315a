"""One snapshot for a whole fleet: fetched once, verified by everyone, handed on between hosts.

Every host of a run that lacks the snapshot calls `Exchange.supply` in a thread of its own (under
pyinfra: a greenlet). What moves the bytes are programs on the hosts; this tells them who asks whom.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol

from fortyninety.handing_on import HUB, Distribution, Exhausted, Transfer

# Files below this size travel together, up to it: a part is what one transfer moves. Bytes.
SMALL = 64 * 10**6
# Where no part is larger than this, a sender sends two at a time: to begin with one (a program, a
# connection, a digest at the end: half a second) takes about as long as to send it.
TWO_AT_ONCE_BELOW = 10**9
# Seconds for which a host serves its peers when nobody renews it, and between renewals.
LIFETIME = 180
RENEWAL = 45
# Seconds that members who look at what they have wait for one that is to come and does not.
APPEARANCE = 30

LOCAL, CUT, WRONG_BYTES, REFUSED = 1, 3, 4, 5
"""How a step of `fortyninety/host/snapshot.py` ends when it fails."""


class StepFailed(Exception):
    """A step on a host failed, with the program's exit code and what it said."""

    def __init__(self, exit_code: int, message: str) -> None:
        self.exit_code = exit_code
        super().__init__(message)


class Member(Protocol):
    """A host that takes part: how peers reach it, and how a step is run on it."""

    name: str
    address: str

    def step(self, command: str, request: dict[str, Any]) -> dict[str, Any]:
        """Run a step of the host's program and return its answer. Raises StepFailed."""


@dataclass(frozen=True)
class SnapshotFile:
    """A file of the commit; `blob` is its git name, for those the hub gives no SHA-256 for."""

    path: str
    size: int
    sha256: str | None
    blob: str | None


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
        """As the program on the host takes it."""
        kind = "hub" if self.place is None else "mirror"
        return {"kind": kind, "source": self.place, **asdict(self)}


@dataclass(frozen=True)
class Settled:
    """What a host's program must be told of it: its folder, and its second copy if it keeps one."""

    directory: str
    second_copy: str | None = None


def in_parts(files: list[SnapshotFile]) -> list[list[SnapshotFile]]:
    """What travels together: each large file by itself, the small ones in one or few parts."""
    parts: list[list[SnapshotFile]] = []
    small: list[SnapshotFile] = []
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
class _Serving:
    """The members whose port is open, under one secret for the run."""

    secret: str = field(default_factory=lambda: secrets.token_urlsafe(24), repr=False)
    members: dict[str, Member] = field(default_factory=dict)
    locks: dict[str, threading.Lock] = field(default_factory=dict)
    starting: list[threading.Thread] = field(default_factory=list)
    stop: threading.Event = field(default_factory=threading.Event)


class Exchange:
    """The distribution of one commit over the hosts of one run.

    `peers` says whether hosts hand on; `port` is where they do it, and `rate` (KiB/s) how fast at
    most. `report` gets a host's name and a line for people.
    """

    def __init__(
        self,
        source: Source,
        *,
        peers: bool = True,
        port: int = 8873,
        rate: int | None = None,
        report: Callable[[str, str], None] = lambda host, line: None,
    ) -> None:
        self.source = source
        self.port = port
        self.rate = rate
        self.files: dict[str, SnapshotFile] = {}
        self._peers = peers
        self._report = report
        self._lock = threading.RLock()
        self._index_lock = threading.Lock()
        self._parts: list[list[SnapshotFile]] = []
        self._distribution: Distribution | None = None
        self._members: dict[str, Member] = {}
        self._settled: dict[str, Settled] = {}
        self._whole: dict[str, Member] = {}
        self._verified: dict[str, set[str]] = {}
        # Who waits for an order, each by an event of its own: what concerns one wakes no other.
        self._waiting: dict[str, threading.Event] = {}
        self._expected: set[str] = set()
        self._expected_until: float | None = None
        self._orders: dict[str, Transfer | Exhausted] = {}
        self._receiving: set[str] = set()
        self._joined: set[str] = set()
        self._serving = _Serving()

    def add_giver(self, member: Member, settled: Settled) -> None:
        """A member that has the snapshot whole already, and gives."""
        with self._lock:
            self._members[member.name] = member
            self._settled[member.name] = settled
            self._whole[member.name] = member
            if self._distribution is not None:
                self._distribution.add(member.name, range(len(self._parts)))

    def expect(self, names: Iterable[str]) -> None:
        """The members that are about to call `supply`.

        Nothing is fetched before they too said what they have: one whose reading took longer may
        hold what would leave the hub once more. One that does not come is waited for APPEARANCE
        seconds.
        """
        with self._lock:
            if self._peers:
                self._expected = set(names) - self._receiving

    def supply(self, member: Member, settled: Settled, allow: list[str]) -> int:
        """Bring the snapshot to one member, publish it there, and return its size in bytes.

        `allow` are the addresses of the fleet, which may read from it meanwhile. Raises StepFailed
        where the member cannot go on, and Exhausted where nobody can give it what it lacks.
        """
        name = member.name
        with self._lock:
            self._receiving.add(name)
            self._expected.discard(name)
            self._settled[name] = settled
        try:
            self._read_index(member)
            found = member.step("inspect", self._request(member, self._everything()))
            self._open_early(member, allow)
            self._join(member, found["verified"], found["begun"])
            self._receive_all(member, allow)
            published = member.step("publish", self._request(member, self._everything()))
            return int(published["bytes"])
        except Exhausted:
            raise  # What it has, it gives.
        except BaseException:
            with self._lock:
                if self._distribution is not None:
                    self._distribution.remove(name)
            raise
        finally:
            self._leave(name)

    @property
    def size(self) -> int:
        """The bytes of the whole snapshot, or 0 while that is not known yet."""
        return sum(file.size for file in self.files.values())

    # --- What the commit consists of

    def _read_index(self, member: Member) -> None:
        """Once for the fleet: from whoever has it whole, or from the source through `member`."""
        with self._index_lock:
            if self._distribution is not None:
                return
            files = (
                self._index_of_a_whole_one()
                or member.step("index", {"source": self.source.request()})["files"]
            )
            self.files = {each["path"]: SnapshotFile(**each) for each in files}
            with self._lock:
                self._parts = in_parts(list(self.files.values()))
                largest = max((sum(each.size for each in part) for part in self._parts), default=0)
                at_once = 2 if largest < TWO_AT_ONCE_BELOW else 1
                distribution = Distribution(len(self._parts), peers=self._peers, at_once=at_once)
                for name in self._whole:
                    distribution.add(name, range(len(self._parts)))
                self._distribution = distribution

    def _index_of_a_whole_one(self) -> list[dict[str, Any]] | None:
        for name, giver in self._whole.items():
            published = f"{self._settled[name].directory}/{self.source.revision}"
            try:
                answer = giver.step("index", {"source": {"source": published}})
            except StepFailed as failed:
                self._report(name, f"its manifest cannot be read: {failed}")
            else:
                files: list[dict[str, Any]] = answer["files"]
                return files
        return None

    def _request(self, member: Member, files: list[SnapshotFile]) -> dict[str, Any]:
        settled = self._settled[member.name]
        return {
            "directory": settled.directory,
            "revision": self.source.revision,
            "files": [asdict(file) for file in files],
            "second_copy": settled.second_copy,
        }

    def _everything(self) -> list[SnapshotFile]:
        with self._lock:
            return list(self.files.values())

    def _record(self, verified: dict[str, str]) -> None:
        """Remember the SHA-256 of files that the hub does not hash: peers are held to it."""
        for path, sha256 in verified.items():
            file = self.files[path]
            if file.sha256 is None:
                self.files[path] = SnapshotFile(path, file.size, sha256, file.blob)
        self._parts = [[self.files[file.path] for file in part] for part in self._parts]

    # --- Who gets what from whom

    def _join(self, member: Member, verified: dict[str, str], begun: dict[str, int]) -> None:
        with self._lock:
            assert self._distribution is not None
            self._record(verified)
            self._verified[member.name] = set(verified)
            have = [
                number
                for number, part in enumerate(self._parts)
                if all(file.path in verified for file in part)
            ]
            self._members[member.name] = member
            self._joined.add(member.name)
            if self._expected_until is None:
                self._expected_until = time.monotonic() + APPEARANCE
            here = {path: self.files[path].size for path in verified} | begun
            begun_parts = {
                number: sum(here.get(file.path, 0) for file in part)
                for number, part in enumerate(self._parts)
            }
            self._distribution.add(member.name, have, begun_parts)
            self._assign()

    def _leave(self, name: str) -> None:
        with self._lock:
            self._receiving.discard(name)
            self._joined.discard(name)
            self._waiting.pop(name, None)
            last = not self._receiving
            self._assign()
        if last:
            self._stop_serving()

    def _receive_all(self, member: Member, allow: list[str]) -> None:
        while (transfer := self._next(member.name)) is not None:
            numbers = self._numbers(transfer)
            part = [
                file
                for number in numbers
                for file in self._parts[number]
                if file.path not in self._verified[member.name]
            ]
            began = time.monotonic()
            try:
                source = self._source_of(transfer, allow)
                answer = member.step("fetch", {**self._request(member, part), "source": source})
            except StepFailed as failed:
                if failed.exit_code not in (CUT, WRONG_BYTES, REFUSED):
                    raise
                self._report(member.name, f"{failed}")
                with self._lock:
                    assert self._distribution is not None
                    self._distribution.failed(
                        transfer, str(failed), final=failed.exit_code == REFUSED
                    )
                    self._assign()
                continue
            seconds = time.monotonic() - began
            with self._lock:
                assert self._distribution is not None
                self._record(answer["verified"])
                self._distribution.done(transfer)
                self._distribution.has(member.name, numbers)
                self._assign()
            self._report(member.name, _arrived(transfer, part, seconds))

    def _numbers(self, transfer: Transfer) -> list[int]:
        """What is fetched at one go: everything where nobody waits for the first part of it."""
        with self._lock:
            assert self._distribution is not None
            if transfer.sender == HUB and (self._alone() or not self._peers):
                return sorted(self._distribution.lacks(transfer.receiver))
            return [transfer.part]

    def _next(self, name: str) -> Transfer | None:
        with self._lock:
            assert self._distribution is not None
            if not self._distribution.lacks(name):
                return None
            event = self._waiting[name] = threading.Event()
            self._assign()
            patience = self._patience()
        while not event.wait(patience):
            with self._lock:
                self._assign()  # Those that were to come did not.
                patience = self._patience()
        with self._lock:
            order = self._orders.pop(name)
        if isinstance(order, Exhausted):
            raise order
        return order

    def _alone(self) -> bool:
        return len(self._receiving | self._expected) == 1

    def _patience(self) -> float | None:
        """The seconds for which those who are to come are waited for, or None where all came."""
        if not self._expected or self._expected_until is None:
            return None
        return max(0.0, self._expected_until - time.monotonic())

    def _assign(self) -> None:
        """Give those who wait what they can do now. Called with the lock held."""
        # Not before all of them said what they have: nothing is fetched that one of them can give.
        if self._distribution is None or self._receiving - self._joined:
            return
        if self._patience() == 0:
            self._expected.clear()
        if self._expected:
            return
        orders = self._distribution.assign(self._waiting)
        self._orders.update(orders)
        for name in orders:
            self._waiting.pop(name).set()

    # --- Serving

    def _source_of(self, transfer: Transfer, allow: list[str]) -> dict[str, Any]:
        if transfer.sender == HUB:
            return self.source.request()
        giver = self._members[transfer.sender]
        try:
            self._serve(giver, allow)
        except StepFailed as failed:
            # The giver's trouble and not the receiver's, who asks others.
            raise StepFailed(REFUSED, f"{giver.name} cannot hand on: {failed}") from failed
        return {
            "kind": "peer",
            "name": giver.name,
            "address": giver.address,
            "port": self.port,
            "secret": self._serving.secret,
        }

    def _open_early(self, member: Member, allow: list[str]) -> None:
        """Start a member's daemon while it waits for its first part: others wait for it then."""

        def start() -> None:
            try:
                self._serve(member, allow)
            except StepFailed as failed:
                self._report(member.name, f"it cannot hand on: {failed}")

        with self._lock:
            if not self._peers or self._alone():
                return
            self._members[member.name] = member
            thread = threading.Thread(target=start, daemon=True)
            self._serving.starting.append(thread)
            thread.start()

    def _serve(self, giver: Member, allow: list[str]) -> None:
        with self._lock:
            lock = self._serving.locks.setdefault(giver.name, threading.Lock())
        with lock:
            if giver.name in self._serving.members:
                return
            giver.step(
                "serve",
                {
                    **self._request(giver, []),
                    "port": self.port,
                    "members": allow,
                    "secret": self._serving.secret,
                    "rate": self.rate,
                    "lifetime": LIFETIME,
                    "whole": giver.name in self._whole,
                },
            )
            with self._lock:
                if not self._serving.members:
                    threading.Thread(target=self._renew, args=(self._serving,), daemon=True).start()
                self._serving.members[giver.name] = giver

    def _renew(self, serving: _Serving) -> None:
        """Keep the daemons from ending while the run goes on: they end by themselves otherwise."""
        while not serving.stop.wait(RENEWAL):
            for giver in list(serving.members.values()):
                try:
                    giver.step("keep-serving", {})
                except StepFailed as failed:
                    self._report(giver.name, f"{failed}")

    def _stop_serving(self) -> None:
        for thread in list(self._serving.starting):
            thread.join()
        with self._lock:
            serving, self._serving = self._serving, _Serving()
        serving.stop.set()

        def stop(giver: Member) -> None:
            try:
                giver.step("stop-serving", {})
            except StepFailed as failed:
                self._report(giver.name, f"the port closes in {LIFETIME} s: {failed}")

        stopping = [
            threading.Thread(target=stop, args=(giver,)) for giver in serving.members.values()
        ]
        for thread in stopping:
            thread.start()
        for thread in stopping:
            thread.join()


def _arrived(transfer: Transfer, part: list[SnapshotFile], seconds: float) -> str:
    size = sum(file.size for file in part)
    what = part[0].path if len(part) == 1 else f"{len(part)} files"
    where = "the source" if transfer.sender == HUB else transfer.sender
    return (
        f"{what} from {where}: {size / 1e9:.2f} GB in {seconds:.1f} s, "
        f"{size / 1e6 / max(seconds, 0.001):.0f} MB/s, verified"
    )
