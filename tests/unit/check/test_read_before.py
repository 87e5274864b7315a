"""What is large is read again where anything wrote to it, and where six days have gone."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import tests.host.read_before as module
from tests.host.read_before import SIX_DAYS, ReadBefore, below, of_packages


class ThisMachine:
    """Runs what a host is given here."""

    def __init__(self, **environment: str) -> None:
        self._environment = {**os.environ, **environment}

    def run(self, command: str, seconds: int) -> SimpleNamespace:
        ran = subprocess.run(
            ["sh", "-c", command],
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )
        return SimpleNamespace(rc=ran.returncode, stdout=ran.stdout)


class Looks:
    """Looks at a folder again and again, as a check does, and counts how often it was read."""

    def __init__(self, kept: Path, command: str, host: ThisMachine | None = None) -> None:
        self.kept, self.command, self.host = kept, command, host or ThisMachine()
        self.answer: Any = "right"
        self.told: list[float] = []
        self.readings = 0

    def read(self) -> Any:
        self.readings += 1
        return self.answer

    def reads(self, *, read_all: bool = False) -> bool:
        """Look once more: whether the files were read for it."""
        before = self.readings
        oldest = time.time() - (0 if read_all else SIX_DAYS)
        look = ReadBefore(self.host, self.kept, oldest, self.told.append)
        found = look.unless_unchanged("hashes", self.command, self.read, lambda it: it == "right")
        assert found == self.answer
        return self.readings > before


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "environment"
    (folder / "bin").mkdir(parents=True)
    (folder / "module.py").write_text("speed = 1\n")
    (tmp_path / "python3").write_text("an interpreter\n")
    (folder / "bin" / "python").symlink_to(tmp_path / "python3")
    return folder


@pytest.fixture
def looks(tmp_path: Path, folder: Path) -> Looks:
    return Looks(tmp_path / "cache" / "checked" / "box.json", below(str(folder)))


def test_what_nobody_wrote_to_is_read_once(looks: Looks) -> None:
    began = time.time()
    assert looks.reads()
    assert not looks.reads() and not looks.reads()
    assert len(looks.told) == 2 and began - 1 <= looks.told[0] <= time.time()
    assert looks.kept.stat().st_mode & 0o777 == 0o600


def with_its_time_put_back(folder: Path) -> None:
    """As who hides it: the same size, and the time of before."""
    file = folder / "module.py"
    times = file.stat()
    file.write_text("speed = 9\n")
    os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))


WRITTEN: dict[str, Callable[[Path], Any]] = {
    "bytes": with_its_time_put_back,
    "a new file": lambda folder: (folder / "other.py").touch(),
    "a name": lambda folder: (folder / "module.py").rename(folder / "renamed.py"),
    "a mode": lambda folder: (folder / "module.py").chmod(0o755),
    "none any more": lambda folder: (folder / "module.py").unlink(),
    "behind a link": lambda folder: (folder.parent / "python3").write_text("an intruder's\n"),
    "nothing behind a link": lambda folder: (folder.parent / "python3").unlink(),
    "no folder": lambda folder: folder.rename(folder.with_name("moved")),
}


@pytest.mark.parametrize("change", WRITTEN.values(), ids=WRITTEN.keys())
def test_what_was_written_to_is_read_again(
    looks: Looks, folder: Path, change: Callable[[Path], Any]
) -> None:
    looks.reads()
    assert not looks.reads()
    # The kernel's clock for files goes on by steps of some milliseconds.
    _wait_for_its_next_step(folder.parent)
    change(folder)
    assert looks.reads()


def _wait_for_its_next_step(folder: Path) -> None:
    probe = folder / "probe"
    probe.touch()
    first, deadline = probe.stat().st_ctime_ns, time.monotonic() + 5
    while probe.stat().st_ctime_ns == first:
        assert time.monotonic() < deadline
        probe.chmod(0o600)


def test_what_is_wrong_is_read_every_time(looks: Looks) -> None:
    looks.answer = "wrong"
    assert looks.reads() and looks.reads()
    looks.answer = "right"
    assert looks.reads()
    assert not looks.reads()


def test_who_asks_for_all_of_it_gets_it(looks: Looks) -> None:
    looks.reads()
    assert looks.reads(read_all=True)
    assert not looks.reads()


@pytest.mark.parametrize("days", [6.01, -0.01])
def test_six_days_later_and_before_its_own_time_it_is_read_again(
    looks: Looks, monkeypatch: pytest.MonkeyPatch, days: float
) -> None:
    looks.reads()
    later = time.time() + days * 24 * 3600
    monkeypatch.setattr(module.time, "time", lambda: later)
    assert looks.reads()


def test_what_others_may_write_is_believed_by_nobody(looks: Looks) -> None:
    looks.reads()
    looks.kept.chmod(0o620)
    assert looks.reads()
    assert looks.kept.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("cut", ["", "[]", "null", "{", '{"x": {"at": 1}}', "\xff"])
def test_a_broken_cache_costs_a_reading(looks: Looks, cut: str) -> None:
    looks.reads()
    looks.kept.write_text(cut)
    assert looks.reads()
    assert not looks.reads()


def test_without_room_for_it_everything_is_read(looks: Looks, tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file in the folder's place")
    assert looks.reads() and looks.reads()


def test_another_question_is_another_reading(looks: Looks) -> None:
    looks.reads()
    look = ReadBefore(looks.host, looks.kept, 0, looks.told.append)
    assert look.unless_unchanged("sizes", looks.command, lambda: "5", lambda _: True) == "5"
    assert not looks.reads()
    assert len(json.loads(looks.kept.read_text())) == 2


@pytest.mark.parametrize("file", ["library.so", "diverted.so"])
def test_files_of_packages_are_read_again_where_dpkg_put_them(tmp_path: Path, file: str) -> None:
    for name in ("library.so", "diverted.so"):
        (tmp_path / name).write_text("1")
    program = tmp_path / "bin" / "dpkg-query"
    program.parent.mkdir()
    program.write_text(
        f"#!/bin/sh\nprintf '%s\\n' / {tmp_path} {tmp_path}/library.so {tmp_path}/other.so "
        f"'diverted by glx-diversions to: {tmp_path}/diverted.so'\n"
    )
    program.chmod(0o755)
    host = ThisMachine(PATH=f"{program.parent}:{os.environ['PATH']}")
    looks = Looks(tmp_path / "kept" / "box.json", of_packages(["driver"]), host)
    looks.reads()
    assert not looks.reads()
    _wait_for_its_next_step(tmp_path / "bin")
    (tmp_path / file).write_text("2")
    assert looks.reads()


@pytest.mark.parametrize("program", ["find", "sort", "stat", "sha256sum"])
@pytest.mark.parametrize("ending", ["exit 2", "exit 127"])
def test_a_host_that_cannot_say_how_files_are_is_read_every_time(
    tmp_path: Path, folder: Path, program: str, ending: str
) -> None:
    (tmp_path / "programs").mkdir()
    broken = tmp_path / "programs" / program
    broken.write_text(f"#!/bin/sh\necho it cannot >&2\n{ending}\n")
    broken.chmod(0o755)
    host = ThisMachine(PATH=f"{broken.parent}:{os.environ['PATH']}")
    looks = Looks(tmp_path / "kept" / "box.json", below(str(folder)), host)
    assert looks.reads() and looks.reads()


@pytest.mark.parametrize("program", ["dpkg-query", "xargs", "sed"])
def test_a_host_that_cannot_say_how_packages_are_is_read_every_time(
    tmp_path: Path, program: str
) -> None:
    (tmp_path / "programs").mkdir()
    broken = tmp_path / "programs" / program
    broken.write_text("#!/bin/sh\necho it cannot >&2\nexit 2\n")
    broken.chmod(0o755)
    host = ThisMachine(PATH=f"{broken.parent}:{os.environ['PATH']}")
    looks = Looks(tmp_path / "kept" / "box.json", of_packages(["dpkg"]), host)
    assert looks.reads() and looks.reads()


def test_packages_of_this_machine_are_read_once(tmp_path: Path) -> None:
    looks = Looks(tmp_path / "kept" / "box.json", of_packages(["dpkg", "bash"]))
    assert looks.reads()
    assert not looks.reads()


def test_real_packages_are_found(tmp_path: Path) -> None:
    said = ThisMachine().run(f"{of_packages(['dpkg'])} 2>&1", 60).stdout
    assert " /usr/bin/dpkg " in said and "../status " in said and "dpkg.md5sums " in said
