"""What apt says becomes what an operator can do: its own texts, as Debian 13's printed them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from fortyninety.operations.apt.lock import _HOLDERS, Holder, read_holders
from fortyninety.operations.apt.messages import announced_room, lock_refused, reasons, remedy
from fortyninety.operations.apt.packages import RESERVE, free_by_folder, room_problem

DISK_FULL = """\
Unpacking nvidia-modprobe (570.133.07-1) ...
dpkg: error processing archive /var/cache/apt/archives/nvidia-modprobe_570.133.07-1_amd64.deb \
(--unpack):
 cannot copy extracted data for './usr/share/doc/nvidia-modprobe/copyright' to \
'/usr/share/doc/nvidia-modprobe/copyright.dpkg-new': failed to write (No space left on device)
Errors were encountered while processing:
 /var/cache/apt/archives/nvidia-modprobe_570.133.07-1_amd64.deb
E: Sub-process /usr/bin/dpkg returned an error code (1)
"""
WRONG_KEY = """\
Err:1 http://deb.example/debian trixie InRelease
W: Failed to fetch http://deb.example/debian/dists/trixie/InRelease  Sub-process /usr/bin/sqv \
returned an error code (1), error message is: Missing key 4CB50190207B4758A3F73A796ED0E7B82643E1, \
which is needed to verify signature.
E: The repository 'http://deb.example/debian trixie InRelease' is not signed.
"""
UNREACHABLE = """\
W: Failed to fetch http://deb.example/debian/dists/trixie/InRelease  Unable to connect to \
127.0.0.1:9:
E: Package 'nvidia-smi' has no installation candidate
"""
NO_HEADERS = """\
E: Unable to locate package linux-headers-9.9.9
E: Couldn't find any package by glob 'linux-headers-9.9.9'
E: Couldn't find any package by regex 'linux-headers-9.9.9'
"""
BUILD_FAILED = """\
Building module(s)...(bad exit status: 1)
Error! Bad return status for module build on kernel: 6.12.118+deb13-cloud-amd64 (x86_64)
Consult /var/lib/dkms/nvidia-current/550.163.01/build/make.log for more information.
"""
LISTS_LOCKED = """\
E: Could not get lock /var/lib/apt/lists/lock. It is held by process 28589 (python3)
E: Unable to lock directory /var/lib/apt/lists/
"""
FRONT_END_LOCKED = "dpkg: error: dpkg frontend lock was locked by another process with pid 77\n"


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        (DISK_FULL, "Make room"),
        (WRONG_KEY, "not signed with a key that its source trusts"),
        (UNREACHABLE, "Check the host's network"),
        (NO_HEADERS, "headers for the kernel that boots next"),
        (BUILD_FAILED, "The module did not build"),
        (LISTS_LOCKED, "Another process installs packages"),
        ("E: Something nobody has seen before\n", "Run the same on the host"),
    ],
)
def test_each_failure_has_its_remedy(output: str, expected: str) -> None:
    assert expected in remedy(output)


def test_reasons_are_errors_first_each_once_and_no_progress() -> None:
    found = reasons(WRONG_KEY + WRONG_KEY + "Reading package lists...\n")
    assert [line[:2] for line in found] == ["E:", "W:"]
    assert "Missing key 4CB5" in found[1]
    assert any("No space left on device" in line for line in reasons(DISK_FULL))


def test_without_a_known_reason_the_last_words_are_quoted() -> None:
    assert reasons("one\ntwo\nthree\nfour\n") == ["two", "three", "four"]


@pytest.mark.parametrize(
    ("output", "refused"), [(LISTS_LOCKED, True), (FRONT_END_LOCKED, True), (DISK_FULL, False)]
)
def test_only_a_lock_is_tried_again(output: str, refused: bool) -> None:
    assert lock_refused(output) is refused


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        (
            "Need to get 1,911 MB of archives.\n"
            "After this operation, 5,912 MB of additional disk space will be used.\n",
            (1_911_000_000, 5_912_000_000),
        ),
        (
            "Need to get 0 B/30.9 kB of archives.\n"
            "After this operation, 136 kB of additional disk space will be used.\n",
            (0, 136_000),
        ),
        ("After this operation, 12.5 MB disk space will be freed.\n", (0, 0)),
        ("0 upgraded, 0 newly installed, 0 to remove and 5 not upgraded.\n", (0, 0)),
    ],
)
def test_the_room_that_apt_announces_is_read(output: str, expected: tuple[int, int]) -> None:
    assert announced_room(output) == expected


DF = """\
Filesystem        1-blocks      Used   Available Capacity Mounted on
/dev/nvme0n1p2 12638253056 137687040 {usr} 2% /
/dev/nvme0n1p3 12638253056 137687040 {archives} 2% {mount}
"""


@pytest.mark.parametrize(
    ("usr", "archives", "mount", "short"),
    [
        (7 * 10**9, 2 * 10**9, "/var", None),
        (6 * 10**9, 2 * 10**9, "/var", "/ has 6,000 MB free; expected 6,300 MB"),
        (7 * 10**9, 10**9, "/var", "/var has 1,000 MB free; expected 1,900 MB"),
        # One file system holds both at once, since archives go only after they are unpacked.
        (8 * 10**9, 8 * 10**9, "/", "/ has 8,000 MB free; expected 8,200 MB"),
    ],
)
def test_a_disk_too_small_for_the_packages_is_named(
    usr: int, archives: int, mount: str, short: str | None
) -> None:
    assert RESERVE == 300 * 10**6
    free = free_by_folder(DF.format(usr=usr, archives=archives, mount=mount))
    problem = room_problem(1_900_000_000, 6_000_000_000, free)
    assert problem is None if short is None else problem and problem.startswith(short)


@pytest.mark.parametrize("said", ["", "df: /usr: cannot\n", "a b c - 2% /\n", "a b c 5 2% /\n"])
def test_a_df_that_does_not_say_it_is_named(said: str) -> None:
    problem = room_problem(1_000, 1_000, free_by_folder(said))
    assert problem and "expected it of /usr and /var/cache/apt/archives" in problem


def test_who_holds_the_lock_is_named_once_with_its_command() -> None:
    (holder,) = read_holders(
        "812\t73\t/usr/bin/python3 /usr/bin/unattended-upgrade \n"
        "812\t73\t/usr/bin/python3 /usr/bin/unattended-upgrade \n"
    )
    assert str(holder) == (
        "`/usr/bin/python3 /usr/bin/unattended-upgrade` (process 812, running for 73 s)"
    )
    assert read_holders("") == []


@pytest.mark.parametrize(
    "line",
    [
        "812",
        "812\t73",
        "x\t73\tdpkg",
        "812\t7 3\tdpkg",
        "812\t73\tdp\x1b[2Jkg",
        "812\t73\tdp\x85kg",
    ],
)
def test_a_line_that_is_no_holder_is_left_out(line: str) -> None:
    assert read_holders(f"{line}\n7\t-1\tdpkg\n") == [Holder(7, 0, "dpkg")]


HOLDING = """
import ctypes, fcntl, os, sys, time
ctypes.CDLL(None).prctl(15, sys.argv[2].encode(), 0, 0, 0)
held = open(sys.argv[1], "w")
fcntl.lockf(held, fcntl.LOCK_EX)
print(flush=True)
time.sleep(60)
"""


@pytest.mark.parametrize("name", ["a) S 1 (\nb", ") R\n1 2 3", "\x1b]0;x\x07\n$(id)", "dpkg"])
def test_a_holder_of_any_name_is_named_in_one_line(tmp_path: Path, name: str) -> None:
    """The script itself, over a process of this machine that holds a lock."""
    lock = tmp_path / "lock-frontend"
    script = _HOLDERS.replace("/var/lib/dpkg/lock-frontend", str(lock))
    command = [sys.executable, "-c", HOLDING, str(lock), name, "an\nargument\t\x1b[2J" + "x" * 500]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            process.stdout.readline()
            # By the process alone: others of this machine may use apt.
            only = script.replace("/proc/[0-9]*/fd", f"/proc/{process.pid}/fd")
            ran = subprocess.run(["sh"], input=only, capture_output=True, text=True, check=True)
        finally:
            process.kill()
    (holder,) = read_holders(ran.stdout)
    assert ran.stderr == ""
    assert holder.process == process.pid
    assert 0 <= holder.seconds < 60, "the fields behind the name are counted right"
    assert str(holder).isprintable()
    assert len(holder.command) <= 100
