"""Breaking a lab host, and reading what the host tests, drift and a deploy make of it."""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from lab import stages
from lab.hosts import LabHost
from tests.lab import deploys
from tests.lab.breakages import Breakage

INVENTORY = "inventory/lab.py"
RESTART = (
    "systemctl daemon-reload; systemctl reset-failed vllm.service; "
    "systemctl restart vllm.service; for i in $(seq 90); do "
    "ss -Hltn 'sport = :8000' | grep -q . && exit; sleep 1; done; "
    "journalctl -u vllm.service -n 20 >&2; exit 1"
)


@dataclass
class Verdict:
    """What became of one breakage: the tests that named its cause, and who saw and mended it."""

    breakage: str
    caught_by: list[str] = field(default_factory=list)
    others_failed: list[str] = field(default_factory=list)
    shown_by_drift: list[str] = field(default_factory=list)
    mended_by_deploy: bool = False
    green_afterwards: bool = False
    expected: bool = False
    why_not_mended: str = ""
    still_failing: list[str] = field(default_factory=list)


def break_host(host: LabHost, *breakages: Breakage) -> None:
    """Do all of them to the host: first those that the engine starts again with, once for all."""
    before = [each for each in breakages if each.restarts]
    for each in before:
        host.ssh(each.how, check=True)
    if before:
        host.ssh(RESTART, check=True)
    for each in breakages:
        if each.from_outside is not None:
            each.from_outside(host.name)
        if not each.restarts:
            host.ssh(each.how, check=True)


def undo(host: LabHost, *breakages: Breakage) -> None:
    """Put right what a deploy does not, the last first."""
    for each in reversed(breakages):
        if each.undo_from_outside is not None:
            each.undo_from_outside(host.name)
        if each.undo:
            host.ssh(each.undo, check=True)


def failing_tests(host: LabHost) -> dict[str, str]:
    """Run the host tests; the message of each that failed, by its name."""
    with tempfile.TemporaryDirectory() as directory:
        report = Path(directory) / "report.xml"
        ran = stages.host_tests(INVENTORY, "--limit", host.name, f"--junitxml={report}")
        assert report.exists(), ran.stdout + ran.stderr
        cases = ElementTree.parse(report).getroot().iter("testcase")
        return {
            case.attrib["name"].partition("[")[0]: f"{fault.get('message')}\n{fault.text}"
            for case in cases
            for fault in case
            if fault.tag in ("failure", "error")
        }


def drift(host: LabHost) -> tuple[int, list[str]]:
    """Run `fortyninety drift --json`; its exit code, and a line for each difference it shows."""
    ran = stages.fortyninety("drift", INVENTORY, "--limit", host.name, "--json")
    assert ran.returncode in (0, 2, 3), ran.stdout + ran.stderr
    page: dict[str, Any] = json.loads(ran.stdout)
    lines = [
        f"{change['stage']} | {change['operation']}: {said}"
        for each in page["result"]["hosts"]
        for change in each["changes"]
        for said in [*change["differences"], *filter(None, [change["failure"]])] or [""]
    ]
    return ran.returncode, [
        *lines,
        *(f"{each['subject']} is {each['found']}" for each in page["problems"]),
    ]


def named_and_mended(
    inventory: str, chosen: str, named: Mapping[str, str], shown: Sequence[str]
) -> None:
    """Assert that what was broken is found by the host tests and by drift, and mended by a deploy.

    `chosen` are the host tests (pytest's -k), `named` has what a test's message says by the
    beginning of its name, and `shown` are lines of drift.
    """
    found = deploys.host_tests("-k", chosen, inventory=inventory)
    failed = [line for line in found.output.splitlines() if "FAILED" in line]
    missed = [
        name
        for name, says in named.items()
        if not any(name in line for line in failed) or says not in found.output
    ]
    assert not missed, (missed, found.output)
    drifted = stages.fortyninety("drift", inventory)
    assert drifted.returncode == 3, drifted.stdout + drifted.stderr
    assert all(each in drifted.stdout for each in shown), drifted.stdout

    ran = deploys.deploy(inventory=inventory)
    assert ran.exit_code == 0, ran.output
    found = deploys.host_tests("-k", chosen, inventory=inventory)
    assert found.exit_code == 0, found.output


def matching(pattern: str | None, messages: dict[str, str]) -> list[str]:
    """The tests whose message names the cause."""
    if pattern is None:
        return []
    found = re.compile(pattern, re.DOTALL)
    return sorted(name for name, message in messages.items() if found.search(message))


def verdict(host: LabHost, breakage: Breakage) -> Verdict:
    """Break a host that is right, see who says so, deploy, and see whether that put it right.

    What a deploy does not put right is undone, and the host ends as it began.
    """
    result = Verdict(breakage.name, why_not_mended=breakage.why_not)
    break_host(host, breakage)
    messages = failing_tests(host)
    result.caught_by = matching(breakage.says, messages)
    result.others_failed = sorted(set(messages) - set(result.caught_by))
    _, shown = drift(host)
    if breakage.drift_says is None:
        result.shown_by_drift = shown
    else:
        result.shown_by_drift = [line for line in shown if re.search(breakage.drift_says, line)]
    ran = stages.deploy(INVENTORY, "--limit", host.name, *breakage.deploy_with)
    left = failing_tests(host)
    result.mended_by_deploy = breakage.mended and not left
    if not breakage.mended:
        result.mended_by_deploy = ran.exit_code == 0 and not left
        undo(host, breakage)
        stages.deploy(INVENTORY, "--limit", host.name)
        left = failing_tests(host)
    result.green_afterwards = not left
    result.still_failing = [f"{name}: {message[:300]}" for name, message in left.items()]
    result.expected = (
        bool(result.caught_by) == (breakage.says is not None)
        and bool(result.shown_by_drift) == (breakage.drift_says is not None)
        and result.mended_by_deploy == breakage.mended
        and result.green_afterwards
    )
    return result
