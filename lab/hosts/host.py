"""One disposable host, as whoever uses the lab has it."""

from __future__ import annotations

import json
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from lab import lock, paths
from lab.errors import LabError
from lab.hosts import power, ssh
from lab.hosts.power import Power
from lab.tiny_model import AWQ
from lab.tiny_model.choice import ModelChoice, named


@dataclass(frozen=True)
class LabHost:
    """One disposable host. Its methods look at the host as it is now; nothing is remembered."""

    name: str
    index: int
    address: str
    release: str
    cards: str
    image: str
    saved: tuple[str, ...]
    model: str
    model_reason: str

    @property
    def directory(self) -> Path:
        """Where the host's disk, configuration and log are on the outer machine."""
        return paths.host_directory(self.name)

    @property
    def choice(self) -> ModelChoice:
        """The model that the host is to serve, and why it is the one."""
        return ModelChoice(named(self.model), self.model_reason)

    @property
    def power(self) -> Power:
        """The host's power switch."""
        return Power(self.name, self.address)

    @property
    def log(self) -> Path:
        """The host's console."""
        return self.power.log

    @property
    def running(self) -> bool:
        """Whether the host is powered; false after `poweroff` inside it."""
        return self.power.on

    @property
    def boots(self) -> int:
        """How often the host has booted since it was made; a reboot adds one."""
        return self.power.boots

    def ssh(
        self,
        command: str,
        *,
        input_text: str | None = None,
        check: bool = False,
        timeout: float | None = None,
    ) -> subprocess.CompletedProcess[str]:
        """Run a shell command as root on the host.

        CHECK raises LabError when it does not end with 0; TIMEOUT is in seconds.
        """
        done = ssh.execute(self.address, command, input_text=input_text, timeout=timeout)
        if check and done.returncode != 0:
            raise LabError(
                f"{self.name}: `{command}` ended with {done.returncode}: "
                f"{(done.stderr + done.stdout).strip()}"
            )
        return done

    def start(self) -> None:
        """Power the host on and wait until its boot is complete; nothing when it runs."""
        with lock.exclusive():
            power.start([self.power])

    def stop(self) -> None:
        """Shut the host down in order, as its power button does, and wait until it is off."""
        with lock.exclusive():
            self.power.shut_down()

    def cut_power(self) -> None:
        """End the host in the middle of whatever it does; `start` boots it again."""
        with lock.exclusive():
            power.cut(self.name)

    def reboot(self) -> None:
        """Reboot the host from inside and wait until the new boot is complete."""
        self.power.reboot()

    def wait_until_booted(self) -> str:
        """Wait for an SSH login and the end of the boot; return what systemd says it is.

        `running`, or `degraded` when a unit failed.
        """
        return self.power.wait_until_booted()

    def processes(self) -> list[int]:
        """The processes of the host and of its supervisor, by their ids on this machine."""
        return self.power.processes()

    def memory_bytes(self) -> int:
        """The memory that the host's processes and its supervisor hold, shared pages divided."""
        total = 0
        for process in self.processes():
            try:
                rollup = Path(f"/proc/{process}/smaps_rollup").read_text()
            except (FileNotFoundError, ProcessLookupError):
                continue
            total += sum(int(kib) * 1024 for kib in re.findall(r"^Pss:\s+(\d+) kB", rollup, re.M))
        return total

    def to_json(self) -> dict[str, Any]:
        """The host as `lab status --json` shows it."""
        return {
            "name": self.name,
            "address": self.address,
            "running": self.running,
            "boots": self.boots,
            "release": self.release,
            "cards": self.cards,
            "saved": list(self.saved),
            "model": {
                "name": self.model,
                "repository": self.choice.model.repository,
                "reason": self.model_reason,
            },
        }

    @classmethod
    def read(cls, name: str) -> Self:
        """The host with this name; LabError when there is none."""
        try:
            values = json.loads((paths.host_directory(name) / "lab.json").read_text())
        except FileNotFoundError:
            known = ", ".join(host.name for host in hosts()) or "none"
            raise LabError(f"there is no lab host {name!r}; hosts: {known}") from None
        # Hosts of a lab that is older than the choice serve the model that was the only one.
        earlier = {"model": AWQ.name, "model_reason": "the only one when the host was made"}
        return cls(**{**earlier, **values, "saved": tuple(values["saved"])})


def hosts() -> list[LabHost]:
    """Every host there is, running or stopped, in order."""
    files = (paths.state_directory() / "hosts").glob("lab*/lab.json")
    return sorted((LabHost.read(file.parent.name) for file in files), key=lambda host: host.index)
