"""A monitor: what really goes wrong on a box is told to a webhook, and that it is over too."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from fortyninety.gateway.authority import FOR_FRONTS, MONITOR, authority_folder
from fortyninety.gateway.certificates import Issued
from lab import hosts, paths, stages
from lab.hosts import LabHost
from tests.lab.breaking import named_and_mended
from tests.lab.converged_hosts import ONE_CARD, start_converged
from tests.lab.deploys import deploy, host_tests, write_inventory

# In CI its parts are kept by tests/unit/plan/test_monitor.py and tests/unit/monitoring.
pytestmark = [pytest.mark.lab, pytest.mark.exhaustive, pytest.mark.usefixtures("lab")]

SECRET = "T0K3N-of-the-webhook"
INVENTORY = """
from lab.inventory import inventory
roles = {{
    "lab1": {{"gateway": True, "signals": True, "signals_interval": 10, "signals_port": 9491}},
    "lab2": {{
        "roles": ["monitor"], "alert_webhook_url_file": {url_file!r},
        "signals": True, "signals_interval": 10,
    }},
}}
lab = [(name, {{**data, **roles[name]}}) for name, data in inventory()]
"""
WITHOUT = """
from lab.inventory import inventory
front = {"roles": ["gateway"], "signals": True, "signals_interval": 10}
lab = [(name, {**data, **(front if name != "lab1" else {})}) for name, data in inventory()]
"""
PROMETHEUS = "fortyninety-prometheus.service"
UNITS = f"{PROMETHEUS} fortyninety-alertmanager.service"
LEFT = (
    "ls -d /etc/fortyninety/monitor /etc/fortyninety/signals-monitor.pem "
    "/etc/systemd/system/fortyninety-prometheus.service "
    "/etc/systemd/system/fortyninety-alertmanager.service 2>/dev/null; "
    f"systemctl is-active {UNITS} | grep -x active; ss -Hltn 'sport = :9480 or sport = :9481'"
)
# A key that others read, a certificate that is said to be another, a rule that somebody took out,
# and nobody who passes alerts on.
BROKEN = (
    "chmod 644 /etc/fortyninety/monitor/monitor.pem; "
    "cp /etc/fortyninety/monitor/authority.pem /etc/fortyninety/signals-monitor.pem; "
    "sed -i 's/EngineHangs/EngineSleeps/' /etc/fortyninety/monitor/rules/engine.yaml; "
    "systemctl disable --now --quiet fortyninety-alertmanager.service"
)
NAMED = {
    "test_its_key_and_where_alerts_go": "monitor.pem is 644 root prometheus; expected 640",
    "test_it_shows_the_certificates_that_are_in_use": "signals-monitor.pem is another certificate",
    "test_the_rules_on_disk_are_in_force": "EngineHangs, EngineSleeps is wrong",
    "test_it_watches_and_passes_on": "fortyninety-alertmanager.service is not enabled and active",
}
DRIFT = (
    "monitor.pem has another mode or owner",
    "signals-monitor.pem has another content",
    "rules/engine.yaml has another content",
    "fortyninety-alertmanager.service is disabled",
)
# What takes days, cut to minutes in the rules of the monitor: the times alone.
RULES = "/etc/fortyninety/monitor/rules/box.yaml"
CUT = f"sed -i 's/for: 1h/for: 1m/; s/> 8 \\* 86400/> 300/' {RULES}; systemctl reload {{}}"
# Seconds beyond an alert's own: a reading, a scrape, an evaluation, the group's wait.
DELAY = 240
MINUTE = 60


@dataclass(frozen=True)
class Cause:
    """What goes wrong on a box, how it is put right, and the alert that says it after `seconds`."""

    alert: str
    how: str
    undo: str
    seconds: int


_SMI = "/usr/bin/nvidia-smi"


def _answering(change: str) -> str:
    """The command that has nvidia-smi answer as its card does, changed by this script of sed."""
    program = f'#!/bin/sh\\n{_SMI}.own "$@" | sed "{change}"\\n'
    return f"mv {_SMI} {_SMI}.own; printf '{program}' >{_SMI}; chmod 755 {_SMI}"


_OWN_SMI = f"mv -f {_SMI}.own {_SMI}"
_ENGINE = "systemctl kill --signal={} vllm.service"
CAUSES = (
    Cause("EngineHangs", _ENGINE.format("STOP"), _ENGINE.format("CONT"), 2 * MINUTE),
    Cause("EngineDown", "systemctl stop vllm.service", "systemctl start vllm.service", 2 * MINUTE),
    Cause("PowerCapLost", f"{_SMI} -pl 450", f"{_SMI} -pl 400", 3 * MINUTE),
    Cause(
        "CardGone",
        f"mv {_SMI} {_SMI}.own; printf '#!/bin/sh\\nexit 15\\n' >{_SMI}; chmod 755 {_SMI}",
        _OWN_SMI,
        2 * MINUTE,
    ),
    # 0x40: slowed down by its hardware for heat (nvml.h).
    Cause(
        "CardHeldByHeat",
        _answering("s/0x0000000000000001/0x0000000000000040/"),
        _OWN_SMI,
        5 * MINUTE,
    ),
    Cause(
        "BoxSilent",
        "systemctl stop fortyninety-node-exporter.service",
        "systemctl start fortyninety-node-exporter.service",
        3 * MINUTE,
    ),
    Cause(
        "ReadingStale",
        "systemctl stop fortyninety-signals.timer",
        "systemctl start fortyninety-signals.timer",
        5 * MINUTE,
    ),
)


@dataclass
class Webhook:
    """What was posted: of each alert when it was firing and when it was over."""

    url: str = ""
    told: list[tuple[str, str]] = field(default_factory=list)
    paths: set[str] = field(default_factory=set)
    changed: threading.Condition = field(default_factory=threading.Condition)

    def hear(self, path: str, said: dict[str, Any]) -> None:
        with self.changed:
            self.paths.add(path)
            self.told += [(each["labels"]["alertname"], each["status"]) for each in said["alerts"]]
            self.changed.notify_all()

    def wait_for(self, alert: str, status: str, seconds: float, since: int | None = None) -> None:
        """Come back once it was told from now on, or since so much was told; else say what was."""
        until = time.monotonic() + seconds
        with self.changed:
            begin = len(self.told) if since is None else since
            while (alert, status) not in self.told[begin:]:
                left = until - time.monotonic()
                assert left > 0, f"{alert} is not {status}: {self.told}"
                self.changed.wait(left)


@pytest.fixture(scope="module")
def webhook() -> Iterator[Webhook]:
    """Who is told, on the lab's network."""
    heard = Webhook()

    class Hear(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            said = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(200)
            self.end_headers()
            heard.hear(self.path, said)

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer((paths.BRIDGE_ADDRESS, 0), Hear) as server:
        heard.url = f"http://{paths.BRIDGE_ADDRESS}:{server.server_address[1]}/{SECRET}"
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield heard
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def pair(lab: None) -> tuple[LabHost, LabHost]:
    """A box that serves, and a bare host beside it."""
    del lab
    start_converged(1)
    box, monitor = hosts.up(2, cards=(ONE_CARD, "none"))
    return box, monitor


@pytest.fixture(scope="module")
def inventory(
    pair: tuple[LabHost, LabHost], webhook: Webhook, tmp_path_factory: pytest.TempPathFactory
) -> str:
    """The inventory that they were deployed by."""
    del pair
    folder = tmp_path_factory.mktemp("monitor")
    url_file = folder / "webhook-url"
    url_file.touch(mode=0o600)
    url_file.write_text(webhook.url)
    written = write_inventory(folder, INVENTORY.format(url_file=str(url_file)))
    ran = deploy(inventory=written)
    assert ran.exit_code == 0, ran.output
    assert SECRET not in ran.output
    return written


def test_a_second_deploy_changes_nothing_and_the_host_tests_agree(inventory: str) -> None:
    again = deploy(inventory=inventory)
    assert (again.exit_code, again.changed) == (0, {}), again.output
    found = host_tests("-k", "monitor or signals or nothing_listens", inventory=inventory)
    assert found.exit_code == 0, found.output


@pytest.mark.parametrize("cause", CAUSES, ids=lambda cause: cause.alert)
def test_what_goes_wrong_is_told_and_that_it_is_over_too(
    cause: Cause, pair: tuple[LabHost, LabHost], inventory: str, webhook: Webhook
) -> None:
    del inventory
    box, _ = pair
    box.ssh(cause.how, check=True)
    try:
        webhook.wait_for(cause.alert, "firing", cause.seconds + DELAY)
    finally:
        before = len(webhook.told)
        box.ssh(cause.undo, check=True)
    # Beginning again, an engine takes its time: it may be told before that command ends.
    webhook.wait_for(cause.alert, "resolved", 2 * DELAY, before)
    assert webhook.paths == {f"/{SECRET}"}


@pytest.fixture(scope="module")
def hastened(pair: tuple[LabHost, LabHost], inventory: str) -> None:
    """Rules that wait for minutes, until the next deploy."""
    del inventory
    pair[1].ssh(CUT.format(PROMETHEUS), check=True)


def checked(inventory: str, box: LabHost) -> None:
    """Have it checked and that recorded, whatever was found."""
    ran = stages.fortyninety(
        "check", inventory, "--limit", box.name, "--quick", "--no-load", "--record"
    )
    assert ran.returncode in (0, 1), ran.stdout + ran.stderr


@pytest.mark.usefixtures("hastened")
def test_a_check_that_nobody_repeats_is_told(
    pair: tuple[LabHost, LabHost], inventory: str, webhook: Webhook
) -> None:
    checked(inventory, pair[0])
    webhook.wait_for("CheckOld", "firing", 6 * MINUTE + DELAY)
    checked(inventory, pair[0])
    webhook.wait_for("CheckOld", "resolved", DELAY)


@pytest.mark.usefixtures("hastened")
def test_what_boxes_know_a_monitor_by_is_told_before_it_ends(
    pair: tuple[LabHost, LabHost], inventory: str, webhook: Webhook, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Of ten days, as one has that no deploy renewed for eighty.
    monkeypatch.setattr("fortyninety.gateway.authority.SERVER_DAYS", 10)
    its = Issued(authority_folder(Path(inventory)), "lab", (MONITOR,), FOR_FRONTS)
    text = its.made(datetime.now(UTC))
    shown = text[text.index("-----BEGIN") : text.index("-----BEGIN PRIVATE")]
    pair[1].ssh("cat >/etc/fortyninety/monitor/monitor.pem", input_text=text, check=True)
    pair[1].ssh("cat >/etc/fortyninety/signals-monitor.pem", input_text=shown, check=True)
    webhook.wait_for("IdentityEnds", "firing", MINUTE + DELAY)
    before = len(webhook.told)
    ran = deploy("--limit", pair[1].name, inventory=inventory)
    assert ran.exit_code == 0, ran.output
    assert "Signals | Show it a monitor's certificate" in ran.changed, ran.changed
    webhook.wait_for("IdentityEnds", "resolved", 2 * DELAY, before)


def test_where_alerts_go_is_told_to_nobody(
    pair: tuple[LabHost, LabHost], inventory: str, tmp_path: Path
) -> None:
    del inventory, tmp_path
    _, monitor = pair
    found = monitor.ssh(
        f"journalctl --no-pager --grep={SECRET}; ps -ef | grep -v grep | grep {SECRET}; "
        f"systemctl cat {UNITS} | grep {SECRET}; "
        "python3 -c 'import urllib.request as u; print(u.urlopen(\"http://127.0.0.1:9481"
        f"/api/v2/status\").read().decode())' | grep {SECRET}; "
        f"grep -rl {SECRET} /etc/fortyninety"
    )
    assert found.stdout.splitlines()[-1:] == ["/etc/fortyninety/monitor/webhook-url"], found.stdout
    assert found.stdout.count(SECRET) == 0, found.stdout


def test_what_is_broken_is_named_and_put_right(
    pair: tuple[LabHost, LabHost], inventory: str
) -> None:
    _, monitor = pair
    monitor.ssh(BROKEN, check=True)
    named_and_mended(inventory, "monitor or signals", NAMED, DRIFT)


def test_without_the_role_nothing_of_it_stays_and_a_front_is_read_as_one(
    pair: tuple[LabHost, LabHost], inventory: str, tmp_path: Path
) -> None:
    del inventory
    _, monitor = pair
    front = write_inventory(tmp_path, WITHOUT)
    ran = deploy("--limit", monitor.name, inventory=front)
    assert ran.exit_code == 0, ran.output
    assert "Monitor | Remove a monitor that is not wanted" in ran.changed, ran.changed
    assert monitor.ssh(LEFT).stdout == ""
    # One of the deploy's own time had the certificate gone that it was still told of.
    monitor.ssh("systemctl start fortyninety-signals.service", check=True)
    found = host_tests("-k", "signals", "--limit", monitor.name, inventory=front)
    assert found.exit_code == 0, found.output
