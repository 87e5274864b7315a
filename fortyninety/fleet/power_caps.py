"""Try power caps on a host, and put back those that it had, whatever happens.

Import it when a command runs, not before: pyinfra_cli patches the standard library.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from pyinfra.api.host import Host

from fortyninety.connection.lease import RunLeases
from fortyninety.connection.shell import HostLost, attempt
from fortyninety.lease import new_claim
from fortyninety.load.cap_sweep import (
    QUERY,
    RELEASING,
    RENEWAL,
    RENEWING,
    Cap,
    guarding,
    read_caps,
    refused,
    setting,
)

# Sets a cap on every card.
Capping = Callable[[int], None]


class CapsUntouched(Exception):
    """Why no cap was set, in one line: "power caps are ..."."""


class CapsLeft(Exception):
    """Why the caps may not be what they were, in one line: "power caps are ..."."""


@contextmanager
def caps_tried(host: Host, wanted: Sequence[int]) -> Iterator[Capping]:
    """What sets a cap on every card of the host, under its lease; the old ones come back after it.

    Where this program ends before, the host puts them back itself within five minutes. Raises
    CapsUntouched before anything is changed, and CapsLeft where the old ones are not back.
    """
    leases = RunLeases(new_claim("bench"), [host])
    if (obstacle := leases.obstacle(host)) is not None:
        raise CapsUntouched(f"not to be changed: {obstacle}")
    try:
        caps = _caps(host)
        if (why := refused(caps, wanted)) is not None:
            raise CapsUntouched(f"not tried: {why}")
        if (said := _failure(host, guarding(caps))) is not None:
            raise CapsUntouched(f"not guarded by the host itself ({said})")
        over = threading.Event()
        keeper = threading.Thread(target=_renew, args=(host, over), daemon=True)
        keeper.start()
        try:
            yield lambda watts: _set(host, caps, watts, leases)
        finally:
            over.set()
            keeper.join()
            _put_back(host, caps)
    finally:
        leases.give_back()


def _caps(host: Host) -> tuple[Cap, ...]:
    _, output = attempt(host, QUERY)
    caps = read_caps("\n".join(output.stdout_lines))
    if caps is None:
        raise CapsUntouched("not known: nvidia-smi shows no card that has one")
    return caps


def _set(host: Host, caps: Sequence[Cap], watts: int, leases: RunLeases) -> None:
    if (obstacle := leases.obstacle(host)) is not None:
        raise CapsLeft(f"no longer to be changed: {obstacle}")
    if (said := _failure(host, setting(caps, watts))) is not None:
        raise CapsLeft(f"not {watts} W: {said}")


def _put_back(host: Host, caps: Sequence[Cap]) -> None:
    try:
        said = _failure(host, setting(caps))
        if said is None and _caps(host) == caps:
            _failure(host, RELEASING)
            return
    except (HostLost, CapsUntouched) as lost:
        said = str(lost)
    raise CapsLeft(
        f"not put back yet ({said or 'they are others now'}): the host does it within five minutes"
    )


def _renew(host: Host, over: threading.Event) -> None:
    """Keep the host from putting the caps back while they are tried."""
    while not over.wait(RENEWAL):
        try:
            attempt(host, RENEWING)
        except HostLost:
            return


def _failure(host: Host, command: str) -> str | None:
    """What a command said that failed; None where it did not."""
    done, output = attempt(host, command)
    if done:
        return None
    return " ".join((output.stderr or output.stdout).split())[:200] or "it failed"
