"""The snapshot of the hosts of one pyinfra run: which of them take part, and how they are told."""

from __future__ import annotations

import json
import shlex
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from weakref import WeakKeyDictionary

from gevent.event import AsyncResult
from pyinfra import logger
from pyinfra.api.host import Host
from pyinfra.api.output import format_text
from pyinfra.api.state import State

from fortyninety.current_state import forget_state
from fortyninety.deadlines import SNAPSHOT
from fortyninety.handing_on import Exhausted
from fortyninety.host_shell import HostLost, shell
from fortyninety.hub import token_of
from fortyninety.made_once import made_once
from fortyninety.plan import Plan
from fortyninety.run import current_states, plans_of
from fortyninety.snapshot_exchange import LOCAL, Exchange, Settled, Source, StepFailed

# Seconds between two lines of progress for a host, on a terminal.
PROGRESS_INTERVAL = 5.0

_exchanges: WeakKeyDictionary[State, dict[tuple[object, ...], AsyncResult]] = WeakKeyDictionary()


class HostMember:
    """A host of the run, told by its SSH connection."""

    def __init__(self, host: Host, plan: Plan) -> None:
        self.host = host
        self.name = host.name
        self.address = peer_address(host, plan)
        self._command = (
            f"{shlex.quote(plan.paths.tools)}/bin/python {shlex.quote(plan.paths.snapshot_program)}"
        )

    def step(self, command: str, request: dict[str, Any]) -> dict[str, Any]:
        """Run a step of the program, with its request on standard input: it may hold a secret.

        Raises StepFailed, also where the connection is gone.
        """
        try:
            output = shell(
                self.host,
                f"{self._command} {command}; echo $?",
                timeout=SNAPSHOT,
                _stdin=json.dumps(request),
            )
        except HostLost as lost:
            raise StepFailed(LOCAL, str(lost)) from lost
        *answer, code = output.stdout_lines or [""]
        if code != "0":
            said = " ".join(output.stderr.split()) or "the connection ended in the middle"
            raise StepFailed(int(code) if code.isdigit() else LOCAL, said)
        found: dict[str, Any] = json.loads(answer[-1])
        return found


def peer_address(host: Host, plan: Plan) -> str:
    """Where the other hosts reach this one."""
    address: str = plan.settings.peer_address or host.data.get("ssh_hostname") or host.name
    return address


def supply(state: State, host: Host) -> bool:
    """Bring the snapshot to `host`, together with the others of the run that lack it.

    False, with the reason logged, where it does not get there.
    """
    plan = plans_of(state)[host]
    exchange, allowed = _exchange(state, plan)
    try:
        with _progress(host, plan, exchange):
            size = exchange.supply(HostMember(host, plan), _settled(plan), allowed)
    except (StepFailed, Exhausted) as failed:
        repository = plan.settings.model_repository
        logger.error(f"{host.print_prefix}{format_text(f'{repository}: {failed}', 'red')}")
        return False
    finally:
        # It was read in the middle, by whoever looked for hosts that have the snapshot.
        forget_state(host)
    _say(host, f"published {plan.settings.model_revision}: {size / 1e9:.2f} GB")
    return True


def _exchange(state: State, plan: Plan) -> tuple[Exchange, list[str]]:
    """The exchange of all hosts of the run that are to have the same, with their addresses."""
    key = _key(plan)
    alike = {
        host: each
        for host, each in plans_of(state).items()
        if _key(each) == key and host not in state.failed_hosts
    }
    # Whoever comes while the first one still reads hosts waits: it is not known before which others
    # lack the snapshot, and what those have of it would leave the hub once more.
    exchange = made_once(_exchanges.setdefault(state, {}), key, lambda: _new_exchange(state, alike))
    return exchange, [peer_address(host, each) for host, each in alike.items()]


def _new_exchange(state: State, alike: dict[Host, Plan]) -> Exchange:
    """The exchange among hosts that are to have the same: those that have it give."""
    settings = next(iter(alike.values())).settings
    hosts = {host.name: host for host in alike}
    exchange = Exchange(
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
        report=lambda name, line: _say(hosts[name], line),
    )
    readings = current_states(state, alike)
    whole = {host for host, reading in readings.items() if reading.snapshot == "whole"}
    exchange.expect(host.name for host in alike if host not in whole)
    for host in whole if settings.snapshot_peers else ():
        exchange.add_giver(HostMember(host, alike[host]), _settled(alike[host]))
    return exchange


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


def _settled(plan: Plan) -> Settled:
    return Settled(plan.paths.models, plan.paths.second_copy)


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
            try:
                output = shell(host, f"du -scb {folders} 2>/dev/null | tail -n 1 | cut -f 1")
            except HostLost:
                continue
            here, whole = int(output.stdout or 0), exchange.size
            if whole and before is not None and here > before:
                rate = (here - before) / PROGRESS_INTERVAL
                left = max(0, whole - here) / rate
                _say(
                    host,
                    f"{here / 1e9:.1f} of {whole / 1e9:.1f} GB, {rate / 1e6:.0f} MB/s, "
                    f"{left / 60:.0f} min left",
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
