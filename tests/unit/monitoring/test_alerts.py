"""Every alert fires for its cause and for nothing else, by promtool over recorded series."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from fortyninety.checkout import ROOT
from fortyninety.engine import metric_names
from fortyninety.on_host.signals.metrics import METRICS, PREFIX
from tests.unit.monitoring.alert_cases import CASES
from tests.unit.monitoring.alerts_page import lines
from tests.unit.monitoring.promtool import (
    PROMTOOL,
    RULES,
    alerts,
    asked_names,
    failures,
    needs_promtool,
    rules,
)
from tests.unit.monitoring.recorded_series import RELEASES, recorded

NAMES = [alert["alert"] for alert in alerts()]
# The recorded box is a container, which has no clock of its own.
NOT_RECORDED = {"node_timex_sync_status"}


@needs_promtool
@pytest.mark.parametrize("release", RELEASES)
def test_each_fires_for_its_cause_and_no_other(release: str, tmp_path: Path) -> None:
    cases = [case for case in CASES if release == RELEASES[-1] or case.is_of_the_engine]
    assert failures(cases, release, tmp_path) == []


def test_every_alert_has_a_cause_and_something_that_is_none() -> None:
    assert {name for case in CASES for name in case.fires} == set(NAMES)


@needs_promtool
def test_promtool_takes_the_rules() -> None:
    assert PROMTOOL is not None
    subprocess.run([PROMTOOL, "check", "rules", *map(str, RULES)], check=True, capture_output=True)


def test_every_name_that_rules_ask_for_is_exported() -> None:
    exported = {each.name for release in RELEASES for each in recorded(release)}
    exported |= {PREFIX + metric.name for metric in METRICS}
    tables = [value for name, value in vars(metric_names).items() if name.isupper()]
    exported |= {f"{name}{end}" for each in tables for name in each for end in ("", "_bucket")}
    assert asked_names() - exported == NOT_RECORDED


def test_a_release_between_those_that_are_deployed_has_a_name_for_each_rule() -> None:
    exported = {each.name for each in recorded("0.24.0")}
    asked = [
        (rule["record"], set(re.findall(r"vllm:\w+", rule["expr"])))
        for rule in rules()["names.yaml"]
        if "vllm:" in rule["expr"]
    ]
    assert len(asked) >= 10
    assert not [record for record, names in asked if not names & exported]


def test_what_fronts_ask_each_second_is_no_answer_to_anybody() -> None:
    # HAProxy counts it with its frontend's: 503 while the box is drained, else nine of ten answers.
    assert not [name for name in asked_names() if name.startswith("haproxy_frontend_http")]


def test_each_says_what_it_means_and_what_to_do() -> None:
    page = (ROOT / "docs" / "alerts.md").read_text()
    assert len(set(NAMES)) == len(NAMES)
    for alert in alerts():
        said = alert["annotations"]
        assert list(said) == ["summary", "users", "action", "page"], alert["alert"]
        assert alert["labels"]["severity"] in ("critical", "warning", "info")
        assert said["page"] == f"docs/alerts.md#{alert['alert'].lower()}"
        assert f"\n### {alert['alert']}\n" in page
        assert "$labels.box" in said["summary"]
    assert set(re.findall(r"^### (\w+)$", page, re.MULTILINE)) == set(NAMES)


def test_the_page_is_that_of_the_rules() -> None:
    written = (ROOT / "docs" / "alerts.md").read_text()
    assert written.endswith("\n".join(lines()).rstrip() + "\n"), (
        "python -m tests.unit.monitoring.alerts_page prints it"
    )
