"""What the box says of itself: fresh, true, and to nobody else."""

from __future__ import annotations

import re
from typing import Any

import pytest
from testinfra.host import Host

from fortyninety.settings.model import Settings
from tests.host.gpu_query import query
from tests.host.on_host import read

EXPORTER = "fortyninety-node-exporter.service"
READING = "fortyninety-signals.service"
TIMER = "fortyninety-signals.timer"
FILE = "/run/fortyninety-signals/box.prom"
# Beyond two readings that were missed: a busy host is late once.
LATE = 20
SAMPLE = re.compile(r"^(fortyninety_[a-z_]+)(?:\{(.*)\})? (\S+)$", re.MULTILINE)
LABEL = re.compile(r'([a-z_]+)="((?:[^"\\]|\\.)*)"')
MIB = 1024 * 1024
# Of a card in the exporter's words and nvidia-smi's: what a deploy sets, which stays as it is.
SAME = {
    "card_memory_total_bytes": ("memory.total", MIB),
    "card_power_limit_watts": ("power.limit", 1),
    "card_power_limit_default_watts": ("power.default_limit", 1),
    "card_pcie_width_max_lanes": ("pcie.link.width.max", 1),
}
# By what others know the host, and where it is without its key.
COPIES = {"front/identity": "front-identity", "monitor/monitor": "monitor"}
# The unit's own lines, without which what reads the box could do more than read.
SANDBOX = {
    "NoNewPrivileges": "yes",
    "ProtectSystem": "strict",
    "PrivateTmp": "yes",
    "RestrictNamespaces": "yes",
    "CapabilityBoundingSet": "",
}


@pytest.fixture(scope="session")
def said(host: Host, settings: Settings) -> dict[str, Any]:
    """What the exporter answers, and the host's clock."""
    found: dict[str, Any] = read(host, "exporter", str(settings.signals_exporter_port))
    return found


@pytest.fixture(scope="session")
def samples(said: dict[str, Any]) -> list[tuple[str, dict[str, str], float]]:
    """This project's samples: name without its prefix, labels, value."""
    return [
        (name.removeprefix("fortyninety_"), dict(LABEL.findall(labels)), float(value))
        for name, labels, value in SAMPLE.findall(said["text"])
    ]


def test_the_box_is_read_and_heard_and_both_come_back_at_boot(host: Host) -> None:
    """A box that nobody hears of is looked at when its users complain."""
    for name in (EXPORTER, TIMER):
        unit = host.service(name)
        assert unit.is_running and unit.is_enabled, (
            f"{name} is not enabled and active. Look at `systemctl status {name}`; deploy again"
        )


def test_the_exporter_answers(said: dict[str, Any], settings: Settings) -> None:
    """Prometheus shows a box as gone that serves."""
    assert said["status"] == 200, (
        f"port {settings.signals_exporter_port} of loopback answers {said['status']} "
        f"({said['text'][:200]}); expected 200. Look at `journalctl -u {EXPORTER}`"
    )


def test_the_reading_is_fresh(
    said: dict[str, Any], samples: list[tuple[str, dict[str, str], float]], settings: Settings
) -> None:
    """An old reading shows a cool card that burns."""
    moments = [value for name, _, value in samples if name == "reading_timestamp_seconds"]
    assert moments, f"{FILE} has no reading. Look at `journalctl -u {READING}`; deploy again"
    age = said["now"] - moments[0]
    most = 2 * settings.signals_interval + LATE
    assert -5 <= age <= most, (
        f"the reading in {FILE} is {age:.0f} s old; expected at most {most} s. Look at "
        f"`systemctl list-timers {TIMER}` and `journalctl -u {READING}`; deploy again"
    )


def test_every_source_could_be_read(samples: list[tuple[str, dict[str, str], float]]) -> None:
    """What is not read raises no alert."""
    down = [
        labels.get("source", "?")
        for name, labels, value in samples
        if name == "source_up" and value != 1
    ]
    assert not down, (
        f"{', '.join(down)} could not be read; expected every source. Look at "
        f"`journalctl -u {READING}`"
    )


