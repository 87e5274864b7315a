"""Find what the monitors of a run watch, and what the controller gives them for it."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from pyinfra import logger
from pyinfra.api.host import Host
from pyinfra.api.state import State

from fortyninety.fleet.inventory_path import inventory_path
from fortyninety.fleet.watched import watched_of
from fortyninety.gateway.authority import FOR_FRONTS, MONITOR, authority_folder
from fortyninety.gateway.certificates import Believed, Issued
from fortyninety.monitoring.watched import WatchedBox
from fortyninety.monitoring.webhook import WebhookUnusable, webhook_url
from fortyninety.plan.monitor import Watch
from fortyninety.problem import Problem
from fortyninety.settings.model import Settings
from fortyninety.settings.parse import parse_settings


def watches_of(
    state: State, settings: Mapping[Host, Settings]
) -> tuple[dict[Host, Watch], list[Problem]]:
    """What each monitor of a run watches, and what is wrong with that.

    All boxes of the inventory that show their signals, also those that a limit leaves out of the
    run. Those that do not are only named: a monitor of some is better than none.
    """
    monitors = {host: each for host, each in settings.items() if each.is_monitor}
    if not monitors:
        return {}, []
    data = {host.name: _data(host) for host in state.inventory}
    boxes, problems = _boxes(data, {host.name for host in settings})
    names = {box.name for box in boxes}
    path = inventory_path(state)
    found: dict[Host, Watch] = {}
    for host, each in monitors.items():
        if not boxes and not problems:
            problems.append(_nobody(host))
        elif path is None:
            problems.append(_no_inventory(host))
        else:
            folder, file = authority_folder(path), each.alert_webhook_url_file
            read = None if file is None else partial(webhook_url, Path(file).expanduser())
            problems += _webhook_problems(host, read)
            found[host] = Watch(
                tuple(boxes),
                Issued(folder, path.stem, (MONITOR,), FOR_FRONTS),
                Believed(folder, path.stem),
                read,
                host.name if each.signals and host.name not in names else None,
            )
    return found, problems


def _boxes(
    data: Mapping[str, Mapping[str, Any]], known: set[str]
) -> tuple[list[WatchedBox], list[Problem]]:
    """The boxes that can be watched, and why it is not known of hosts outside of `known`."""
    settings: dict[str, Settings] = {}
    problems: list[Problem] = []
    for name, each in data.items():
        parsed = parse_settings(name, each)
        if isinstance(parsed, Settings):
            settings[name] = parsed
        elif name not in known:
            problems += parsed
    boxes, silent = watched_of(data, settings)
    for problem in silent:
        logger.warning(f"[{problem.host}] is not watched: {problem.subject} is {problem.found}")
    return boxes, problems


def _webhook_problems(host: Host, read: partial[str] | None) -> list[Problem]:
    try:
        if read is not None:
            read()
    except WebhookUnusable as error:
        return [
            Problem(
                host=host.name,
                subject="alert_webhook_url_file",
                found=str(error),
                expected="a file with one URL, which its owner alone may read",
            )
        ]
    return []


def _nobody(host: Host) -> Problem:
    return Problem(
        host=host.name,
        subject="roles",
        found="with 'monitor', and no box of the inventory shows its signals",
        expected="one with signals = True, a gateway and a signals_port",
        remedy="See docs/signals.md",
    )


def _no_inventory(host: Host) -> Problem:
    return Problem(
        host=host.name,
        subject="roles",
        found="with 'monitor', and the hosts come from no file",
        expected="an inventory file, beside which the fleet's authority is",
    )


def _data(host: Host) -> Mapping[str, Any]:
    data: dict[str, Any] = host.data.dict()  # type: ignore[no-untyped-call]
    return data
