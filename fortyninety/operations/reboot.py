"""A reboot that is only made when the driver in memory is not the installed one."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager

from paramiko import SSHException
from pyinfra import host, logger
from pyinfra.api.command import FunctionCommand
from pyinfra.api.exceptions import PyinfraError
from pyinfra.api.host import Host
from pyinfra.api.state import State

from fortyninety.current_state import current_state, forget_state
from fortyninety.facts.survey import HostState
from fortyninety.operations.converging import Command, converging, failing, say_failed
from fortyninety.plan import installed_driver

# Seconds between attempts to reach a host that is on its way down or up.
RETRY_INTERVAL = 0.5
# Seconds for a host to answer `cat`; a connection to one that went down may hang for ever.
ANSWER_TIMEOUT = 5


@converging
def into_driver(
    state: HostState, driver_package: str, *, allowed: bool, timeout: int
) -> Iterator[Command]:
    """Reboot until the driver in memory is the version of `driver_package`, and go on after it.

    `timeout` is in seconds, for the whole way down and up. The host fails alone when the kernel
    that boots next has no module for that version, when it does not come back in time, when the
    driver does not answer afterwards, and when a reboot is needed and not `allowed`.
    """
    version = installed_driver(state, driver_package)
    if version is not None and state.loaded_driver == version and not state.nouveau_loaded:
        host.noop(f"driver {version} is in memory")
        return
    kernel = state.next_kernel
    built = state.kernels.get(kernel) if kernel else None
    if built != version:
        yield failing(
            f"the kernel that boots next, {kernel}, has NVIDIA module {built or 'none'}; expected "
            f"{version}. Not rebooting: see `dkms status` and /var/lib/dkms/*/*/build/make.log"
        )
        return
    if not allowed:
        yield failing(
            f"driver {version} is installed and {state.loaded_driver or 'none'} is in memory: a "
            "reboot is pending, and allow_reboot is False. Reboot it and run this again"
        )
        return
    yield FunctionCommand(reboot_and_reconnect, (), {"timeout": timeout})
    yield FunctionCommand(_require_driver, (version,), {})


def reboot_and_reconnect(state: State, host: Host, timeout: int) -> bool:
    """Reboot `host`, wait up to `timeout` seconds until it is up with another boot id.

    False, with the reason logged, where it does not come back in time.
    """
    before = current_state(host).boot_id
    deadline = time.monotonic() + timeout
    logger.info(f"{host.print_prefix}Rebooting, up to {timeout} s")
    # Detached, so that the command returns before the connection goes away.
    host.run_shell_command("systemd-run --quiet --on-active=1 systemctl reboot")
    with _quiet_transport():
        while time.monotonic() < deadline:
            time.sleep(RETRY_INTERVAL)
            if _boot_id(host) not in (None, before):
                forget_state(host)
                return True
    say_failed(host, f"did not come back from a reboot within {timeout} s (reboot_timeout)")
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


def _require_driver(state: State, host: Host, version: str) -> bool:
    now = current_state(host)
    if now.loaded_driver == version:
        return True
    say_failed(
        host,
        f"after the reboot the driver in memory is {now.loaded_driver or 'none'}; expected "
        f"{version}. nvidia-smi says: {now.gpu_error or 'nothing'}",
    )
    return False
