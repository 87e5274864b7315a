"""What puts files onto a host, run by this machine's own shell."""

from __future__ import annotations

import hashlib
import os
import shlex
import signal
import subprocess
import time
from pathlib import Path

import pytest

from fortyninety.operations.files import Upload, linking, placing

OWN = {"owner": str(os.getuid()), "group": str(os.getgid())}


def run(command: str, given: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(["sh", "-c", command], input=given, capture_output=True, check=False)


def upload(path: Path, data: bytes, mode: str = "644") -> tuple[str, bytes]:
    """The command and its input."""
    made = Upload(str(path), data, mode=mode, **OWN)
    return made.get_raw_value(), str(made.connector_arguments["_stdin"]).encode()


@pytest.mark.parametrize("name", ["a file", "x'y", "a[b]*?\\", "-n", "$(touch x)", "ä"])
@pytest.mark.parametrize("data", [b"", b"no newline", b"\x00\xff\n\n", b"x" * 1_000_000])
def test_what_arrives_is_what_was_sent(tmp_path: Path, name: str, data: bytes) -> None:
    path = tmp_path / "made" / name
    ran = run(*upload(path, data, "640"))
    assert (ran.returncode, ran.stderr) == (0, b"")
    assert path.read_bytes() == data
    assert path.stat().st_mode & 0o7777 == 0o640
    assert path.parent.stat().st_mode & 0o777 == 0o755
    assert [each.name for each in path.parent.iterdir()] == [name]
    assert [each.name for each in tmp_path.iterdir()] == ["made"]


def test_what_arrives_in_part_goes_nowhere_and_leaves_nothing(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("before")
    command, given = upload(path, b"after" * 1000)
    assert run(command, given[:401]).returncode == 1  # base64(1) says so itself.
    ran = run(command, given[:400])
    assert ran.returncode == 1
    assert "file arrived incomplete; nothing was changed" in ran.stderr.decode()
    assert path.read_text() == "before"
    assert list(tmp_path.iterdir()) == [path]


def test_until_it_is_whole_nobody_else_reads_it_and_a_cut_ones_rest_is_removed(
    tmp_path: Path,
) -> None:
    path = tmp_path / "file"
    neighbour = tmp_path / ".file.fortyninety-is-another-name"
    neighbour.write_text("")
    command, given = upload(path, b"secret")
    cut = subprocess.Popen(["sh", "-c", command], stdin=subprocess.PIPE, start_new_session=True)
    while not (found := set(tmp_path.iterdir()) - {neighbour}):
        time.sleep(0.01)
    (beside,) = found
    assert beside.name.startswith(".file.fortyninety-")
    assert beside.stat().st_mode & 0o777 == 0o600
    os.killpg(cut.pid, signal.SIGKILL)
    cut.wait()
    assert beside.exists()
    assert run(command, given).returncode == 0
    assert sorted(tmp_path.iterdir()) == sorted([neighbour, path])


def test_two_at_the_same_moment_never_mix(tmp_path: Path) -> None:
    """Also where both think that the host is theirs."""
    path = tmp_path / "file"
    contents = [bytes([65 + number]) * 300_000 for number in range(2)]
    for _ in range(5):
        processes = []
        for content in contents:
            command, given = upload(path, content)
            process = subprocess.Popen(
                ["sh", "-c", command], stdin=subprocess.PIPE, stderr=subprocess.DEVNULL
            )
            processes.append((process, given))
        for process, given in processes:
            process.communicate(given)
        assert path.read_bytes() in contents


def test_a_link_that_is_there_is_replaced_and_not_followed(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    path = tmp_path / "file"
    path.symlink_to("elsewhere/target")
    assert run(*upload(path, b"mine")).returncode == 0
    assert not path.is_symlink()
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_a_link_is_switched_by_one_rename(tmp_path: Path) -> None:
    path = tmp_path / "current"
    for target in ("one", "two's", "two's"):
        assert run(linking(str(path), shlex.quote(target))).returncode == 0
        assert path.readlink() == Path(target)
    assert list(tmp_path.iterdir()) == [path]


def test_data_is_on_the_disk_before_its_name(tmp_path: Path) -> None:
    """In the order of the shell's own commands: sync of the file, rename, sync of the folder."""
    path = tmp_path / "file"
    traced = tmp_path / "trace"
    for program in ("sync", "mv"):
        fake = tmp_path / "bin" / program
        fake.parent.mkdir(exist_ok=True)
        fake.write_text(f'#!/bin/sh\necho {program} "$@" >>{traced}\nexec /bin/{program} "$@"\n')
        fake.chmod(0o755)
    digest = hashlib.sha256(b"text").hexdigest()
    command = placing(str(path), "printf text", digest=digest, **OWN)
    assert run(f"PATH={tmp_path}/bin:$PATH\n{command}").returncode == 0
    first, second, third = traced.read_text().splitlines()
    beside = first.removeprefix("sync ")
    assert beside.startswith(str(tmp_path / ".file.fortyninety-"))
    assert second == f"mv -fT {beside} {path}"
    assert third == f"sync {tmp_path}"
