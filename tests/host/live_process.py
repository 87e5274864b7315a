"""The process that serves, as the kernel shows it."""

from __future__ import annotations

from testinfra.host import Host

SERVICE = "vllm.service"


def main_pid(host: Host) -> int:
    """The process id of the service, which must be running."""
    pid = int(host.check_output(f"systemctl show --property=MainPID --value {SERVICE}"))
    assert pid > 0, f"{SERVICE} has no process. Look at `journalctl -u {SERVICE}`"
    return pid


def arguments(host: Host) -> list[str]:
    """The running process's whole argument list."""
    shown = host.check_output(f"tr '\\0' '\\n' < /proc/{main_pid(host)}/cmdline")
    return str(shown).splitlines()


def argument(host: Host, flag: str) -> str | None:
    """The value after `flag` on the running process's command line, or None without it."""
    found = arguments(host)
    return found[found.index(flag) + 1] if flag in found else None


def environment_directory(host: Host) -> str:
    """The folder of the Python environment that the process runs from."""
    program = next(word for word in arguments(host) if "/bin/" in word)
    return program.rpartition("/bin/")[0]
