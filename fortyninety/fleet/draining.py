"""Drain boxes of an inventory, and have them serve again, by the program that a deploy puts there.

Import it when a command runs, not before: pyinfra_cli patches the standard library.

Without the lease: maintenance does not wait for a deploy, and the program has a lock of its own.
"""

from __future__ import annotations

import json
import shlex
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from pyinfra.api.host import Host

from fortyninety.connection.shell import HostLost, attempt
from fortyninety.deadlines import UNIT
from fortyninety.facts.answers import number_of, read_object
from fortyninety.facts.history import Change, noting
from fortyninety.fleet.history import project
from fortyninety.fleet.inventory import choose_hosts
from fortyninety.fleet.limit import limited
from fortyninety.fleet.quiet import errors_alone
from fortyninety.lease import whoever_runs_this
from fortyninety.on_host.drain.state import Drained, parse
from fortyninety.on_host.drain.streams import UnderWay
from fortyninety.on_host.gateway_control import DRAINED
from fortyninety.plan.draining import Draining, draining_of
from fortyninety.settings.model import Settings
from fortyninety.survey.records import Unreadable
from fortyninety.text.printable import printable

# Seconds of one question for what is under way, between which somebody is told.
STEP = 5
NO_PROGRAM = "no deploy has put a gateway there that can be drained; deploy first"


@dataclass(frozen=True)
class BoxState:
    """How a box is: drained or not, whether its gateway runs and follows, and what is under way.

    Only `error` where that is not known, or it was not done.
    """

    host: str
    drained: Drained | None = None
    in_force: bool = False
    under_way: UnderWay | None = None
    error: str | None = None

    @property
    def is_busy(self) -> bool:
        """Whether something is under way there."""
        return self.under_way is not None and self.under_way.any


def drain(
    host: Host,
    settings: Settings,
    *,
    reason: str,
    seconds: int,
    wait: float,
    say: Callable[[BoxState, float], None],
) -> BoxState:
    """Drain a box, and wait `wait` seconds at most for what is under way; `say` hears of it."""
    draining = draining_of(settings)
    begin = draining.begin(reason, whoever_runs_this(), seconds)
    state = _asked(host, draining, _noted("drain", begin, reason))
    began, told = time.monotonic(), None
    while state.error is None and state.is_busy:
        if state.under_way != told:
            say(state, time.monotonic() - began)
            told = state.under_way
        left = wait - (time.monotonic() - began)
        if left <= 0:
            break
        state = _asked(host, draining, draining.wait_for(min(STEP, left)))
    return state


def undrain(host: Host, settings: Settings) -> BoxState:
    """Have a box serve again, whoever drained it."""
    draining = draining_of(settings)
    return _asked(host, draining, _noted("undrain", draining.end()))


def take_back(host: Host, settings: Settings) -> str | None:
    """Have a box take requests again that a deploy drained and did not come back to.

    Returns why it does not, or None. One that somebody else drained stays so until its moment.
    """
    command = f"[ ! -e {shlex.quote(str(DRAINED))} ] || {draining_of(settings).after_a_restart()}"
    try:
        succeeded, output = attempt(host, command, timeout=UNIT)
    except HostLost as lost:
        return f"lost: {lost}"
    return None if succeeded else _said(output)


def _noted(what: str, command: str, why: str = "") -> str:
    """The command, and a line in the host's journal where it changed how the box is."""
    change = Change(what, whoever_runs_this(), project(), "done", why, ("Gateway",), 1)
    return noting(command, str(DRAINED), change)


def state_of(host: Host, settings: Settings) -> BoxState:
    """How a box is."""
    draining = draining_of(settings)
    return _asked(host, draining, draining.status())


def lets_in(settings: Settings, *, fronts: bool) -> bool:
    """Whether there is a gateway on a host; `fronts` is whether the inventory has fronts."""
    return settings.has_engine and (settings.gateway or fronts)


def read_fleet(inventory: str, boxes: Iterable[str]) -> Fleet:
    """What the settings of an inventory say of its fronts and boxes. Connects to nothing.

    Raises InventoryUnusable.
    """
    with errors_alone():
        everyone = choose_hosts(inventory, ())
        named = limited(everyone.hosts, boxes)
    settings = {host.name: each for host, each in everyone.settings.items()}
    return Fleet(settings, frozenset(host.name for host in named))


@dataclass(frozen=True)
class Fleet:
    """The settings of the hosts of an inventory, and the names of those that are to be drained."""

    settings: Mapping[str, Settings]
    named: Collection[str]

    @property
    def has_fronts(self) -> bool:
        """Whether a host lets people in to boxes."""
        return any(each.is_front for each in self.settings.values())

    def others(self) -> dict[str, list[str]]:
        """Of each model that a front serves and a named box has, the boxes that are not named."""
        if not self.has_fronts:
            return {}
        boxes = {name: each.model_name for name, each in self.settings.items() if each.has_engine}
        models = {model for name, model in boxes.items() if name in self.named}
        return {
            model: [name for name, its in boxes.items() if its == model and name not in self.named]
            for model in sorted(models)
        }


def _asked(host: Host, draining: Draining, command: str) -> BoxState:
    missing = f"{{ echo {shlex.quote(NO_PROGRAM)} >&2; exit 1; }}"
    guarded = f"[ -x {shlex.quote(draining.program)} ] || {missing}; {command}"
    try:
        succeeded, output = attempt(host, guarded, timeout=UNIT)
    except HostLost as lost:
        return BoxState(host.name, error=f"lost: {lost}")
    if not succeeded:
        return BoxState(host.name, error=_said(output))
    try:
        return read_state(host.name, output.stdout_lines[-1] if output.stdout_lines else "")
    except Unreadable as unreadable:
        return BoxState(host.name, error=f"the host answered {unreadable}")


def _said(output: Any) -> str:
    said = " ".join((output.stderr or output.stdout).split()) or "the host gave no answer"
    return printable(said, 300)


def read_state(host: str, line: str) -> BoxState:
    """What the program's last line says. Raises Unreadable."""
    found = read_object(line)
    drained = found.get("drained")
    if drained is not None and (drained := parse(json.dumps(drained))) is None:
        raise Unreadable("until when it is drained, which cannot be understood")
    if type(in_force := found.get("in_force")) is not bool:
        raise Unreadable("not whether its gateway runs")
    return BoxState(host, drained, in_force, _under_way(found.get("open")))


def _under_way(found: Any) -> UnderWay:
    if not isinstance(found, dict):
        raise Unreadable("not what is under way")
    engine = {
        key: None if found.get(key) is None else number_of(found, key)
        for key in ("running", "waiting")
    }
    return UnderWay(number_of(found, "gateway"), engine["running"], engine["waiting"])
