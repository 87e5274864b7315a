"""When an operation reboots a host into its driver, and what it waits for before."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from pyinfra.api.command import FunctionCommand, StringCommand
from pyinfra.context import ctx_host, ctx_state

from fortyninety.operations import converge
from fortyninety.operations.reboot import into_driver, reboot_and_reconnect
from fortyninety.plan.paths import SERVICE
from fortyninety.survey.reading import HostReading, PackageState
from tests.unit import readings

DRIVER = "nvidia-kernel-dkms"
WAITING = StringCommand("wait for what is under way")


def installed(unit: dict[str, str]) -> HostReading:
    """A host with a driver on the disk, its module built, and none in memory."""
    bare = readings.bare_host()
    return readings.changed(
        bare,
        apt__packages={**bare.apt.packages, DRIVER: PackageState("550.163.01-2", held=True)},
        kernels__modules=dict.fromkeys(bare.kernels.modules, "550.163.01"),
        service__units={SERVICE: unit},
    )


BARE = installed({})
# It starts with a boot, and serves until then.
SERVES = installed({"UnitFileState": "enabled", "ActiveState": "active"})


@pytest.fixture
def commands(monkeypatch: pytest.MonkeyPatch) -> Any:
    """What the operation would do on a host that reads so: its commands, a function by its name."""

    def of(reading: HostReading, **changes: Any) -> list[str]:
        monkeypatch.setattr(converge, "current_reading", lambda host: reading)
        host = SimpleNamespace(name="box1", current_op_hash=None, noop=lambda text: None)
        given = {"service": SERVICE, "allowed": True, "timeout": 60, "first": (WAITING,), **changes}
        with ctx_host.use(host), ctx_state.use(SimpleNamespace(is_executing=False)):
            made = list(into_driver._inner(DRIVER, **given))
        return [
            each.function.__name__ if isinstance(each, FunctionCommand) else str(each)
            for each in made
        ]

    return of


REBOOT = [reboot_and_reconnect.__name__, "_require_driver"]
STOP = f"systemctl stop {SERVICE}"


def test_a_reboot_waits_for_what_is_under_way_and_only_then_stops_what_serves(
    commands: Any,
) -> None:
    assert commands(BARE) == [str(WAITING), *REBOOT]
    assert commands(SERVES) == [str(WAITING), STOP, *REBOOT]


def test_a_host_where_nothing_starts_with_a_boot_is_rebooted_once_all_is_there(
    commands: Any,
) -> None:
    assert commands(BARE, served_alone=True) == []
    assert commands(SERVES, served_alone=True) == [str(WAITING), STOP, *REBOOT]


def test_what_forbids_the_reboot_is_said_at_once(commands: Any) -> None:
    """Before the model is waited for, on a bare host too."""
    assert commands(BARE, served_alone=True, allowed=False) == ["fail"]
    unbuilt = readings.changed(BARE, kernels__modules=dict.fromkeys(BARE.kernels.modules))
    assert commands(unbuilt, served_alone=True) == ["fail"]