def test_it_shows_the_certificates_that_are_in_use(host: Host, settings: Settings) -> None:
    """An end that nobody is told of stops a front, or all alerts, from one minute to the next."""
    roles = {"front/identity": settings.is_front, "monitor/monitor": settings.is_monitor}
    for source in (name for name, has_it in roles.items() if has_it):
        path = f"/etc/fortyninety/signals-{COPIES[source]}.pem"
        own, shown = (
            host.run(f"sed -n '/^-----BEGIN CERT/,/^-----END CERT/p' {each}").stdout
            for each in (f"/etc/fortyninety/{source}.pem", path)
        )
        assert own and own == shown, (
            f"{path} is {'another' if shown else 'no'} certificate; expected that of "
            f"/etc/fortyninety/{source}.pem, whose end alerts are about. Deploy again"
        )
        whole = host.run(f"cat {path}").stdout
        assert whole == shown, f"{path} has more than the certificate. Deploy again"


def test_it_says_what_nvidia_smi_says(
    host: Host, settings: Settings, samples: list[tuple[str, dict[str, str], float]]
) -> None:
    """An alert is no better than the figure it is about."""
    if not settings.has_engine:
        return  # a front or a monitor, which has no cards
    fields = [field for field, _ in SAME.values()]
    cards = {each["uuid"]: each for each in query(host, "uuid", *fields)}
    wrong = []
    for metric, (field, factor) in SAME.items():
        found = {labels["uuid"]: value for name, labels, value in samples if name == metric}
        for uuid, card in cards.items():
            if card[field].startswith("["):
                continue
            expected = float(card[field]) * factor
            if abs(found.get(uuid, -1) - expected) > 0.01 * expected:
                wrong.append(f"{metric} of {uuid} is {found.get(uuid)}, {field} {expected:g}")
    assert not wrong, (
        f"{'; '.join(wrong)}; expected the same. Look at `journalctl -u {READING}`; deploy again"
    )


def test_nobody_elsewhere_is_answered(host: Host, settings: Settings) -> None:
    """What a box serves and how busy it is, is nobody's business but the monitor's."""
    port = settings.signals_exporter_port
    lines = host.check_output(f"ss -Hltn 'sport = :{port}'").splitlines()
    where = {line.split()[3].rpartition(":")[0] for line in lines}
    assert where == {"127.0.0.1"}, (
        f"port {port} listens at {', '.join(sorted(where)) or 'nothing'}; expected 127.0.0.1. "
        "Deploy again"
    )


def test_nobody_is_shown_it_without_the_monitors_certificate(
    host: Host, settings: Settings
) -> None:
    """The port is open to whoever reaches the box."""
    if settings.signals_port is None:
        return
    answer = read(host, "heard_as", str(settings.signals_port))
    assert answer.startswith("refused"), (
        f"port {settings.signals_port} answers {answer!r} to one without a certificate; expected "
        "no TLS with it. Deploy again"
    )


def test_what_reads_the_box_can_do_no_more(host: Host) -> None:
    """Monitoring is no way into a box."""
    for unit in (READING, EXPORTER):
        shown = host.check_output(
            f"systemctl show --property={','.join((*SANDBOX, 'User', 'DynamicUser'))} {unit}"
        )
        found = dict(line.partition("=")[::2] for line in shown.splitlines())
        wrong = {key: found.get(key) for key, each in SANDBOX.items() if found.get(key) != each}
        own = found.get("User") not in ("", "root", None) or found.get("DynamicUser") == "yes"
        assert not wrong and own, (
            f"{unit} is loaded with {wrong or 'the account of root'}; expected {SANDBOX} and an "
            f"account of its own. Look at `systemctl cat {unit}`, and deploy again"
        )
