"""Who gets which part of a snapshot from whom, so that each part leaves the hub once.

No I/O: a `Distribution` is asked and told. Parts travel as in a swarm, one in and one out of each
host at a time, and only whole verified parts are handed on. With n hosts and k parts of equal size
that takes about k + log2(n) times the time of one part, where one copy takes k.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

HUB = ""
"""The name of the source outside the fleet: the hub, a mirror or a folder."""


@dataclass(frozen=True)
class Transfer:
    """One part on its way to `receiver` from `sender`, which is a host's name or HUB."""

    part: int
    receiver: str
    sender: str


class Exhausted(Exception):
    """Nobody is left who could give a host what it lacks: every reason there was."""

    def __init__(self, reasons: list[str]) -> None:
        self.reasons = reasons
        super().__init__("; ".join(reasons) or "there is no source")


@dataclass
class Distribution:
    """The state of one snapshot's distribution over a fleet.

    `peers` is False where every host fetches for itself from outside. `at_once` is how many parts
    a sender sends side by side: two where beginning one takes about as long as sending it.
    """

    parts: int
    peers: bool = True
    at_once: int = 1
    _have: dict[str, set[int]] = field(default_factory=dict)
    # How many bytes of a part a host had when it joined, where an earlier run was cut.
    _begun: dict[str, dict[int, int]] = field(default_factory=dict)
    _under_way: list[Transfer] = field(default_factory=list)
    # Pairs that failed once, receiver and sender, with why.
    _failed: dict[tuple[str, str], str] = field(default_factory=dict)
    # Senders that nobody asks any more, with why.
    _given_up: dict[str, str] = field(default_factory=dict)

    def add(self, host: str, have: Iterable[int], begun: Mapping[int, int] | None = None) -> None:
        """A host takes part, with the parts that it has: it gives them, and may ask for others.

        `begun` are the bytes that it has of each part: a part of which it lacks only some is
        asked for outside by itself, before others ask for the whole.
        """
        self._have[host] = set(have)
        self._begun[host] = dict(begun or {})

    def lacks(self, host: str) -> set[int]:
        """The parts that a host has yet to get."""
        return set(range(self.parts)) - self._have[host]

    def assign(self, waiting: Iterable[str]) -> dict[str, Transfer | Exhausted]:
        """What those of the `waiting` hosts that can go on should do now.

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
        """A host got further parts than it was told to."""
        self._have[host].update(parts)

    def done(self, transfer: Transfer) -> None:
        """The receiver has the part, verified, and may give it on."""
        self._under_way.remove(transfer)
        self._have[transfer.receiver].add(transfer.part)

    def failed(self, transfer: Transfer, why: str, *, final: bool = False) -> None:
        """The receiver did not get it, and asks this sender no more.

        Nobody does where the failure is `final`, or where two receivers had the same experience:
        one may itself be what is broken.
        """
        self._under_way.remove(transfer)
        self._failed[transfer.receiver, transfer.sender] = why
        complaints = [who for who, sender in self._failed if sender == transfer.sender]
        if final or len(complaints) > 1:
            self._given_up[transfer.sender] = why

    def remove(self, host: str) -> None:
        """A host is gone, also in the middle of a transfer: it neither gets nor gives."""
        self._under_way = [each for each in self._under_way if each.receiver != host]
        self._have.pop(host, None)
        self._begun.pop(host, None)

    def _from_outside(self, host: str, lacks: set[int]) -> Transfer | None:
        if not self._may_ask(host, HUB):
            return None
        if self.peers and not self._free(HUB):
            return None  # few at a time: the first is handed on the sooner
        fetched = {each.part for each in self._under_way if each.sender == HUB}
        own = self._begun[host]
        missing = lacks - (fetched if self.peers else set())
        for part in sorted(missing, key=lambda part: (-own.get(part, 0), part)):
            if not self._givers(host, part) and not self._kept_for_another(host, part):
                return Transfer(part, host, HUB)
        return None

    def _kept_for_another(self, host: str, part: int) -> bool:
        """Whether a host that has more of the part from outside is to go on with it."""
        if not self.peers:
            return False
        own = self._begun[host].get(part, 0)
        return any(
            begun.get(part, 0) > own
            and part not in self._have[other]
            and self._may_ask(other, HUB)
            and self._may_ask(host, other)
            for other, begun in self._begun.items()
            if other != host
        )

    def _from_a_peer(self, host: str, lacks: set[int]) -> Transfer | None:
        offers = [
            (self._copies(part), -len(self._have[giver]), part, giver)
            for part in lacks
            for giver in self._givers(host, part)
            if self._free(giver)
        ]
        if not offers:
            return None
        # The rarest first, and from the one that has the most.
        _, _, part, giver = min(offers)
        return Transfer(part, host, giver)

    def _free(self, sender: str) -> bool:
        return sum(each.sender == sender for each in self._under_way) < self.at_once

    def _copies(self, part: int) -> int:
        under_way = sum(each.part == part for each in self._under_way)
        return under_way + sum(part in have for have in self._have.values())

    def _givers(self, host: str, part: int) -> list[str]:
        if not self.peers:
            return []
        return [
            giver
            for giver, have in self._have.items()
            if giver != host and part in have and self._may_ask(host, giver)
        ]

    def _may_ask(self, host: str, sender: str) -> bool:
        return (host, sender) not in self._failed and sender not in self._given_up

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
        return list(dict.fromkeys([*own, *self._given_up.values()]))
