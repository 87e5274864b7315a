"""What moves on a lab host is read from its disk and its counters, without asking the host."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from lab.demo.host_activity import HostActivity


class Host:
    """The files of a host that an activity reads."""

    def __init__(self, directory: Path) -> None:
        self.disk = directory / "upper"
        self.link = directory / "statistics"
        self.cpu_stat = directory / "cpu.stat"
        self.disk.mkdir()
        self.link.mkdir()
        self.counted(received=5_000_000, microseconds=2_000_000)

    def counted(self, *, received: int, microseconds: int) -> None:
        (self.link / "tx_bytes").write_text(f"{received}\n")
        self.cpu_stat.write_text(f"usage_usec {microseconds}\nuser_usec 1\n")

    def log(self, name: str, content: bytes, *, age: float = 0.0) -> Path:
        path = self.disk / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        os.utime(path, (time.time() - age, time.time() - age))
        return path

    def activity(self) -> HostActivity:
        return HostActivity(self.disk, self.link, self.cpu_stat)


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


def test_counts_begin_when_it_is_made(host: Host) -> None:
    activity = host.activity()
    host.counted(received=817_000_000, microseconds=145_400_000)
    assert activity() == "812 MB received, 143 s of CPU"


def test_a_host_that_is_down_has_moved_nothing(tmp_path: Path) -> None:
    activity = HostActivity(tmp_path / "none", tmp_path / "none", tmp_path / "none")
    assert activity() == "0 MB received, 0 s of CPU"


def test_the_log_that_was_written_last_is_shown(host: Host) -> None:
    host.log("var/log/dpkg.log", b"2026-11-26 01:34:44 status unpacked dkms:all 3.2\n", age=8)
    assert host.activity()().endswith("CPU\nstatus unpacked dkms:all 3.2")
    host.log("var/lib/dkms/nvidia-current/550.163.01/build/make.log", b"a\n  CC [M]  nv.o\n\n")
    assert host.activity()().endswith("CPU\nCC [M]  nv.o")


def test_a_log_that_has_been_quiet_is_not(host: Host) -> None:
    host.log("var/log/dpkg.log", b"status installed dkms:all\n", age=60)
    assert host.activity()() == "0 MB received, 0 s of CPU"


def test_of_a_compilers_command_line_the_source_is_shown(host: Host) -> None:
    command = "gcc-14 " + "-Wno-of-many " * 200 + "-c -o /b/nvidia/nv-acpi.o /b/nvidia/nv-acpi.c\n"
    host.log("var/lib/dkms/nvidia-current/550.163.01/build/make.log", f"{command}----\n".encode())
    assert host.activity()().splitlines()[1] == "compiling nv-acpi.c"


def test_what_would_move_the_cursor_is_left_out(host: Host) -> None:
    host.log("var/log/dpkg.log", b"status\r\x1b[2J\x07unpacked \xff\n")
    _, line = host.activity()().splitlines()
    assert line.isprintable()
    assert "unpacked" in line


def test_of_an_engines_line_the_message_is_shown(host: Host) -> None:
    host.log(
        "var/log/dpkg.log",
        b"(APIServer pid=4510) INFO 11-26 01:40:00 [gpu_worker.py:218] Loading weights\n",
    )
    assert host.activity()().splitlines()[1] == "Loading weights"


def test_a_long_log_and_a_long_line_are_bounded(host: Host) -> None:
    host.log("var/log/dpkg.log", b"x" * 5_000_000)
    assert len(host.activity()()) < 300


def test_a_link_or_a_pipe_on_the_hosts_disk_is_not_opened(host: Host, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.write_text("a file of this machine\n")
    log = host.log("var/log/dpkg.log", b"")
    log.unlink()
    log.symlink_to(outside)
    pipe = host.disk / "var/lib/dkms/nvidia/1/build/make.log"
    pipe.parent.mkdir(parents=True)
    os.mkfifo(pipe)
    assert host.activity()() == "0 MB received, 0 s of CPU"
