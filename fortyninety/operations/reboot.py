"""Reboot only when the driver in memory is not the installed one."""

from __future__ import annotations

import logging
import shlex
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from paramiko import SSHException
from pyinfra import host, logger
from pyinfra.api.command import FunctionCommand
from pyinfra.api.exceptions import PyinfraError
from pyinfra.api.host import Host
from pyinfra.api.state import State

from fortyninety.connection.bounded import bounded
from fortyninety.connection.lease import take_again
from fortyninety.connection.shell import HostLost, attempt
from fortyninety.deadlines import UNIT
from fortyninety.driver.loaded import boot_obstacle, foreign_libraries, lost_cards, why_reboot
from fortyninety.driver.pins import installed_driver
from fortyninety.operations.converge import Command, converging, failing, say_failed, within
from fortyninety.operations.draining import drained_first, serves
from fortyninety.operations.reasons import differs
from fortyninety.plan.draining import Draining
from fortyninety.survey.latest import current_reading, forget_reading
from fortyninety.survey.reading import HostReading

# Seconds between attempts to reach a host that is on its way down or up.
RETRY_INTERVAL = 0.5
# Seconds for a host to answer `cat`; a connection to one that went down may hang for ever.
ANSWER_TIMEOUT = 5


@converging
def into_driver(
    reading: HostReading,
    driver_package: str,
    *,
    service: str,
    allowed: bool,
    timeout: int,
    draining: Draining | None = None,
    first: Sequence[Command] = (),
    served_alone: bool = False,
) -> Iterator[Command]:
    """Reboot until the driver in memory is the version of `driver_package`, and go on after it.

    `first` comes before it, such as waiting for what is under way there; then `service` is stopped,
    in its own time, once it has ended what it has under way by `draining`. `served_alone` leaves
    out a host where nothing starts with a boot: it is rebooted later. `timeout` is in seconds, for
    the whole way down and up. The host fails alone when the kernel that boots next has no module
    for that version or may not load it, when it does not come back in time or without a card it
    had, when the driver does not answer afterwards, and when a reboot is needed and not `allowed`.
    """
    version = installed_driver(reading, driver_package)
    reason = why_reboot(reading, version)
    obstacle = boot_obstacle(host.name, reading, version) or foreign_libraries(reading, version)
    if reason is None:
        if obstacle is not None:
            # It serves now, and would not after its next reboot, whoever makes that.
            yield failing(obstacle)
        elif reading.cards.error is not None:
            yield failing(
                f"driver {version} is in memory and answers nothing; expected its cards. "
                f"nvidia-smi says: {reading.cards.error}. Not rebooting for that: look at `dmesg | "
                "grep -i -E 'nvrm|xid'` first"
            )
        else:
            host.noop(f"driver {version} is in memory")
        return
    differs(reason)
    if obstacle is not None:
        yield failing(f"{reason}, and a reboot is needed. Not rebooting: {obstacle}")
        return
    if not allowed:
        yield failing(
            f"{reason}: a reboot is pending, and allow_reboot is False. Reboot it and run this "
            "again"
        )
        return
    if served_alone and reading.unit(service, "UnitFileState") != "enabled":
        host.noop("nothing serves after a boot: the reboot comes once everything is there")
        return
    yield from first
    if reading.unit(service, "ActiveState") in ("active", "activating", "reloading"):
        if draining is not None and serves(reading, service):
            yield drained_first(draining)
        # In its own time, which is not counted as the reboot's.
        yield within(UNIT, f"systemctl stop {shlex.quote(service)}")
    yield FunctionCommand(reboot_and_reconnect, (reason,), {"timeout": timeout})
    yield FunctionCommand(_require_driver, (version, reading), {})


def reboot_and_reconnect(state: State, host: Host, reason: str, timeout: int) -> bool:
    """Reboot `host`, wait up to `timeout` seconds until it is up with another boot id.

    False, with the reason logged, where it does not come back in time.
    """
    before = current_reading(host).os.boot_id
    deadline = time.monotonic() + timeout
    logger.info(f"{host.print_prefix}Rebooting, up to {timeout} s: {reason}")
    try:
        # Detached, so that the command returns before the connection goes away; a timer is up to a
        # minute late unless it is told to be exact.
        begun, output = attempt(
            host,
            "systemd-run --quiet --on-active=1 --timer-property=AccuracySec=100ms systemctl reboot",
        )
    except HostLost as lost:
        say_failed(host, f"cannot be rebooted: {lost}")
        return False
    if not begun:
        say_failed(host, f"cannot be rebooted: {output.stderr.strip()}")
        return False
    with _quiet_transport():
        while time.monotonic() < deadline:
            time.sleep(RETRY_INTERVAL)
            if _boot_id(host) not in (None, before):
                forget_reading(host)
                if (refused := take_again(host)) is None:
                    return True
                say_failed(host, f"rebooted, and is not ours any more: {refused}")
                return False
    say_failed(
        host,
        f"did not come back from a reboot within {timeout} s (reboot_timeout); expected another "
        "boot and an SSH login. Look at its console; when it is up, run this again",
    )
    return False


def _boot_id(host: Host) -> str | None:
    """The boot id, over a new connection where the old one is gone; None while there is none."""
    try:
        if not host.connected:
            host.connect(show_errors=False, raise_exceptions=True)
        succeeded, output = host.run_shell_command(
            "cat /proc/sys/kernel/random/boot_id", _timeout=ANSWER_TIMEOUT
        )
        if succeeded:
            return output.stdout.strip()
    except (PyinfraError, SSHException, OSError, EOFError):
        pass
    # Nothing more is asked over a connection whose host may be gone, not even to tidy up.
    bounded(host).close()
    host.disconnect()
    return None


@contextmanager
def _quiet_transport() -> Iterator[None]:
    """Without paramiko's own log: a connection that ends is what a reboot is about."""
    transport = logging.getLogger("paramiko.transport")
    level = transport.level
    transport.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        transport.setLevel(level)


def _require_driver(state: State, host: Host, version: str, before: HostReading) -> bool:
    now = current_reading(host)
    if (lost := lost_cards(before, now)) is not None:
        say_failed(host, lost)
        return False
    if why_reboot(now, version) is None and now.cards.error is None:
        return True
    say_failed(
        host,
        f"after the reboot the driver in memory is {now.loaded_driver or 'none'}"
        f"{', and nouveau has the cards' if now.driver.nouveau else ''}; expected {version}. "
        f"nvidia-smi says: {now.cards.error or 'nothing'}. Look at `dmesg | grep -i -E "
        "'nvrm|nvidia|nouveau|lockdown'`",
    )
    return False
