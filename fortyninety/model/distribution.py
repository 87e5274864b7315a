"""Decide who gets which part of a checkpoint from whom, so that each part leaves the hub once.

No I/O: a `Distribution` is asked and told. Parts travel as in a swarm, one in and one out of each
host at a time, and only whole verified parts are handed on. With n hosts and k parts of equal size
that takes about k + log2(n) times the time of one part, where one copy takes k.

A host may lie about what it has, about what it got, and about who gave it wrong bytes. So what a
host says of a sender decides for that host alone; for the others it is a complaint among others:

- Who failed with a sender never asks it again: a sender costs each host one failure at most.
- A sender that COMPLAINTS hosts failed with, and more than it served, is asked last.
- A host that failed with more senders than BELIEVED is itself what is broken: no other heeds it.
- The hub is given up where more than half of the hosts failed with it.
- A transfer that is overdue holds up nobody: its sender sends to others meanwhile, and one part at
  a time that is overdue from the hub is asked for once more.
- Who cannot hand on by its own word, or takes part no more, is not asked.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

HUB = ""
"""The name of the source outside the fleet: the hub, a mirror or a folder."""

# One receiver that fails may itself be what is broken; two are the sender's fault.
COMPLAINTS = 2
BELIEVED = 2
# Reasons that are told of why nobody can give a part: a fleet may have one for each pair of hosts.
REASONS = 5


@dataclass(frozen=True)
class Transfer:
    """One part on its way to `receiver` from `sender`, which is a host's name or HUB."""

    part: int
    receiver: str
    sender: str


class Exhausted(Exception):
    """Nobody is left who could give a host what it lacks, with the reasons."""

    def __init__(self, reasons: list[str]) -> None:
        self.reasons = reasons
        more = len(reasons) - REASONS
        told = [*reasons[:REASONS], *([f"and {more} more reasons"] if more > 0 else [])]
        super().__init__("; ".join(told) or "there is no source")


