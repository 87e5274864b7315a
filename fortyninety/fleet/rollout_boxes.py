"""Look at the boxes of a rollout, note their phases there, and hold the rollout's lease of them.

Import it when a command runs, not before: pyinfra_cli patches the standard library.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any

from pyinfra.api.exceptions import PyinfraError
from pyinfra.api.host import Host
from pyinfra.api.state import State

from fortyninety.connection.bounded import HostLost, bounded
from fortyninety.connection.lease import opener
from fortyninety.connection.shell import shell
from fortyninety.deadlines import COMPLETION
from fortyninety.facts.answers import number_of, read_object, text_of
from fortyninety.fleet.planning import on_each
from fortyninety.lease import Claim, Lease, Refused, take_all
from fortyninety.plan.gateway import asks_by_key
from fortyninety.plan.instance import GATEWAY
from fortyninety.plan.paths import GATEWAY_FOLDER, ROLLOUT_RECORD, SERVICE, SERVICE_UNIT
from fortyninety.plan.plan import Plan
from fortyninety.plan.programs import ASK_GATEWAY, COMPLETE, ROLLED_OUT, program
from fortyninety.rollout.capacity import Load
from fortyninety.rollout.record import Record, read_record
from fortyninety.rollout.seen import NOTHING, BoxSeen
from fortyninety.survey.records import Unreadable, quoted


class Boxes:
    """The boxes of a rollout by name, in the inventory's order."""

    def __init__(self, state: State, plans: Mapping[Host, Plan]) -> None:
        self._state = state
        self.plans = {host.name: plan for host, plan in plans.items()}
        self._hosts = {host.name: host for host in plans}
        self._claim: Claim | None = None
        self._leases: dict[str, Lease] = {}

    def hold(self, claim: Claim) -> None:
        """Hold the rollout's lease of every box. Raises Refused, which names who has it."""
        self._leases = take_all({name: opener(host) for name, host in self._hosts.items()}, claim)
        self._claim = claim

    def lost(self) -> str:
        """Whose lease was lost and cannot be had again, or nothing."""
        for name, lease in list(self._leases.items()):
            if lease.lost() is None or not _reached(self._hosts[name]):
                continue
            lease.give_back()
            try:
                assert self._claim is not None
                self._leases.update(take_all({name: opener(self._hosts[name])}, self._claim))
            except Refused as refused:
                return str(refused)
        return ""

    def give_back(self) -> None:
        """Let others have the boxes."""
        for lease in self._leases.values():
            lease.give_back()

    def look(self, names: Iterable[str]) -> dict[str, BoxSeen]:
        """How these boxes are, asked side by side."""
        found = on_each(self._state, [self._hosts[name] for name in names], self._look)
        return {host.name: seen for host, seen in found.items()}

    def answering(self, names: Iterable[str]) -> dict[str, str]:
        """Why each of these boxes does not answer, "" where it does."""
        found = on_each(self._state, [self._hosts[name] for name in names], self._asked_both_ways)
        return {host.name: why for host, why in found.items()}

    def note(self, records: Mapping[str, Record]) -> dict[str, str]:
        """Have boxes note what they are in; why one could not, by its name."""
        hosts = [self._hosts[name] for name in records]
        found = on_each(self._state, hosts, lambda host: _note(host, records[host.name]))
        return {host.name: why for host, why in found.items() if why}

    def _look(self, host: Host) -> BoxSeen:
        plan = self.plans[host.name]
        settings = plan.settings
        ports = [
            *(() if plan.headless else ("--port", str(settings.port))),
            *(("--status-port", str(settings.gateway_status_port)) if settings.gateway else ()),
        ]
        arguments = ["look", "--record", ROLLOUT_RECORD, "--unit", SERVICE_UNIT, *ports]
        try:
            answer = _ask(host, ROLLED_OUT, arguments)
            seen = read_box(answer, settings.max_num_seqs)
        except HostLost as lost:
            return BoxSeen(why=str(lost), lost=True)
        except Unreadable as unreadable:
            return BoxSeen(why=f"the box answered {unreadable}")
        why = self._asked(host, text_of(answer, "model"))
        return replace(seen, answers=not why, why=why)

    def _asked_both_ways(self, host: Host) -> str:
        """Ask the engine, and its gateway as somebody with a key; why one does not answer."""
        return self._asked(host, None) or self._asked_by_key(host)

    def _asked_by_key(self, host: Host) -> str:
        """Ask the gateway, where people are let in by it; why it does not answer, or nothing."""
        plan = self.plans[host.name]
        if plan.gateway is None or plan.headless or not asks_by_key(plan.settings):
            return ""
        arguments = ["--folder", GATEWAY_FOLDER, "--control", GATEWAY.control_socket]
        arguments += ["--port", str(plan.settings.gateway_port)]
        arguments += ["--model", plan.settings.model_name]
        try:
            answer = _ask(host, ASK_GATEWAY, arguments)
            if text_of(answer, "answer") is not None:
                return ""
            return f"the gateway: {text_of(answer, 'error') or 'no answer'}"
        except HostLost as lost:
            return str(lost)
        except Unreadable as unreadable:
            return f"the box answered {unreadable}"

    def _asked(self, host: Host, model: str | None) -> str:
        """Ask the engine itself; why it does not answer, or nothing."""
        plan = self.plans[host.name]
        arguments = ["--port", str(plan.settings.port)]
        arguments += ["--model", model or plan.settings.model_name]
        if plan.headless:
            arguments += ["--headless", "--unit", SERVICE]
        try:
            answer = _ask(host, COMPLETE, arguments)
            if text_of(answer, "answer") is not None:
                return ""
            return text_of(answer, "error") or "no answer"
        except HostLost as lost:
            return str(lost)
        except Unreadable as unreadable:
            return f"the box answered {unreadable}"


