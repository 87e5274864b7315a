"""How the hosts of one run come to one exchange of their snapshot."""

from __future__ import annotations

from collections.abc import Iterable

import gevent
import pytest
from gevent.event import Event
from pyinfra.api.config import Config
from pyinfra.api.host import Host
from pyinfra.api.inventory import Inventory
from pyinfra.api.state import State

from fortyninety import fleet_snapshot
from fortyninety.engine_card import load_engine_card
from fortyninety.facts.survey import HostState
from fortyninety.plan import make_plan
from tests.unit.readings import bare_host, settings


def test_no_host_goes_ahead_before_it_is_known_which_others_lack_the_snapshot(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Reading the hosts takes seconds: what those have would leave the hub once more."""
    state = State(Inventory((["box1", "box2", "box3"], {})), Config())
    chosen = settings()
    plan = make_plan(chosen, load_engine_card(chosen.engine), bare_host())
    were_read = Event()

    def read(_: State, hosts: Iterable[Host]) -> dict[Host, HostState]:
        were_read.wait()
        return {
            host: bare_host(snapshot="whole" if host.name == "box3" else None) for host in hosts
        }

    monkeypatch.setattr(fleet_snapshot, "plans_of", lambda _: dict.fromkeys(state.inventory, plan))
    monkeypatch.setattr(fleet_snapshot, "current_states", read)
    early, late = (gevent.spawn(fleet_snapshot._exchange, state, plan) for _ in range(2))
    gevent.idle()
    assert not early.ready()
    assert not late.ready()
    were_read.set()
    (exchange, allowed), (the_same, _) = early.get(timeout=10), late.get(timeout=10)
    assert the_same is exchange
    assert allowed == ["box1", "box2", "box3"]
    assert exchange._expected == {"box1", "box2"}
    assert set(exchange._whole) == {"box3"}
