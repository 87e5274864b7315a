"""End a drain at its moment by a timer of systemd, which outlives reboots."""

from __future__ import annotations

import subprocess
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from fortyninety.on_host.gateway_control import write_file

NAME = "fortyninety-undrain"
# Seconds for systemd to read its units.
TIMEOUT = 60
# Where systemd keeps when a persistent timer was due last.
STAMP = Path(f"/var/lib/systemd/timers/stamp-{NAME}.timer")

_SERVICE = """# Written by fortyninety, for as long as this box is drained.
[Unit]
Description=Have this box take requests again

[Service]
Type=oneshot
ExecStart={program} expire
Restart=on-failure
RestartSec=10
"""
# A moment that passed while the box was off is made up for as it boots.
_TIMER = """# Written by fortyninety, for as long as this box is drained.
[Unit]
Description=Have this box take requests again at its moment

[Timer]
OnCalendar={moment} UTC
Persistent=true
AccuracySec=1s

[Install]
WantedBy=timers.target
"""


class TimerUnusable(Exception):
    """Why systemd did not take the timer."""


@dataclass(frozen=True)
class Timer:
    """The timer, whose units are in `folder`."""

    folder: Path
    program: Path

    @property
    def _units(self) -> tuple[Path, Path]:
        return self.folder / f"{NAME}.service", self.folder / f"{NAME}.timer"

    def begin(self, until: int) -> None:
        """Have it end at `until`, in seconds since 1970. Raises TimerUnusable."""
        service, timer = self._units
        moment = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(until))
        write_file(service, _SERVICE.format(program=self.program), 0o644)
        write_file(timer, _TIMER.format(moment=moment), 0o644)
        _systemctl("daemon-reload")
        _systemctl("enable", "--quiet", timer.name)
        # One that is there is of another moment.
        _systemctl("restart", timer.name)

    def end(self) -> None:
        """No timer, and nothing of it. Raises TimerUnusable."""
        service, timer = self._units
        if not service.exists() and not timer.exists():
            return
        if timer.exists():
            _systemctl("disable", "--quiet", "--now", timer.name)
        for path in (timer, service, STAMP):
            with suppress(FileNotFoundError):
                path.unlink()
        _systemctl("daemon-reload")


def _systemctl(*words: str) -> None:
    try:
        ran = subprocess.run(
            ["systemctl", *words], capture_output=True, text=True, timeout=TIMEOUT, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise TimerUnusable(f"systemctl {' '.join(words)}: {error}") from error
    if ran.returncode != 0:
        said = " ".join(ran.stderr.split())
        raise TimerUnusable(f"systemctl {' '.join(words)}: {said:.300}")