def read_box(answer: Mapping[str, Any], max_requests: int) -> BoxSeen:
    """What the program on a box says. Raises Unreadable."""
    answer = dict(answer)
    noted = answer.get("noted")
    measured, load, ready = NOTHING, None, None
    if (engine := _object(answer, "engine")) is not None:
        measured = replace(
            NOTHING,
            requests=number_of(engine, "requests"),
            failed=number_of(engine, "failed"),
            gaps=number_of(engine, "gaps"),
            gap_seconds=_decimal(engine, "gap_seconds", 1e12),
        )
        load = Load(
            number_of(engine, "running") + number_of(engine, "waiting"),
            max_requests,
            _decimal(engine, "kv_used", 1.0),
            number_of(engine, "kv_tokens"),
        )
    if (gateway := _object(answer, "gateway")) is not None:
        ready = gateway.get("ready") is True
        if requests := number_of(gateway, "requests"):
            # What its clients were told, whatever the engine thinks of it.
            failed = number_of(gateway, "failed")
            measured = replace(measured, requests=requests, failed=failed)
    return BoxSeen(
        configuration=text_of(answer, "configuration"),
        gateway_ready=ready,
        record=read_record(noted) if isinstance(noted, str) else None,
        measured=measured,
        load=load,
    )


def _object(answer: dict[str, Any], key: str) -> dict[str, Any] | None:
    found = answer.get(key)
    if found is not None and not isinstance(found, dict):
        raise Unreadable(f"{key} {quoted(repr(found))}; expected an object")
    return found


def _decimal(answer: dict[str, Any], key: str, most: float) -> float:
    found = answer.get(key)
    if isinstance(found, bool) or not isinstance(found, int | float) or not 0 <= found <= most:
        raise Unreadable(f"{key} {quoted(repr(found))}; expected a number")
    return float(found)


def _note(host: Host, record: Record) -> str:
    try:
        answer = _ask(
            host, ROLLED_OUT, ["note", "--record", ROLLOUT_RECORD, "--text", record.text()]
        )
        return text_of(answer, "error") or ""
    except (HostLost, Unreadable) as why:
        return str(why)


def _ask(host: Host, name: str, arguments: Iterable[str]) -> dict[str, Any]:
    """What a program of this controller answers on a host. Raises HostLost and Unreadable."""
    if not _reached(host):
        raise HostLost("cannot be reached: there is no connection")
    output = shell(
        host, f"python3 - {shlex.join(arguments)}", timeout=COMPLETION, _stdin=program(name)
    )
    if not output.stdout_lines:
        raise Unreadable(" ".join(output.stderr.split())[:300] or "nothing")
    return read_object(output.stdout_lines[-1])


def _reached(host: Host) -> bool:
    """Whether the host is connected to, again where the connection ended."""
    transport = bounded(host).transport
    if host.connected and (transport is None or transport.is_active()):
        return True
    # Nothing is asked over a connection whose host may be gone, not even to tidy up.
    bounded(host).close()
    host.disconnect()
    with suppress(PyinfraError):
        host.connect(show_errors=False, raise_exceptions=True)
    return bool(host.connected)
