"""Choose which hosts of a run take part in an exchange of the snapshot, and tell them.

A host's part is done while its operation waits, or is begun before and waited for by a later one.
"""

from __future__ import annotations

import shlex
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from weakref import WeakKeyDictionary

import gevent
from gevent import Greenlet
from gevent.event import AsyncResult
from pyinfra import logger
from pyinfra.api.host import Host
from pyinfra.api.state import State

from fortyninety.connection.doing import doing
from fortyninety.fleet.checkpoints import files_of, known_files
from fortyninety.fleet.member import HostMember, bytes_here, peer_address
from fortyninety.fleet.run import plans_of
from fortyninety.model.distribution import Exhausted
from fortyninety.model.exchange import Exchange, Source
from fortyninety.model.file_list import FileListUnknown
from fortyninety.model.questions import token_of
from fortyninety.model.steps import Folders, StepFailed
from fortyninety.once import made_once
from fortyninety.operations.converge import say_failed
from fortyninety.plan.plan import Plan
from fortyninety.survey.latest import forget_reading, remembered_reading

# Seconds between two lines of progress for a host, on a terminal.
PROGRESS_INTERVAL = 5.0

_exchanges: WeakKeyDictionary[State, dict[tuple[object, ...], AsyncResult]] = WeakKeyDictionary()
# What was begun on each host, and why it did not get there: None where it did.
_begun: WeakKeyDictionary[State, dict[Host, Greenlet]] = WeakKeyDictionary()


def begin(state: State, host: Host) -> bool:
    """Begin to bring the snapshot to `host` while other operations are at work; True at once.

    `supply` waits for it, and says what came of it.
    """
    _begun.setdefault(state, {})[host] = gevent.spawn(_in_its_own_name, state, host)
    return True


def is_under_way(host: Host) -> bool:
    """Whether the snapshot of `host` was begun and nobody has waited for it in `supply` yet."""
    return host in _begun.get(host.state, {})


def wait_for_begun(state: State, host: Host) -> bool:
    """Wait until what was begun on `host` has ended, well or not: `supply` says which. True."""
    if is_under_way(host):
        _wait(host, _begun[state][host])
    return True


def supply(state: State, host: Host) -> bool:
    """Bring the snapshot to `host`, together with the others of the run that lack it.

    Waits where that was begun before. False, with the reason logged, where it does not get there.
    """
    if is_under_way(host):
        failure = _wait(host, _begun[state][host])
        del _begun[state][host]
    else:
        failure = _brought(state, host)
    if failure is not None:
        say_failed(host, f"{plans_of(state)[host].settings.model_repository}: {failure}")
    return failure is None


def _wait(host: Host, begun: Greenlet) -> Exception | None:
    if not begun.dead:
        _say(host, "waiting for the snapshot, which is still on its way")
    failure: Exception | None = begun.get()
    return failure


def _in_its_own_name(state: State, host: Host) -> Exception | None:
    """As `_brought`; what is late or lost meanwhile is not the operation that is at work."""
    with doing("the snapshot's fetch"):
        return _brought(state, host)


def _brought(state: State, host: Host) -> Exception | None:
    """Bring the snapshot to `host`; why it did not get there, or None."""
    plan = plans_of(state)[host]
    try:
        exchange = _exchange(state, plan)
        with _progress(host, plan, exchange):
            exchange.supply(HostMember(host, plan), _folders(plan), empty=_empty(host, plan))
    except (StepFailed, Exhausted, FileListUnknown) as failed:
        return failed
    finally:
        # Somebody may have read it in the middle.
        forget_reading(host)
    _say(host, f"published {plan.settings.model_revision}: {exchange.size / 1e9:.2f} GB")
    return None


def _exchange(state: State, plan: Plan) -> Exchange:
    """The exchange of all hosts of the run that are to have the same. Raises FileListUnknown."""
    key = _key(plan)
    alike = {
        host: each
        for host, each in plans_of(state).items()
        if each.has_engine and _key(each) == key and host not in state.failed_hosts
    }
    # Made once, by whoever comes first.
    return made_once(_exchanges.setdefault(state, {}), key, lambda: _new_exchange(alike))


def _new_exchange(alike: dict[Host, Plan]) -> Exchange:
    """The exchange among hosts that are to have the same: those that have it give."""
    settings = next(iter(alike.values())).settings
    hosts = {host.name: host for host in alike}
    exchange = Exchange(
        known_files(files_of(settings)),
        Source(
            settings.model_repository,
            settings.model_revision,
            settings.hub_endpoint,
            token_of(settings),
            settings.snapshot_source,
        ),
        peers=settings.snapshot_peers,
        port=settings.peer_port,
        # rsync counts in KiB.
        rate=settings.peer_rate_limit and settings.peer_rate_limit * 10**6 // 1024,
        addresses=[peer_address(host, each) for host, each in alike.items()],
        report=lambda name, line: _say(hosts[name], line),
    )
    whole = {host for host, each in alike.items() if _whole(host, each)}
    lacking = {host: each for host, each in alike.items() if host not in whole}
    exchange.expect(
        (host.name for host in lacking),
        empty=[host.name for host, each in lacking.items() if _empty(host, each)],
    )
    for host in whole if settings.snapshot_peers else ():
        exchange.add_giver(HostMember(host, alike[host]), _folders(alike[host]))
    return exchange


# By what was read of a host last, though what this run did to it since made that stale: nobody but
# the exchange changes a snapshot, and who is taken for a giver by mistake the digests find out.


def _whole(host: Host, plan: Plan) -> bool:
    """Whether a host has the snapshot, and may give it."""
    reading = remembered_reading(host)
    return (
        reading is not None
        and reading.snapshot.published("snapshot", plan.snapshot_manifest) == "whole"
    )


def _empty(host: Host, plan: Plan) -> bool:
    """Whether it is certain that a host has no byte of the snapshot.

    What a second copy without a manifest has, is not in a reading.
    """
    reading = remembered_reading(host)
    return (
        reading is not None
        and reading.readable
        and reading.snapshot.absent
        and plan.paths.second_copy is None
    )


def _key(plan: Plan) -> tuple[object, ...]:
    settings = plan.settings
    return (
        settings.model_repository,
        settings.model_revision,
        settings.hub_endpoint,
        settings.snapshot_source,
        settings.snapshot_peers,
        settings.peer_port,
    )


def _folders(plan: Plan) -> Folders:
    return Folders(plan.paths.models, plan.paths.second_copy)


@contextmanager
def _progress(host: Host, plan: Plan, exchange: Exchange) -> Iterator[None]:
    """On a terminal, a line every few seconds that says how much of it is there."""
    if not sys.stderr.isatty():
        yield
        return
    stopped = threading.Event()
    revision = plan.settings.model_revision
    folders = " ".join(
        shlex.quote(f"{plan.paths.models}/.{kind}-{revision}") for kind in ("partial", "incoming")
    )

    def show() -> None:
        before = None
        while not stopped.wait(PROGRESS_INTERVAL):
            here = bytes_here(host, folders)
            if here is None:
                continue
            if before is not None and before < here <= exchange.size:
                rate = (here - before) / PROGRESS_INTERVAL
                _say(
                    host,
                    f"{here / 1e9:.1f} of {exchange.size / 1e9:.1f} GB, {rate / 1e6:.0f} MB/s, "
                    f"{(exchange.size - here) / rate / 60:.0f} min left",
                )
            before = here

    thread = threading.Thread(target=show, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stopped.set()
        thread.join()


def _say(host: Host, line: str) -> None:
    logger.info(f"{host.print_prefix}{line}")
