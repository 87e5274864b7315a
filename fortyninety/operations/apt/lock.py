"""Wait for others that use apt, and say who they are."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass

from pyinfra import logger
from pyinfra.api.host import Host

from fortyninety.connection.shell import shell

# Seconds between two looks, and between two lines that say what is waited for.
INTERVAL = 1.0
SAID_EVERY = 30.0

# Who has locked one of apt's files, the front end first. A process that waits for a lock has the
# file open as well: only the kernel's own list of a descriptor's locks tells them apart.
_HOLDERS = r"""
LC_ALL=C
read -r uptime _ </proc/uptime
ticks=$(getconf CLK_TCK)
for lock in /var/lib/dpkg/lock-frontend /var/lib/dpkg/lock /var/lib/apt/lists/lock \
  /var/cache/apt/archives/lock; do
  find /proc/[0-9]*/fd -lname "$lock" 2>/dev/null
done | while read -r link; do
  process=${link#/proc/}
  process=${process%%/*}
  grep -q '^lock:' "/proc/$process/fdinfo/${link##*/}" 2>/dev/null || continue
  # The name of a program in parentheses may hold whatever its owner likes, line ends too: the
  # fields are counted behind the last parenthesis, and only digits get into the arithmetic.
  started=$(tr '\n' ' ' 2>/dev/null <"/proc/$process/stat" | sed 's/.*) //' | cut -d ' ' -f 20)
  case $started in '' | *[!0-9]*) started=0 ;; esac
  printf '%s\t%s\t%s\n' "$process" "$((${uptime%.*} - started / ticks))" \
    "$(head -c 100 2>/dev/null <"/proc/$process/cmdline" | tr '\0' ' ' | tr -c ' -~' '?')"
done
exit 0
"""

# A line of what it prints.
_HOLDER = re.compile(r"(\d{1,10})\t(-?\d{1,15})\t([ -~]{0,100})", re.ASCII)


@dataclass(frozen=True)
class Holder:
    """A process that holds one of apt's locks, and for how many seconds it has run."""

    process: int
    seconds: int
    command: str

    def __str__(self) -> str:
        command = self.command.strip() or "a process that has just ended"
        return f"`{command}` (process {self.process}, running for {self.seconds} s)"


def read_holders(output: str) -> list[Holder]:
    """The holders, each once, from what the script printed; what is no such line is left out."""
    found: dict[int, Holder] = {}
    for line in output.split("\n"):
        if (read := _HOLDER.fullmatch(line)) is not None:
            process, seconds = int(read[1]), max(0, int(read[2]))
            found.setdefault(process, Holder(process, seconds, read[3]))
    return list(found.values())


def wait_for_lock(host: Host, left: int, timeout: int) -> str | None:
    """Wait until nobody else uses apt on `host`; None then, or why not within the `left` seconds.

    `timeout` is how long was to be waited in all. Raises HostLost where the host cannot be asked.
    """
    deadline = time.monotonic() + left
    said: float | None = None
    while holders := read_holders(shell(host, _HOLDERS).stdout):
        now = time.monotonic()
        who = " and ".join(str(holder) for holder in holders)
        if now >= deadline:
            return (
                f"apt is in use by {who}; expected it free within {timeout} s (apt_lock_timeout). "
                "Run this again when it is done. Unattended upgrades end in order with `systemctl "
                "stop unattended-upgrades`; never kill dpkg"
            )
        if said is None or now - said >= SAID_EVERY:
            said = now
            logger.info(
                f"{host.print_prefix}Waiting for {who}, which uses apt, up to "
                f"{deadline - now:.0f} s more"
            )
        time.sleep(INTERVAL)
    return None
