"""A monitor: it hears every box, its rules are in force, and nobody elsewhere hears it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from testinfra.host import Host

from fortyninety.settings.model import Settings
from tests.host.conftest import FLEET
from tests.host.fronts import has_engine, is_front
from tests.host.inventory_bridge import Box
from tests.host.on_host import read

PROMETHEUS = "fortyninety-prometheus.service"
ALERTMANAGER = "fortyninety-alertmanager.service"
FOLDER = "/etc/fortyninety/monitor"
IDENTITY = f"{FOLDER}/monitor.pem"
WEBHOOK = f"{FOLDER}/webhook-url"
OF_A_BOX = {"fortyninety-node", "fortyninety-engine", "fortyninety-gateway"}
OF_A_FRONT = {"fortyninety-node", "fortyninety-front"}


def _asked(host: Host, port: int, path: str) -> dict[str, Any]:
    """What a page of loopback answers in JSON; why not, where it does not."""
    answer = read(host, "page", str(port), path)
    assert answer["status"] == 200, (
        f"port {port} of loopback answers {answer['status']} ({answer['text'][:200]}) to {path}; "
        f"expected 200. Look at `journalctl -u {PROMETHEUS} -u {ALERTMANAGER}`; deploy again"
    )
    found: dict[str, Any] = json.loads(answer["text"])
    return found


@pytest.fixture(scope="session")
def watched(box: Box, settings: Settings, request: pytest.FixtureRequest) -> dict[str, set[str]]:
    """The boxes and fronts of the inventory that show their signals, and the pages of each.

    A monitor that says how it is asks itself too.
    """
    found = {
        each.name: (OF_A_BOX if has_engine(each) else set())
        | (OF_A_FRONT if is_front(each) else set())
        for each in request.config.stash[FLEET].everyone
        if (has_engine(each) or is_front(each))
        and each.data.get("signals") is True
        and each.data.get("signals_port") is not None
        and each.data.get("gateway_certificate") is None
    }
    itself = {box.name: {"fortyninety-node"}} if settings.signals else {}
    return itself | found


def test_it_watches_and_passes_on_and_both_come_back_at_boot(host: Host) -> None:
    """Nobody is told of a box that burns."""
    for name in (PROMETHEUS, ALERTMANAGER):
        unit = host.service(name)
        assert unit.is_running and unit.is_enabled, (
            f"{name} is not enabled and active. Look at `systemctl status {name}`; deploy again"
        )


def test_every_box_is_asked(host: Host, settings: Settings, watched: dict[str, set[str]]) -> None:
    """A box that nobody asks raises no alert."""
    found = _asked(host, settings.monitor_port, "/api/v1/targets?state=active")
    asked: dict[str, set[str]] = {}
    for each in found["data"]["activeTargets"]:
        asked.setdefault(each["labels"].get("box", "?"), set()).add(each["labels"]["job"])
    missed = {name for name, pages in watched.items() if not asked.get(name, set()) >= pages}
    assert not missed and set(asked) <= set(watched), (
        f"{', '.join(sorted(asked)) or 'no box'} is asked; expected {', '.join(sorted(watched))}. "
        "Deploy again"
    )


def test_every_box_lets_it_in(host: Host, settings: Settings) -> None:
    """A certificate that boxes do not believe, or a port that is closed, looks like boxes gone."""
    found = _asked(host, settings.monitor_port, "/api/v1/targets?state=active")
    down = {
        each["labels"].get("box", "?"): str(each["lastError"])[:200]
        for each in found["data"]["activeTargets"]
        if each["health"] == "down" and each["labels"]["job"] == "fortyninety-node"
    }
    assert not down, (
        f"{'; '.join(f'{name}: {why}' for name, why in sorted(down.items()))}; expected every box "
        "to answer its monitor. Look at the box's gateway, its signals_port and "
        "signals_allowed_networks"
    )


def test_the_rules_on_disk_are_in_force(host: Host, settings: Settings) -> None:
    """An alert that was never loaded never fires."""
    found = _asked(host, settings.monitor_port, "/api/v1/rules")
    groups = found["data"]["groups"]
    wrong = [
        f"{rule['name']}: {rule['lastError']}"
        for group in groups
        for rule in group["rules"]
        if rule["health"] == "err"
    ]
    names = {rule["name"] for group in groups for rule in group["rules"]}
    on_disk = set(
        host.check_output(
            f"sed -n 's/^ *- *\\(alert\\|record\\): *//p' {FOLDER}/rules/*.yaml"
        ).splitlines()
    )
    assert not wrong and names == on_disk, (
        f"{'; '.join(wrong) or ', '.join(sorted(names ^ on_disk))[:300]} is wrong; expected the "
        f"{len(on_disk)} rules in {FOLDER}/rules. Deploy again"
    )


def test_alerts_find_their_way_to_who_passes_them_on(host: Host, settings: Settings) -> None:
    """An alert that fires is seen by nobody."""
    found = _asked(host, settings.monitor_port, "/api/v1/alertmanagers")
    urls = [each["url"] for each in found["data"]["activeAlertmanagers"]]
    expected = f"http://127.0.0.1:{settings.monitor_alerts_port}/"
    assert len(urls) == 1 and urls[0].startswith(expected), (
        f"alerts go to {urls}; expected {expected}. Deploy again"
    )
    _asked(host, settings.monitor_alerts_port, "/api/v2/status")


def test_nobody_elsewhere_is_answered(host: Host, settings: Settings) -> None:
    """Who is not known would see what every box serves, and could silence alerts."""
    for port in (settings.monitor_port, settings.monitor_alerts_port):
        lines = host.check_output(f"ss -Hltn 'sport = :{port}'").splitlines()
        where = {line.split()[3].rpartition(":")[0] for line in lines}
        assert where == {"127.0.0.1"}, (
            f"port {port} listens at {', '.join(sorted(where)) or 'nothing'}; expected 127.0.0.1. "
            "Deploy again"
        )


def test_its_key_and_where_alerts_go_are_nobody_elses(host: Host, settings: Settings) -> None:
    """Who has the key reads every box's metrics, and who has the URL writes alerts of his own."""
    secrets = [IDENTITY, *([WEBHOOK] if settings.alert_webhook_url_file else [])]
    for path in secrets:
        file = host.file(path)
        assert file.exists, f"{path} is missing. Deploy again"
        found = (f"{file.mode:o}", file.user, file.group)
        assert found == ("640", "root", "prometheus"), (
            f"{path} is {' '.join(found)}; expected 640 root prometheus. Deploy again"
        )
