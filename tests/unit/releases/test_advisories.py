"""What is known against a release is said in one line, with the release that mends most."""

from __future__ import annotations

import json

import click
import pytest
from click.testing import CliRunner

from fortyninety.cli import main
from fortyninety.releases.advisories import advisory_line, fixed_by
from fortyninety.releases.release import known_releases, load_release
from fortyninety.settings.defaults import default_setting

# Of several that fix equally many and ask for the same driver, the latest is named.
LATEST = [release for release in known_releases() if load_release(release).device == "cuda"][-1]


def test_the_release_that_fixes_most_is_named_with_the_driver_it_needs() -> None:
    release = load_release("0.8.5.post1")
    line = advisory_line(release)
    assert line is not None
    assert f"has {len(release.advisories)} known advisories" in line
    assert f"{LATEST} (driver 580 or later) fixes {len(release.advisories)}" in line


def test_a_release_with_nothing_known_has_no_line() -> None:
    assert advisory_line(load_release(LATEST)) is None


def test_an_engine_for_another_device_mends_nothing() -> None:
    fix = fixed_by(load_release("0.6.3.post1"))
    assert fix is not None and fix.release == LATEST


@pytest.mark.parametrize("release", known_releases())
def test_an_advisory_is_open_only_below_the_release_that_fixes_it(release: str) -> None:
    def numbers(version: str) -> list[int]:
        return [int(part) for part in version.split(".") if part.isdigit()]

    known = load_release(release)
    for advisory in known.advisories:
        if advisory.fixed_in is not None:
            assert numbers(known.version) < numbers(advisory.fixed_in), advisory


def test_engine_list_shows_every_release_and_the_default() -> None:
    shown = CliRunner().invoke(main, ["engine", "list", "--json"])
    assert shown.exit_code == 0
    listed = {each["release"]: each for each in json.loads(shown.output)["result"]["releases"]}
    assert list(listed) == known_releases()
    assert [name for name, each in listed.items() if each["default"]] == [default_setting("engine")]
    assert listed["0.32.0"]["driver_floor"] == 580


def test_engine_list_fits_a_terminal_of_80_columns() -> None:
    terminal = {"COLUMNS": "80", "TTY_COMPATIBLE": "1", "NO_COLOR": "1"}
    shown = CliRunner(env=terminal).invoke(main, ["engine", "list", "--advisories"])
    assert max(len(click.unstyle(line)) for line in shown.output.splitlines()) <= 80
    for release in known_releases():
        assert f" {release} " in shown.output


def test_engine_list_in_a_pipe_has_a_line_for_each_row_and_no_boxes() -> None:
    shown = CliRunner(env={"COLUMNS": "40"}).invoke(main, ["engine", "list", "--advisories"])
    assert shown.output.isascii()
    for release in known_releases():
        for advisory in load_release(release).advisories:
            assert any(
                advisory.id in line and line.rstrip().endswith(advisory.summary)
                for line in shown.output.splitlines()
            )


def test_a_lock_of_an_unknown_release_is_refused_with_those_there_are() -> None:
    refused = CliRunner().invoke(main, ["engine", "lock", "0.9.9"])
    assert refused.exit_code == 2
    assert "0.9.9 is not one of 0.6.3.post1, 0.8.5.post1, 0.32.0, 0.32.0-cpu" in refused.output
