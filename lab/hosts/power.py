"""Power a host on and off: a supervisor in a control group of its own."""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
import time
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

from lab import cgroups, paths
from lab.errors import LabError
from lab.hosts import ssh
from lab.json_file import write_json
from lab.last_line import last_lines
from lab.network import bridge
from lab.progress import note, step

# A boot takes 2 s and a shutdown 1 s on an idle machine; the rest is for one that compiles.
_BOOT_SECONDS = 90.0
_STOP_SECONDS = 90.0
_SUPERVISOR = Path(__file__).with_name("supervisor.py")


@dataclass(frozen=True)
class Power:
    """The power switch of one host. What it says is so now; nothing is remembered."""

    name: str
    address: str

    @property
    def log(self) -> Path:
        """The host's console."""
        return paths.host_directory(self.name) / "console.log"

    @property
    def on(self) -> bool:
        """Whether the host is powered; false after `poweroff` inside it."""
        return cgroups.alive(_control_group(self.name))

    @property
    def boots(self) -> int:
        """How often the host has booted since it was made; a reboot adds one."""
        counter = self._boots_file
        return int(counter.read_text()) if counter.exists() else 0

    @property
    def _boots_file(self) -> Path:
        return paths.host_directory(self.name) / "boots"

    def processes(self) -> list[int]:
        """The processes of the host and of its supervisor, by their ids on this machine."""
        return cgroups.processes(_control_group(self.name))

    def switch_on(self) -> None:
        """Start the supervisor, which boots the host."""
        # Of a supervisor that was killed: an empty group, and a link the kernel has yet to remove.
        cut(self.name)
        group = cgroups.unified_root() / cgroups.PARENT / _control_group(self.name)
        file = paths.host_directory(self.name) / "supervisor.json"
        write_json(file, {**json.loads(file.read_text()), "control_group": str(group)})
        cgroups.spawn(
            _control_group(self.name),
            [
                *("unshare", "--mount", "--propagation", "private"),
                *("--pid", "--fork", "--kill-child", "--mount-proc"),
                *(sys.executable, "-I", str(_SUPERVISOR)),
                str(file),
            ],
            log=self.log,
        )

    def wait_for_supervisor(self) -> None:
        """Wait until the supervisor has entered its group, so that `on` means something."""
        deadline = time.monotonic() + _BOOT_SECONDS
        while not self.on and not self._boots_file.exists():
            if time.monotonic() > deadline:
                raise self._error("could not be started")
            time.sleep(0.01)

    def wait_until_booted(self) -> str:
        """Wait for an SSH login and the end of the boot; return what systemd says it is.

        `running`, or `degraded` when a unit failed.
        """
        deadline = time.monotonic() + _BOOT_SECONDS
        while True:
            if _accepts_ssh(self.address):
                command = "systemctl is-system-running --wait"
                done = ssh.execute(self.address, command, timeout=_BOOT_SECONDS)
                if done.stdout.strip() in ("running", "degraded"):
                    return done.stdout.strip()
            if not self.on:
                raise self._error("stopped while it booted")
            if time.monotonic() > deadline:
                raise self._error(
                    f"at {self.address} did not finish booting within {_BOOT_SECONDS:.0f} s"
                )
            time.sleep(0.02)

    def reboot(self) -> None:
        """Reboot the host from inside and wait until the new boot is complete."""
        before = self.boots
        ssh.execute(self.address, "systemctl reboot")
        deadline = time.monotonic() + _BOOT_SECONDS
        while self.boots == before:
            if time.monotonic() > deadline or not self.on:
                raise self._error("did not come back from its reboot")
            time.sleep(0.05)
        self.wait_until_booted()

    def shut_down(self) -> None:
        """Shut the host down in order, as its power button does, and wait until it is off."""
        supervisor = self._supervisor()
        if supervisor is not None:
            os.kill(supervisor, signal.SIGTERM)
            deadline = time.monotonic() + _STOP_SECONDS
            while self.on:
                if time.monotonic() > deadline:
                    raise self._error("does not shut down")
                time.sleep(0.02)
        cut(self.name)

    def _supervisor(self) -> int | None:
        """The process that turns SIGTERM into an orderly shutdown."""
        for process in self.processes():
            arguments = Path(f"/proc/{process}/cmdline").read_bytes().split(b"\0")
            if str(_SUPERVISOR).encode() in arguments and arguments[0] != b"unshare":
                return process
        return None

    def _error(self, what: str) -> LabError:
        """Say what went wrong, with the end of the console: the log goes when the host does."""
        said = [f"\n  {line}" for line in last_lines(self.log)]
        shown = f", which ends with{''.join(said)}" if said else ""
        return LabError(f"{self.name} {what}: see {self.log}{shown}")


def start(wanted: Sequence[Power]) -> None:
    """Power on those that are off, all at once, and wait for every boot."""
    stopped = [power for power in wanted if not power.on]
    for power in stopped:
        power.switch_on()
    for power in wanted:
        booting = f"booting {power.name} ({power.address})"
        # One that runs may have been started by a command that was cut off before its boot ended.
        with step(booting) if power in stopped else nullcontext():
            power.wait_for_supervisor()
            state = power.wait_until_booted()
        if state != "running":
            command = "systemctl list-units --failed --plain --no-legend"
            failed = ssh.execute(power.address, command).stdout.strip()
            note(f"{power.name} is {state}: {failed}")


def cut(name: str) -> None:
    """End a host in the middle of whatever it does."""
    cgroups.kill(_control_group(name))
    bridge.remove_host_link(name)


def _accepts_ssh(address: str) -> bool:
    try:
        # Short: the first packet to an address that is not there yet is lost, and the kernel sends
        # another only a second later.
        with socket.create_connection((address, 22), timeout=0.2) as connection:
            return connection.recv(4) == b"SSH-"
    except OSError:
        return False


def _control_group(name: str) -> str:
    return f"host-{name}"
