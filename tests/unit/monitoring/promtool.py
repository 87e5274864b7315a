"""Run promtool, and have it evaluate the rules over series."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from fortyninety.checkout import MONITORING
from tests.unit.monitoring.alert_cases import BOX, Case
from tests.unit.monitoring.recorded_series import Series, recorded

PROMTOOL = shutil.which("promtool")
needs_promtool = pytest.mark.skipif(PROMTOOL is None, reason="Prometheus is not installed")

RULES = sorted((MONITORING / "rules").glob("*.yaml"))
# Seconds between two samples and two evaluations, and in tests of hours: shorter than
# the five minutes after which a Prometheus takes a series for gone.
INTERVAL, LONG_INTERVAL = 60, 240
# Minutes from which a test is long.
LONG = 120
FIRING = 'sum by (alertname, box) (ALERTS{alertstate="firing"}) > bool 0'
_NAME = re.compile(r"\b(?:vllm:|haproxy_|node_|fortyninety_)\w+|\bup\b")


@cache
def rules() -> dict[str, list[dict[str, Any]]]:
    """The rules of each file."""
    return {
        path.name: [
            rule for group in yaml.safe_load(path.read_text())["groups"] for rule in group["rules"]
        ]
        for path in RULES
    }


@cache
def asked_names() -> frozenset[str]:
    """The names of what boxes export that the rules ask for."""
    return frozenset(
        name
        for each in rules().values()
        for rule in each
        for name in _NAME.findall(re.sub(r"fortyninety:[\w:]+", "", rule["expr"]))
    )


def alerts() -> list[dict[str, Any]]:
    """Every alert."""
    return [rule for each in rules().values() for rule in each if "alert" in rule]


def failures(cases: Sequence[Case], release: str, folder: Path) -> list[str]:
    """What promtool says where other alerts fire than are to; nothing where all is right.

    Each case is a box of its own, of the case's name, so that those of one length are one test.
    """
    said = []
    for interval in (INTERVAL, LONG_INTERVAL):
        own = [each for each in cases if (each.minutes < LONG) == (interval == INTERVAL)]
        page = {
            "rule_files": [str(path) for path in RULES],
            "evaluation_interval": f"{interval}s",
            "tests": [
                _written([each for each in own if each.minutes == minutes], release, interval)
                for minutes in sorted({each.minutes for each in own})
            ],
        }
        file = folder / f"tests-{interval}.yaml"
        # JSON is YAML, and written in a fraction of the time.
        file.write_text(json.dumps(page))
        assert PROMTOOL is not None
        ran = subprocess.run(
            [PROMTOOL, "test", "rules", str(file)], capture_output=True, text=True, check=False
        )
        said += [] if ran.returncode == 0 else (ran.stdout + ran.stderr).splitlines()
    return said


def _written(cases: Sequence[Case], release: str, interval: int) -> dict[str, Any]:
    minutes = cases[0].minutes
    times = str(minutes * 60 // interval)
    return {
        "interval": f"{interval}s",
        "input_series": [
            {"series": series, "values": values.replace("N", times)}
            for case in cases
            for series, values in _series(case, release, interval).items()
        ],
        "promql_expr_test": [
            {
                "expr": FIRING,
                "eval_time": f"{minutes}m",
                "exp_samples": [
                    {"labels": f'{{alertname="{name}", box="{case.name}"}}', "value": 1}
                    for case in cases
                    for name in case.fires
                ],
            }
        ],
    }


def _series(case: Case, release: str, interval: int) -> dict[str, str]:
    """The values of each series of a case, in promtool's notation."""
    found = {
        str(each): _values(each, case, interval)
        for each in recorded(release, case.name)
        if each.name in asked_names() and (_moves(case) or not each.name.endswith("_bucket"))
    }
    for pattern in case.otherwise:
        assert any(re.search(pattern, each) for each in found), f"{case.name}: no {pattern}"
    return found | {each.replace(BOX, case.name): values for each, values in case.also.items()}


def _moves(case: Case) -> bool:
    """Whether its histograms do anything; those that stand still would take most of the time."""
    return any("_bucket" in pattern for pattern in case.otherwise) or not case.otherwise


def _values(series: Series, case: Case, interval: int) -> str:
    for pattern, values in case.otherwise.items():
        if re.search(pattern, str(series)):
            return values
    if series.name in ("fortyninety_reading_timestamp_seconds", "node_time_seconds"):
        # promtool's time begins at 0.
        return f"0+{interval}xN"
    if series.labels.get("source") == "gateway":
        # The recorded box had a gateway that did not run.
        return "1xN"
    return f"{series.value!r}xN"