@dataclass
class Distribution:
    """The state of one checkpoint's distribution over a fleet.

    `peers` is False where every host fetches for itself from outside. `at_once` is how many parts
    a sender sends side by side. With two, the first part that can be handed on comes twice as late;
    that loses more than it fills, until beginning with a part takes as long as sending it
    (`bench/exchange_order.py`).
    """

    parts: int
    peers: bool = True
    at_once: int = 1
    _have: dict[str, set[int]] = field(default_factory=dict)
    # How many bytes of a part a host had when it joined, where an earlier run was cut.
    _begun: dict[str, dict[int, int]] = field(default_factory=dict)
    _under_way: list[Transfer] = field(default_factory=list)
    # Those of them that take longer than they should.
    _overdue: set[Transfer] = field(default_factory=set)
    # Pairs of receiver and sender: those that failed, with why, and those that went well.
    _failed: dict[tuple[str, str], str] = field(default_factory=dict)
    _served: set[tuple[str, str]] = field(default_factory=set)
    # Senders that hand on no more by their own word, with why.
    _withdrawn: dict[str, str] = field(default_factory=dict)
    # What follows from the pairs: senders that are asked last, and whether the hub is not at all.
    _doubted: set[str] = field(default_factory=set)
    _hub_given_up: bool = False

    def add(self, host: str, have: Iterable[int], begun: Mapping[int, int] | None = None) -> None:
        """Let a host take part with the parts that it has: it gives them, and may ask for others.

        `begun` are the bytes that it has of each part: a part of which it lacks only some is
        asked for outside by itself, before others ask for the whole.
        """
        self._have[host] = set(have)
        self._begun[host] = dict(begun or {})
        self._judge()

    def lacks(self, host: str) -> set[int]:
        """Return the parts that a host has yet to get."""
        return set(range(self.parts)) - self._have[host]

    def assign(self, waiting: Iterable[str]) -> dict[str, Transfer | Exhausted]:
        """Return what those of the `waiting` hosts that can go on should do now.

        A transfer counts as under way until `done` or `failed`. A host that is left out waits for
        others; one that lacks something nobody can give it any more gets Exhausted.
        """
        # Who has the least goes first: with it the fleet gains the most givers.
        in_order = sorted(waiting, key=lambda host: (len(self._have[host]), host))
        found: dict[str, Transfer | Exhausted] = {}
        for host in in_order:
            lacks = self.lacks(host)
            transfer = self._from_outside(host, lacks) or self._from_a_peer(host, lacks)
            if transfer is not None:
                self._under_way.append(transfer)
                found[host] = transfer
        for host in in_order:
            lacks = self.lacks(host)
            if lacks and host not in found and not self._worth_waiting(host, lacks):
                found[host] = Exhausted(self._reasons(host))
        return found

    def has(self, host: str, parts: Iterable[int]) -> None:
        """Note that a host got further parts than it was told to."""
        self._have[host].update(parts)

    def done(self, transfer: Transfer) -> None:
        """Note that the receiver has the part, verified, and may give it on."""
        self._end(transfer)
        self._have[transfer.receiver].add(transfer.part)
        self._served.add((transfer.receiver, transfer.sender))
        self._judge()

    def failed(self, transfer: Transfer, why: str) -> None:
        """Note that the receiver did not get it: it asks this sender no more."""
        self._end(transfer)
        self._failed[transfer.receiver, transfer.sender] = why
        self._judge()

    @property
    def under_way(self) -> list[Transfer]:
        """The transfers that are neither done nor failed."""
        return list(self._under_way)

    def overdue(self, transfer: Transfer) -> None:
        """Note that a transfer under way takes long: others need not wait for its end.

        Until it is done it counts as a complaint of its sender.
        """
        self._overdue.add(transfer)
        self._judge()

    def withdraw(self, transfer: Transfer, why: str) -> None:
        """Note that the sender itself cannot hand on: it is no receiver's complaint."""
        self._end(transfer)
        self._withdrawn[transfer.sender] = why

    def remove(self, host: str) -> None:
        """Let a host go, also in the middle of a transfer: it neither gets nor gives.

        What it said of others is forgotten with it.
        """
        for transfer in [each for each in self._under_way if each.receiver == host]:
            self._end(transfer)
        self._have.pop(host, None)
        self._begun.pop(host, None)
        self._failed = {pair: why for pair, why in self._failed.items() if pair[0] != host}
        self._served = {pair for pair in self._served if pair[0] != host}
        self._judge()

    def _end(self, transfer: Transfer) -> None:
        self._under_way.remove(transfer)
        self._overdue.discard(transfer)

    def _judge(self) -> None:
        """Draw from what hosts said of senders what it means for all."""
        pairs = self._failed.keys() | {(each.receiver, each.sender) for each in self._overdue}
        said = Counter(receiver for receiver, _ in pairs)
        complaints = Counter(sender for receiver, sender in pairs if said[receiver] <= BELIEVED)
        praise = Counter(sender for _, sender in self._served - pairs)
        self._doubted = {
            sender
            for sender, count in complaints.items()
            if count >= COMPLAINTS and count > praise[sender]
        }
        failed_with_hub = sum(sender == HUB for _, sender in self._failed)
        self._hub_given_up = 2 * failed_with_hub > len(self._have)

    def _from_outside(self, host: str, lacks: set[int]) -> Transfer | None:
        if not self._may_ask(host, HUB):
            return None
        # Few at a time: the first is handed on the sooner. One that few get anything from is asked
        # by many side by side: where it is down, not one after the other waits until it is sure.
        if self.peers and HUB not in self._doubted and self._busy()[HUB] >= self.at_once:
            return None
        fetched = self._on_their_way_from_outside()
        own = self._begun[host]
        missing = lacks - (fetched if self.peers else set())
        again = {each.part for each in self._overdue}
        for part in sorted(missing, key=lambda part: (part in again, -own.get(part, 0), part)):
            if HUB in self._senders(host, part) and not self._kept_for_another(host, part):
                return Transfer(part, host, HUB)
        return None

    def _on_their_way_from_outside(self) -> set[int]:
        """The parts that are not asked for outside, as they come from there."""
        from_hub = [each for each in self._under_way if each.sender == HUB]
        in_time = {each.part for each in from_hub if each not in self._overdue}
        overdue = {each.part for each in from_hub if each in self._overdue}
        # One at a time is asked for again: a slow line is not filled with the same bytes.
        return in_time | overdue if in_time & overdue else in_time

    def _kept_for_another(self, host: str, part: int) -> bool:
        """Whether a host that has more of the part from outside is to go on with it."""
        if not self.peers:
            return False
        own = self._begun[host].get(part, 0)
        slow = {each.receiver for each in self._overdue}
        return any(
            begun.get(part, 0) > own
            and part not in self._have[other]
            and self._may_ask(other, HUB)
            and self._may_ask(host, other)
            and other not in slow
            for other, begun in self._begun.items()
            if other != host
        )

    def _from_a_peer(self, host: str, lacks: set[int]) -> Transfer | None:
        busy = self._busy()
        offers = [
            (self._copies(part), -len(self._have[giver]), part, giver)
            for part in lacks
            for giver in self._senders(host, part)
            if giver != HUB and busy[giver] < self.at_once
        ]
        if not offers:
            return None
        # The rarest first, and from the one that has the most.
        _, _, part, giver = min(offers)
        return Transfer(part, host, giver)

    def _busy(self) -> Counter[str]:
        """How many parts each sender has on the way, but for those that are overdue."""
        return Counter(each.sender for each in self._under_way if each not in self._overdue)

    def _copies(self, part: int) -> int:
        under_way = sum(each.part == part for each in self._under_way)
        return under_way + sum(part in have for have in self._have.values())

    def _senders(self, host: str, part: int) -> list[str]:
        """Whom a host asks for a part: peers before the hub, and those that are doubted last."""
        givers = self._givers(host, part)
        outside = [HUB] if self._may_ask(host, HUB) else []
        trusted = [giver for giver in givers if giver not in self._doubted]
        if trusted or not givers:
            return trusted or outside
        return outside if outside and HUB not in self._doubted else givers

    def _givers(self, host: str, part: int) -> list[str]:
        if not self.peers:
            return []
        return [
            giver
            for giver, have in self._have.items()
            if part in have and giver != host and self._may_ask(host, giver)
        ]

    def _may_ask(self, host: str, sender: str) -> bool:
        if sender == HUB and self._hub_given_up:
            return False
        return (host, sender) not in self._failed and sender not in self._withdrawn

    def _worth_waiting(self, host: str, lacks: set[int]) -> bool:
        busy = {each.sender for each in self._under_way}
        if HUB in busy and self._may_ask(host, HUB):
            return True
        if any(giver in busy for part in lacks for giver in self._givers(host, part)):
            return True
        if any(self._kept_for_another(host, part) for part in lacks):
            return True
        return self.peers and any(
            each.part in lacks and self._may_ask(host, each.receiver) for each in self._under_way
        )

    def _reasons(self, host: str) -> list[str]:
        own = [why for (who, _), why in self._failed.items() if who == host]
        of_the_hub = [why for (_, sender), why in self._failed.items() if sender == HUB]
        others = [*self._withdrawn.values(), *(of_the_hub if self._hub_given_up else [])]
        return list(dict.fromkeys([*own, *others]))
