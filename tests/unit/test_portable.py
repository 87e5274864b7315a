"""A controller may be a Mac: what runs there uses nothing that only Linux has."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from fortyninety.checkout import ROOT

# By the "Availability" of each in Python's documentation: not on macOS.
LINUX_ALONE = {
    "os": """
        CLONE_NEWNS EFD_CLOEXEC GRND_NONBLOCK MFD_CLOEXEC O_DIRECT O_LARGEFILE O_NOATIME O_PATH
        O_RSYNC O_TMPFILE P_PIDFD RTLD_DEEPBIND copy_file_range eventfd fdatasync getrandom
        getresgid getresuid getxattr listxattr memfd_create pidfd_open pipe2 posix_fadvise
        posix_fallocate posix_openpt removexattr sched_getaffinity sched_setaffinity
        sched_setscheduler setns setresgid setresuid setxattr splice timerfd_create unshare
    """,
    "select": "epoll EPOLLIN EPOLLOUT EPOLLET",
    "signal": "SIGPWR SIGPOLL SIGRTMIN SIGRTMAX sigtimedwait sigwaitinfo pidfd_send_signal",
    "socket": """
        AF_NETLINK AF_PACKET AF_VSOCK MSG_CMSG_CLOEXEC SOCK_CLOEXEC SOCK_NONBLOCK
        SO_BINDTODEVICE SO_MARK SO_PEERCRED TCP_CONGESTION TCP_CORK TCP_DEFER_ACCEPT TCP_LINGER2
        TCP_QUICKACK TCP_USER_TIMEOUT IP_TRANSPARENT
    """,
    "resource": "prlimit RLIMIT_MSGQUEUE RLIMIT_NICE RLIMIT_RTPRIO RLIMIT_SIGPENDING",
    "fcntl": "F_ADD_SEALS F_SETPIPE_SZ F_NOTIFY",
    "mmap": "MAP_POPULATE",
    "time": "CLOCK_BOOTTIME CLOCK_TAI",
}
ALONE = {(module, name) for module, names in LINUX_ALONE.items() for name in names.split()}
# What is in it runs on hosts.
ON_HOSTS = "on_host/"
# As on a Mac, before anything of the project is imported.
WITHOUT = f"""
import importlib, runpy, sys
for module, names in {LINUX_ALONE!r}.items():
    loaded = importlib.import_module(module)
    for name in names.split():
        vars(loaded).pop(name, None)
    if hasattr(loaded, "__all__"):
        loaded.__all__ = [name for name in loaded.__all__ if name not in names.split()]
sys.argv = ["fortyninety", *sys.argv[1:]]
runpy.run_module("fortyninety", run_name="__main__")
"""


def used(file: Path) -> Iterator[tuple[str, str, str]]:
    where = str(file.relative_to(ROOT))
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            yield node.value.id, node.attr, f"{where}:{node.lineno}"
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from ((node.module, name.name, f"{where}:{node.lineno}") for name in node.names)


def test_the_controller_uses_nothing_that_linux_alone_has() -> None:
    package = ROOT / "fortyninety"
    files = [
        file
        for file in sorted(package.rglob("*.py"))
        if not str(file.relative_to(package)).startswith(ON_HOSTS)
    ]
    assert len(files) > 100
    uses = [use for file in files for use in used(file)]
    assert [where for module, name, where in uses if (module, name) in ALONE] == []


@pytest.mark.parametrize(
    "words",
    [
        ["--version"],
        ["models", "--cards", "2x4090", "--json"],
        ["settings", "--json"],
        ["drift", "inventory/example.py", "--help"],
        ["doctor", "INVENTORY", "--json"],
    ],
    ids=" ".join,
)
def test_commands_run_without_it(words: list[str], tmp_path: Path) -> None:
    # Nothing listens there: the command connects as it does anywhere, and says so.
    inventory = tmp_path / "boxes.py"
    inventory.write_text('boxes = [("box", {"ssh_hostname": "127.0.0.1", "ssh_port": 9})]\n')
    asked = [str(inventory) if word == "INVENTORY" else word for word in words]
    ran = subprocess.run(
        [sys.executable, "-c", WITHOUT, *asked],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "Traceback" not in ran.stderr and ran.returncode in (0, 1, 2), ran.stderr
    assert ran.stdout, ran.stderr
    if words[0] == "doctor":
        assert "127.0.0.1" in ran.stdout and "defect" not in ran.stdout, ran.stdout
    else:
        assert ran.returncode == 0, ran.stderr
