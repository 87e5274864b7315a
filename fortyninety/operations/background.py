"""Have a host do something behind the stages that follow, and wait for it."""

from __future__ import annotations

from pyinfra.api.command import StringCommand

from fortyninety.operations.converge import within
from fortyninety.plan.priority import BEHIND

# What it gets of a processor and a disk that others want too; a unit has 100 of each.
SHARE = 20


def beginning(unit: str, command: str, *, seconds: int, identifier: str) -> str:
    """A shell command that begins `command` as the transient scope `unit`, unless it is at work.

    It outlives the connection, comes after what serves, and is ended after so many `seconds`. What
    it says is in the journal, by its `identifier`.
    """
    # A scope has the environment of the login: its proxies, its certificates, root's home.
    return (
        f"systemctl is-active --quiet {unit} || setsid --fork systemd-run --quiet --scope "
        f"--collect --unit={unit} -p CPUWeight={SHARE} -p IOWeight={SHARE} "
        f"-p RuntimeMaxSec={seconds} systemd-cat --identifier={identifier} "
        f"{BEHIND} {command} </dev/null >/dev/null 2>&1"
    )


def ended(unit: str, seconds: int) -> StringCommand:
    """A command that waits until `unit` is not at work any more."""
    return within(seconds, f"while systemctl is-active --quiet {unit}; do sleep 1; done")


def stopping(*units: str) -> str:
    """A shell command that ends those of `units` that are at work."""
    return " && ".join(
        f"{{ ! systemctl is-active --quiet {unit} || systemctl stop {unit}; }}" for unit in units
    )
