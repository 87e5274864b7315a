"""Ask every box of an inventory how it is, side by side, and wait for none that is silent.

Import it when a command runs, not before: pyinfra_cli patches the standard library.
"""

from __future__ import annotations

import json
import shlex
import time
from collections.abc import Iterable

import gevent
from gevent import Greenlet
from pyinfra.api.exceptions import ConnectError
from pyinfra.api.host import Host

from fortyninety.cell.membership import named_cell
from fortyninety.connection.bounded import HostChannel, bounded
from fortyninety.connection.host_keys import SETTING, STRICT
from fortyninety.connection.shell import conversation
from fortyninety.engine.metrics import WANTED
from fortyninety.engine.status.reading import LONGEST, Scrape, Unreadable, read_box
from fortyninety.engine.status.state import ASKED, UNREACHABLE, BoxStatus, Expected, status_of
from fortyninety.fleet.inventory import choose_hosts
from fortyninety.lease import ChannelLost
from fortyninety.plan.paths import GATEWAY_SERVICE, SERVICE, plan_paths
from fortyninety.plan.programs import BOX_STATUS, program
from fortyninety.problem import Problem
from fortyninety.releases.release import load_release

# Seconds that a box has to answer: far more than the program takes (its own bounds are 12 s).
PATIENCE = 15
# Seconds after which what a silent box said last is not shown any more.
STALE = 15
# Seconds between the two scrapes of a look that has none before it.
APART = 0.4
# Runs a program whose text comes as a line of JSON before its own input.
_FROM_A_LINE = "import json, sys; exec(json.loads(sys.stdin.readline()))"


class WatchedFleet:
    """The boxes of an inventory: each is asked by one program, that goes on, on one connection."""

    def __init__(
        self, inventory: str, limit: Iterable[str], patience: float = STALE, interval: float = 0
    ) -> None:
        """Choose the boxes, silent after `patience` seconds. Raises InventoryUnusable.

        They are looked at every `interval` seconds.
        """
        self._patience = patience
        # A program that is not asked by then has lost its controller.
        self._left_after = round(60 + 3 * interval)
        self._chosen = choose_hosts(inventory, limit)
        for host in self._chosen.state.inventory:
            if host.data.get(SETTING) is None:
                setattr(host.data, SETTING, STRICT)
            bounded(host)
        self._expected = {host: self._of(host) for host in self._chosen.settings}
        self._asked: dict[Host, Greenlet] = {}
        self._programs: dict[Host, HostChannel] = {}
        self._earlier: dict[Host, Scrape] = {}
        self._latest: dict[Host, tuple[float, BoxStatus]] = {}
        self._began = time.monotonic()

    @property
    def problems(self) -> list[Problem]:
        """What is wrong with the settings of the boxes that are not asked."""
        return self._chosen.problems

    def look(self, seconds: float) -> list[BoxStatus]:
        """How the boxes are, in the inventory's order, after so many seconds at most."""
        # One that was silent the last time is waited for no more.
        fresh = [host for host in self._chosen.settings if host not in self._asked]
        self._asked |= {host: gevent.spawn(self._ask, host) for host in fresh}
        gevent.joinall([self._asked[host] for host in fresh], timeout=seconds)
        now = time.monotonic()
        for host in [host for host, asked in self._asked.items() if asked.ready()]:
            self._latest[host] = now, self._asked.pop(host).get()
        return [self._status(host, now) for host in self._chosen.settings]

    def close(self) -> None:
        """End every connection, also those on which a box is silent."""
        gevent.killall(list(self._asked.values()), block=False)
        for host in self._chosen.settings:
            if host.connected:
                bounded(host).disconnect()

    def _status(self, host: Host, now: float) -> BoxStatus:
        """What the box said last, unless it is silent for long; that it is asked before it did."""
        when, status = self._latest.get(host, (self._began, None))
        if host in self._asked and now - when > self._patience:
            return BoxStatus(host.name, UNREACHABLE, f"silent for {now - when:.0f} s")
        return BoxStatus(host.name, ASKED) if status is None else status

    def _ask(self, host: Host) -> BoxStatus:
        self._ended(host)
        earlier = self._earlier.get(host)
        try:
            if not host.connected:
                host.connect(show_errors=False, raise_exceptions=True)
            running = self._programs.get(host) or self._begun(host)
            running.write(str(0 if earlier else APART))
            line = running.read(PATIENCE, LONGEST + 1)
        except ConnectError as error:
            return self._lost(host, " ".join(str(error).split())[:200])
        except ChannelLost as lost:
            if self._ended(host):
                return BoxStatus(
                    host.name, UNREACHABLE, f"its answer cannot be read: {str(lost)[:200]}"
                )
            return self._lost(host, str(lost))
        return self._read(host, line, earlier)

    def _begun(self, host: Host) -> HostChannel:
        """The program that answers, once it is begun. Raises ChannelLost."""
        running = conversation(host, self._command(host))
        self._programs[host] = running
        running.write(json.dumps(program(BOX_STATUS)))
        return running

    def _ended(self, host: Host) -> bool:
        """Whether the program ended though its connection stands; the next one is begun anew."""
        transport = bounded(host).transport
        running = self._programs.get(host)
        if running is None or transport is None or not transport.is_active():
            return False
        if ended := running.ended():
            del self._programs[host]
            self._earlier.pop(host, None)
            running.close()
        return ended

    def _read(self, host: Host, line: str, earlier: Scrape | None) -> BoxStatus:
        try:
            reading = read_box(line)
        except Unreadable as unreadable:
            return self._lost(host, f"its answer cannot be read: {unreadable}")
        if reading.scrapes:
            self._earlier[host] = reading.scrapes[-1]
        else:
            self._earlier.pop(host, None)
        return status_of(host.name, reading, self._expected[host], earlier)

    def _lost(self, host: Host, why: str) -> BoxStatus:
        """That it cannot be reached; it is connected to anew next time."""
        self._earlier.pop(host, None)
        self._programs.pop(host, None)
        bounded(host).close()
        host.connected = False
        return BoxStatus(host.name, UNREACHABLE, why)

    def _command(self, host: Host) -> str:
        settings = self._chosen.settings[host]
        paths = plan_paths(settings, load_release(settings.engine))
        asked = {
            "unit": SERVICE,
            "port": settings.port,
            "metrics": sorted(WANTED),
            "engine": paths.current_engine,
            "snapshot": paths.current_snapshot,
            "failure": paths.engine_failure,
            "gateway": GATEWAY_SERVICE if settings.gateway or settings.is_front else "",
            "left_after": self._left_after,
        }
        # Neither the environment nor the packages of the box have a say in it, or take time.
        return shlex.join(["python3", "-I", "-S", "-c", _FROM_A_LINE, json.dumps(asked)])

    def _of(self, host: Host) -> Expected:
        settings = self._chosen.settings[host]
        if not settings.has_engine:
            return Expected(engine=False)
        head = next(
            (
                each
                for each in self._chosen.state.inventory
                if named_cell(each.data.dict()) == settings.cell  # type: ignore[no-untyped-call]
            ),
            host,
        )
        headless = settings.cell is not None and head is not host
        return Expected(cards=settings.gpu_count, headless=headless)
