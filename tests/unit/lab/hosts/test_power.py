"""A host that does not come up is explained: its log goes when the host does."""

from __future__ import annotations

from pathlib import Path

import pytest

from lab import cgroups
from lab.errors import LabError
from lab.hosts import power
from lab.hosts.power import Power

CONSOLE = (
    "\x1b[0;1;31mlong ago\x1b[0m\n"
    + "".join(f"step {number}\n" for number in range(9))
    + "\nmount: /lab/root: special device lab1 does not exist\r\n\n"
)


@pytest.fixture
def dead(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Power:
    """A host that has just ended, in a lab of its own."""
    monkeypatch.setenv("FORTYNINETY_LAB_DIR", str(tmp_path))
    monkeypatch.setattr(cgroups, "alive", lambda name: False)
    monkeypatch.setattr(power, "_accepts_ssh", lambda address: False)
    host = Power("lab1", "10.90.0.11")
    host.log.parent.mkdir(parents=True)
    return host


def test_a_host_that_stops_while_it_boots_says_what_its_console_said_last(dead: Power) -> None:
    dead.log.write_text(CONSOLE)
    with pytest.raises(LabError) as raised:
        dead.wait_until_booted()
    first, *console = str(raised.value).splitlines()
    assert first == f"lab1 stopped while it booted: see {dead.log}, which ends with"
    assert console == [
        *(f"  step {number}" for number in range(9)),
        "  mount: /lab/root: special device lab1 does not exist",
    ]


def test_a_host_without_a_console_is_one_line(dead: Power) -> None:
    with pytest.raises(LabError) as raised:
        dead.wait_until_booted()
    assert str(raised.value) == f"lab1 stopped while it booted: see {dead.log}"
