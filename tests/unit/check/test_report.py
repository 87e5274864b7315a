"""What the host tests found, for people and for programs."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

import click
import pytest

from fortyninety.check.report import (
    Result,
    exit_code,
    findings,
    not_read_again,
    summary,
    table,
)


def result(
    host: str = "box-1", area: str = "driver", outcome: str = "passed", message: str = ""
) -> Result:
    """A result with what a test is about."""
    return Result(host, area, "test_it_is_so", outcome, "Somebody waits.", message, 0.1)


@pytest.mark.parametrize(
    ("results", "expected"),
    [
        ([result()], 0),
        ([result(), result(outcome="skipped")], 0),
        ([result(), result(outcome="failed")], 1),
        ([result(area="reach", outcome="failed")], 2),
        ([result("box-1", outcome="failed"), result("box-2", "reach", "failed")], 2),
        ([result(area="reach"), result(outcome="failed")], 1),
        ([], 2),
    ],
)
def test_the_exit_code_says_right_wrong_or_not_looked_at(
    results: list[Result], expected: int
) -> None:
    assert exit_code(results) == expected


def test_the_table_has_areas_by_hosts_and_never_more_than_80_columns() -> None:
    hosts = [f"gpu-box-in-the-basement-{number}" for number in (1, 2, 10, 3, 4, 5, 6, 7, 8)]
    results = [result(host, area) for host in hosts for area in ("system", "driver")]
    results.append(result(hosts[1], "driver", "failed"))
    results.append(result(hosts[2], "driver", "skipped"))
    lines = click.unstyle(table(results)).splitlines()
    assert max(map(len, lines)) <= 80
    driver, system = [line for line in lines if line.startswith(("driver", "system"))][:2]
    assert driver.startswith("driver") and system.startswith("system")  # in the order of a build
    assert "1 failed" in driver
    assert click.unstyle(table(results)).count("1+1 skip") == 1


def test_hosts_are_in_their_natural_order() -> None:
    head = table([result("box-10"), result("box-9")]).splitlines()[0]
    assert head.split() == ["box-9", "box-10"]


def test_a_host_that_was_not_looked_at_has_dashes_and_no_zeros() -> None:
    shown = table([result("a", "reach", "failed"), result("b", "reach"), result("b", "driver")])
    (driver,) = [line for line in click.unstyle(shown).splitlines() if line.startswith("driver")]
    assert driver.split() == ["driver", "-", "1"]


def test_the_same_finding_of_several_hosts_is_said_once() -> None:
    message = "found X; expected Y. Do Z"
    failed = [result("a", outcome="failed", message=message) for _ in range(2)]
    failed.append(result("b", outcome="failed", message=message))
    said = click.unstyle(findings([*failed, result("c")]))
    assert said.count(message) == 1
    assert said.startswith("a, b: FAILED: it is so")
    assert "Somebody waits." in said
    assert "c" not in said.split(":")[0]


def test_a_result_survives_its_line() -> None:
    original = result(message='found "X"\nand Y')
    assert Result.from_line(original.to_line()) == original
    assert "\n" not in original.to_line()


def test_the_summary_counts_hosts_and_outcomes() -> None:
    results = [result("a"), result("b", outcome="failed"), result("b", outcome="skipped")]
    assert summary(results) == "2 hosts: 1 passed, 1 failed, 1 skipped"


def test_what_was_not_read_again_is_said_with_the_time_of_the_oldest_reading() -> None:
    old, new = (datetime(2026, 11, day, 8, 30).timestamp() for day in (23, 26))
    before = [
        replace(result(area="snapshot"), read_at=new),
        replace(result("box-2", area="engine"), read_at=old),
        result(area="cuda"),
    ]
    said = not_read_again(before)
    assert "files of engine, snapshot:" in said and "23 Nov 08:30" in said
    assert max(map(len, said.splitlines())) <= 80
    everything = [replace(result(area=area), read_at=old) for area in ("driver", "cuda", "python")]
    assert max(map(len, not_read_again([*before, *everything]).splitlines())) <= 80
    assert not_read_again([result()]) == ""
