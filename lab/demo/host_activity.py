"""Read from outside what a lab host is doing at this moment."""

from __future__ import annotations

import stat
import subprocess
import time
from pathlib import Path
from typing import Self

from lab import cgroups
from lab.hosts import LabHost
from lab.last_line import last_line, printable_line
from lab.network import bridge

# Logs to which a line is added as work goes on: dpkg's, and make's while DKMS builds the driver.
_LOGS = ("var/log/dpkg.log", "var/lib/dkms/*/*/build/make.log")
_JOURNAL = "var/log/journal"
_SERVICE = "vllm.service"
# A log that was quiet for longer says nothing about the work of now.
_FRESH_SECONDS = 20.0


class HostActivity:
    """Calling it says in one or two lines what moves on the host; nothing is run there for it.

    DISK is the host's own layer of its disk, LINK the directory of its network link's counters,
    CPU_STAT the file with the time its processes used. Counts begin when it is made.
    """

    def __init__(self, disk: Path, link: Path, cpu_stat: Path) -> None:
        self.serving = False  # whether to show the engine's log, which nothing else writes
        self._disk = disk
        self._received = link / "tx_bytes"  # what this machine's end sends, the host receives
        self._cpu_stat = cpu_stat
        self._bytes_before = self._bytes()
        self._seconds_before = self._cpu_seconds()

    @classmethod
    def of(cls, host: LabHost) -> Self:
        """Watch a host that is up."""
        return cls(
            host.directory / "upper",
            Path("/sys/class/net", bridge.link_name(host.name), "statistics"),
            cgroups.unified_root() / cgroups.PARENT / f"host-{host.name}" / "cpu.stat",
        )

    def __call__(self) -> str:
        """Say what was received and computed so far, and the last line of what is being logged."""
        megabytes = (self._bytes() - self._bytes_before) / 1e6
        seconds = self._cpu_seconds() - self._seconds_before
        line = self._engine_line() if self.serving else self._log_line()
        return f"{megabytes:,.0f} MB received, {seconds:,.0f} s of CPU\n{line}".rstrip()

    def _bytes(self) -> int:
        try:
            return int(self._received.read_text())
        except (OSError, ValueError):
            return 0

    def _cpu_seconds(self) -> float:
        try:
            fields = dict(line.split() for line in self._cpu_stat.read_text().splitlines())
            return int(fields["usage_usec"]) / 1e6
        except (OSError, ValueError, KeyError):
            return 0.0

    def _log_line(self) -> str:
        newest, changed = None, time.time() - _FRESH_SECONDS
        for pattern in _LOGS:
            for log in self._disk.glob(pattern):
                # The host decides what lies on its disk: a link would lead out of it, a pipe block.
                try:
                    found = log.lstat()
                except OSError:
                    continue
                if stat.S_ISREG(found.st_mode) and found.st_mtime > changed:
                    newest, changed = log, found.st_mtime
        return last_line(newest) if newest else ""

    def _engine_line(self) -> str:
        command = [
            *("journalctl", f"--directory={self._disk / _JOURNAL}", f"--unit={_SERVICE}"),
            *("--lines=1", "--output=cat", "--no-pager", "--quiet"),
        ]
        try:
            done = subprocess.run(
                command, stdin=subprocess.DEVNULL, capture_output=True, timeout=2, check=False
            )
        except (OSError, subprocess.TimeoutExpired):
            return ""
        return printable_line(done.stdout)
