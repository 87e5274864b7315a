"""Find which boxes and fronts of an inventory's file show their signals to a monitor, and where.

Import it when a command runs, not before: pyinfra_cli patches the standard library.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pyinfra.api.host import Host

from fortyninety.fleet.inventory import choose_hosts
from fortyninety.fleet.watched import watched_of
from fortyninety.monitoring.watched import WatchedBox
from fortyninety.problem import Problem


def watched_boxes(inventory: str, limit: Iterable[str]) -> tuple[list[WatchedBox], list[Problem]]:
    """The boxes and fronts that can be watched, in the inventory's order, and why others cannot.

    Nothing is connected to. Raises InventoryUnusable.
    """
    chosen = choose_hosts(inventory, limit)
    data = {host.name: _data(host) for host in chosen.state.inventory}
    boxes, problems = watched_of(data, {host.name: its for host, its in chosen.settings.items()})
    return boxes, [*chosen.problems, *problems]


def _data(host: Host) -> dict[str, Any]:
    data: dict[str, Any] = host.data.dict()  # type: ignore[no-untyped-call]
    return data
