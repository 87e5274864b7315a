"""Take the leases of all hosts of a run together, before the first change on any of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from weakref import WeakKeyDictionary

from gevent.event import AsyncResult
from pyinfra.api.host import Host
from pyinfra.api.state import State

from fortyninety.connection.shell import conversation
from fortyninety.lease import Channel, Claim, Lease, Refused, new_claim, take_all
from fortyninety.once import made_once
from fortyninety.survey.latest import remembered_reading


class RunLeases:
    """The leases of the hosts of a run; without any, why there are none."""

    def __init__(self, claim: Claim, hosts: Iterable[Host]) -> None:
        self._claim = claim
        self._leases: dict[str, Lease] = {}
        self._refused: dict[str, str] = {}
        hosts = list(hosts)
        try:
            self._leases = take_all({host.name: opener(host) for host in hosts}, claim)
        except Refused as refused:
            self._refused = refused.reasons
            return
        # The plan was made for the host as it was read.
        if changed := [host.name for host in hosts if self._changed_since_read(host)]:
            self.give_back()
            self._refused = dict.fromkeys(changed, "somebody else changed it since it was read")

    @property
    def run(self) -> str:
        """What tells the run from others, on the hosts too."""
        return self._claim.run

    @property
    def refused(self) -> dict[str, str]:
        """Why no lease was taken on any host, by host; empty where all were."""
        return self._refused

    def obstacle(self, host: Host) -> str | None:
        """Why the host may not be changed, or no longer; None while it may."""
        if self._refused:
            return self._not_begun(host)
        lease = self._leases.get(host.name)
        return "it has no lease in this run" if lease is None else lease.lost()

    def take_again(self, host: Host) -> str | None:
        """Take the lease of a host that has rebooted; why not, or None."""
        try:
            taken = take_all({host.name: opener(host)}, self._claim)
        except Refused as refused:
            return refused.reasons.get(host.name, "its lease could not be taken")
        self._leases.update(taken)
        return None

    def give_back(self) -> None:
        """Free every host."""
        for lease in self._leases.values():
            lease.give_back()

    def _changed_since_read(self, host: Host) -> bool:
        """Whether another run had the host's lease between this run's reading of it and now."""
        reading = remembered_reading(host)
        if reading is None or not reading.readable:
            return False
        last = reading.lease.holder
        before = self._leases[host.name].before
        return reading.lease.held or before != (last.run if last else "")

    def _not_begun(self, host: Host) -> str:
        others = "; ".join(f"{name}: {why}" for name, why in self._refused.items())
        why = self._refused.get(host.name) or f"not without the others ({others})"
        return (
            f"not begun: {why}. Nothing was changed on any host. Run this again when it is done; "
            "where that run hangs, end its lease by `fortyninety unlock`"
        )


_runs: WeakKeyDictionary[State, AsyncResult] = WeakKeyDictionary()


def obstacle(host: Host) -> str | None:
    """Why an operation may not change the host; None while it may.

    The first call of a run takes the leases of all of its hosts.
    """
    return take(host.state).obstacle(host)


def take(state: State, what: str = "deploy") -> RunLeases:
    """The leases of the hosts of a run, taken by the first call; `what` is being done there."""
    return made_once(_runs, state, lambda: _take(state, what))


def is_begun(state: State) -> bool:
    """Whether a run has, or had, the leases of its hosts. Takes none."""
    return state in _runs and not _runs[state].get().refused


def run_of(host: Host) -> str:
    """What tells the run of a host from others, as the holder of its lease says it there."""
    return take(host.state).run


def take_again(host: Host) -> str | None:
    """Take the lease of a host of the run that has rebooted; why not, or None."""
    leases: RunLeases = _runs[host.state].get()
    return leases.take_again(host)


def _take(state: State, what: str) -> RunLeases:
    return RunLeases(new_claim(what), state.inventory.get_active_hosts())


def opener(host: Host) -> Callable[[str], Channel]:
    """What opens a channel to a host, for the program that holds a lease."""
    return partial(conversation, host)
