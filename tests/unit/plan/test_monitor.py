"""What a monitor is planned to be, by the word of what it is made of."""

from __future__ import annotations

import json
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from fortyninety.checkout import MONITORING
from fortyninety.gateway.certificates import Believed, Given
from fortyninety.monitoring.watched import WatchedBox
from fortyninety.plan.monitor import MonitorPlan, Watch, plan_monitor
from fortyninety.plan.paths import MONITOR_FOLDER, MONITOR_RULES, MONITOR_WEBHOOK
from fortyninety.plan.plan import Plan, make_plan, needed_archives, watching
from fortyninety.plan.preflight import host_problems
from fortyninety.plan.survey_request import survey_request
from fortyninety.releases.release import load_release
from fortyninety.survey.reading import OsReading
from tests.unit.monitoring.promtool import PROMTOOL, needs_promtool
from tests.unit.plan.systemd_verify import needs_systemd, wrong_lines
from tests.unit.readings import bare_host, settings

AMTOOL = shutil.which("amtool")
BOX = WatchedBox("box-1", "192.0.2.1", 9491, "0.32.0", "f" * 40)
WATCH = Watch((BOX,), Given("nobody's\n"), Believed(Path("/nowhere"), "fleet"), None)
SECRET = "https://alerts.example/T0K3N"
TOLD = replace(WATCH, webhook=lambda: SECRET)
OWN = settings(roles=["monitor"])


def whole_plan(watch: Watch | None) -> Plan:
    return watching(make_plan(OWN, load_release(OWN.engine), bare_host()), watch)


def planned(watch: Watch = WATCH, **changes: object) -> MonitorPlan:
    return plan_monitor(settings(roles=["monitor"], **changes), watch)


def written(files: dict[str, str] | MonitorPlan, folder: Path) -> Path:
    for name, text in (files.files if isinstance(files, MonitorPlan) else files).items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


def test_there_is_none_unless_it_is_asked_for() -> None:
    assert whole_plan(None).monitor is None and not settings().is_monitor
    request = survey_request(settings(), load_release(OWN.engine))
    assert request.monitor_identity == ""


def test_a_monitor_needs_its_packages_and_no_card() -> None:
    plan = whole_plan(WATCH)
    assert needed_archives(plan, bare_host()) and not plan.has_engine
    assert survey_request(OWN, load_release(OWN.engine)).monitor_identity


@needs_promtool
def test_prometheus_takes_it(tmp_path: Path) -> None:
    folder = written(planned(), tmp_path)
    for name in ("authority.pem", "monitor.pem"):
        (folder / name).write_text("")
    configuration = folder / "prometheus.yml"
    # promtool looks for the certificates; the rest is relative.
    configuration.write_text(configuration.read_text().replace(MONITOR_FOLDER, str(folder)))
    assert PROMTOOL is not None
    ran = subprocess.run(
        [PROMTOOL, "check", "config", str(configuration)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.count("rules found") == len(MONITOR_RULES)


def test_it_has_every_rule_there_is_and_no_other() -> None:
    names = {path.name for path in (MONITORING / "rules").glob("*.yaml")} | {"wanted.yaml"}
    assert names == {path.rpartition("/")[2] for path in MONITOR_RULES}
    page = yaml.safe_load(planned().files["prometheus.yml"])
    assert page["rule_files"] == [path.removeprefix(f"{MONITOR_FOLDER}/") for path in MONITOR_RULES]
    assert {each["targets"][0] for each in json.loads(planned().files["targets.json"])} == {
        "192.0.2.1:9491"
    }


def test_it_asks_itself_where_it_says_how_it_is() -> None:
    its = planned(replace(WATCH, itself="monitor-1"), signals_exporter_port=9123)
    of_boxes = json.loads(planned().files["targets.json"])
    *others, own = json.loads(its.files["targets.json"])
    assert others == of_boxes and own == {
        "targets": ["127.0.0.1:9123"],
        "labels": {
            "box": "monitor-1",
            "job": "fortyninety-node",
            "__scheme__": "http",
            "__metrics_path__": "/metrics",
        },
    }
    # Who is not a box is to serve nothing.
    assert its.files["rules/wanted.yaml"] == planned().files["rules/wanted.yaml"]


@pytest.mark.skipif(AMTOOL is None, reason="Alertmanager is not installed")
def test_alertmanager_takes_it(tmp_path: Path) -> None:
    assert AMTOOL is not None
    configuration = written(planned(), tmp_path) / "alertmanager.yml"
    ran = subprocess.run(
        [AMTOOL, "check-config", str(configuration)], capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr


def test_the_url_of_the_webhook_is_in_no_file_that_others_read() -> None:
    its = planned(TOLD)
    texts = [*its.files.values(), its.prometheus.text, its.alertmanager.text]
    assert not [text for text in texts if SECRET in text]
    (receiver,) = yaml.safe_load(its.files["alertmanager.yml"])["receivers"]
    assert receiver["webhook_configs"] == [{"url_file": MONITOR_WEBHOOK, "send_resolved": True}]
    nobody = yaml.safe_load(planned().files["alertmanager.yml"])
    assert nobody["receivers"] == [{"name": nobody["route"]["receiver"]}]


@pytest.mark.parametrize(
    ("distribution", "version", "problems"), [("debian", "12", 1), ("debian", "13", 0)]
)
def test_an_alertmanager_that_would_show_the_url_is_refused(
    distribution: str, version: str, problems: int
) -> None:
    its = settings(roles=["monitor"], alert_webhook_url_file="~/alerts-url")
    reading = bare_host()
    system = OsReading(**{**vars(reading.os), "distribution": distribution, "version": version})
    found = host_problems("m", its, replace(reading, os=system))
    subjects = [each.subject for each in found]
    assert subjects.count("alert_webhook_url_file") == problems


def test_nobody_but_the_monitor_itself_is_answered() -> None:
    its = planned(monitor_port=9123, monitor_alerts_port=9124)
    assert "--web.listen-address=127.0.0.1:9123\n" in its.prometheus.text
    assert "--web.listen-address=127.0.0.1:9124\n" in its.alertmanager.text
    assert "--cluster.listen-address= " in its.alertmanager.text
    assert '["127.0.0.1:9124"]' in its.files["prometheus.yml"]


def test_what_is_read_anew_is_loaded_and_another_unit_is_restarted() -> None:
    one = planned()
    other = planned(replace(WATCH, boxes=(replace(BOX, release="0.33.0"),)))
    assert other.prometheus.digest == one.prometheus.digest
    assert other.prometheus.in_force != one.prometheus.in_force
    assert other.alertmanager == one.alertmanager
    assert planned(monitor_retention_gib=5).prometheus.digest != one.prometheus.digest
    # Targets are read again by themselves.
    moved = planned(replace(WATCH, boxes=(replace(BOX, port=9499),)))
    assert moved.prometheus == one.prometheus and moved.files != one.files


@needs_systemd
def test_systemd_reads_its_units(tmp_path: Path) -> None:
    its = planned()
    units = {each.service: each.text for each in (its.prometheus, its.alertmanager)}
    wrong = wrong_lines(tmp_path, units)
    assert not wrong, wrong
