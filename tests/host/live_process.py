"""The process that serves, as systemd and the kernel show it."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from typing import Any

from testinfra.host import Host

from tests.host.on_host import read

SERVICE = "vllm.service"


@dataclass(frozen=True)
class LiveProcess:
    """The service: its unit's properties as systemd has them loaded, and its processes.

    The first process is the main one; the others are what it started. `is_link` where the unit's
    file is a symbolic link.
    """

    unit: dict[str, str]
    processes: tuple[dict[str, Any], ...]
    is_link: bool

    @property
    def main(self) -> dict[str, Any]:
        """The main process, which must be running."""
        state = self.unit.get("ActiveState"), self.unit.get("SubState")
        assert self.processes and self.unit.get("MainPID", "0") != "0", (
            f"{SERVICE} has no process: it is {'/'.join(map(str, state))} "
            f"({self.unit.get('LoadState')}); expected it to run. Look at "
            f"`systemctl status {SERVICE}` and `journalctl -u {SERVICE}`, then deploy again"
        )
        return self.processes[0]

    @property
    def pids(self) -> set[int]:
        """Every process of the service."""
        return {each["pid"] for each in self.processes}

    @property
    def arguments(self) -> list[str]:
        """The engine's own argument list: in a cell, what follows the program that runs it."""
        whole: list[str] = self.main["arguments"]
        if "--cell" in whole and "--" in whole:
            return whole[whole.index("--") + 1 :]
        return whole

    @property
    def environment(self) -> dict[str, str]:
        """The environment variables of the main process."""
        variables: dict[str, str] = self.main["environment"]
        return variables

    @property
    def directory(self) -> str:
        """The folder of the Python environment that the process runs from."""
        program = next((word for word in self.arguments if "/bin/" in word), "")
        assert program, (
            f"the process is {without_secrets(self.arguments)}; expected a program of bin/"
        )
        return program.rpartition("/bin/")[0]

    def values(self, flag: str) -> list[str]:
        """What follows `flag`, each time that it is on the command line."""
        found = []
        for word, after in zip(self.arguments, [*self.arguments[1:], ""], strict=True):
            if word == flag:
                found.append(after)
            elif word.startswith(f"{flag}="):
                found.append(word.partition("=")[2])
        return found

    def argument(self, flag: str) -> str | None:
        """The value of `flag`, or None without it; the last counts, as for the engine itself."""
        return (self.values(flag) or [None])[-1]

    @property
    def exec_start(self) -> list[str]:
        """The command line that systemd would start now, word by word."""
        shown = self.unit.get("ExecStart", "")
        words = shown.partition("argv[]=")[2].partition(" ; ignore_errors=")[0]
        return shlex.split(words) if words.count('"') % 2 == 0 else words.split()


SECRET = re.compile(r"key|token(?!s)|secret|passw|credential", re.IGNORECASE)


def without_secrets(words: list[str]) -> str:
    """A command line for a message, with nothing in it that follows a secret's name."""
    shown = []
    for before, word in zip(["", *words], words, strict=False):
        name, is_assigned, _ = word.partition("=")
        if before.startswith("-") and SECRET.search(before) and not word.startswith("-"):
            shown.append("...")
        elif is_assigned and SECRET.search(name):
            shown.append(f"{name}=...")
        else:
            shown.append(word)
    return " ".join(shown)


def read_live_process(host: Host) -> LiveProcess:
    """The service as it is now."""
    found = read(host, "service_processes", SERVICE)
    return LiveProcess(found["unit"], tuple(found["processes"]), found["is_link"])
