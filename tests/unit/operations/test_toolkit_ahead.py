"""A toolkit's packages come while others use apt, by this machine's own apt from a real archive."""

from __future__ import annotations

import fcntl
import hashlib
import inspect
import os
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from pyinfra.api.command import FunctionCommand
from pyinfra.context import ctx_host, ctx_state

from fortyninety.operations import cuda
from fortyninety.operations.apt.packages import kept_in, transaction
from fortyninety.packages.package import Package
from fortyninety.plan.paths import TOOLKIT_ARCHIVES
from fortyninety.survey.reading import FileState, HostReading, PackageState
from tests.unit.driver.real_apt import RealApt
from tests.unit.readings import bare_host, changed

TOOLKIT, LIBRARY = Package("a-toolkit", "12.4."), "a-library"
FILES = ["a-library_1-1_all.deb", "a-toolkit_12.4.1-1_all.deb"]
LOCKS = (
    *("var/lib/dpkg/lock-frontend", "var/lib/dpkg/lock"),
    *("var/cache/apt/archives/lock", "var/lib/apt/lists/lock"),
)

# systemd's programs, for a machine that runs none: a unit is at work while its file is locked.
SYSTEMCTL = "! flock -n {unit} true"
SYSTEMD_RUN = 'while [ "$1" != systemd-cat ]; do shift; done; shift 2\nexec flock {unit} "$@"'


class Served:
    """An archive of two packages on loopback, whose packages wait until they are let `go`."""

    def __init__(self, folder: Path) -> None:
        self.go, self.asked = threading.Event(), threading.Event()
        self.go.set()
        served = self

        class Handler(SimpleHTTPRequestHandler):
            def do_GET(self) -> None:
                if self.path.endswith(".deb"):
                    served.asked.set()
                    served.go.wait()
                super().do_GET()

            def log_message(self, *_: object) -> None:
                pass

        self._folder = folder
        entries = [self._package(LIBRARY, "1-1"), self._package("a-toolkit", "12.4.1-1", LIBRARY)]
        (folder / "Packages").write_text("\n".join(entries))
        self.server = ThreadingHTTPServer(
            ("127.0.0.1", 0), lambda *given: Handler(*given, directory=str(folder))
        )

    def _package(self, name: str, version: str, needs: str | None = None) -> str:
        """Build a package; its stanza in the list."""
        control = (
            f"Package: {name}\nVersion: {version}\nArchitecture: all\nMaintainer: x\n"
            f"{f'Depends: {needs}' if needs else 'Section: libs'}\nDescription: x\n"
        )
        tree, path = self._folder / "tree", self._folder / f"{name}_{version}_all.deb"
        (tree / "DEBIAN").mkdir(parents=True)
        (tree / "DEBIAN/control").write_text(control)
        build = ["dpkg-deb", "--build", "--root-owner-group", str(tree), str(path)]
        subprocess.run(build, check=True, capture_output=True)
        shutil.rmtree(tree)
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        size = path.stat().st_size
        return f"{control}Filename: ./{path.name}\nSize: {size}\nSHA256: {digest}\n"


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    (tmp_path / "archive").mkdir()
    made = Served(tmp_path / "archive")
    thread = threading.Thread(target=made.server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield made
    made.go.set()
    made.server.shutdown()
    thread.join()
    made.server.server_close()


@pytest.fixture
def apt(tmp_path: Path, served: Served, monkeypatch: pytest.MonkeyPatch) -> RealApt:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    source = f"deb [trusted=yes] http://127.0.0.1:{served.server.server_port} ./"
    return RealApt(tmp_path, [], {}, sources=[source])


@pytest.fixture
def archives(tmp_path: Path) -> Path:
    return tmp_path / "root/var/cache/apt/fortyninety-toolkit"


WORDS = transaction([TOOLKIT], ())


def arrived(archives: Path) -> list[str]:
    return sorted(path.name for path in archives.glob("*.deb"))


def asked_for(apt: RealApt, words: str) -> int:
    """How many packages apt would still fetch for a transaction."""
    said = apt.run("sh", "-c", f"apt-get -qq --print-uris -o Debug::NoLocking=1 install {words}")
    return len(said.splitlines())


def test_the_packages_come_while_others_hold_the_locks_and_replace_the_lists(
    tmp_path: Path, apt: RealApt, archives: Path, served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    programs, unit = tmp_path / "programs", tmp_path / "unit"
    programs.mkdir()
    for name, text in (("systemctl", SYSTEMCTL), ("systemd-run", SYSTEMD_RUN)):
        (programs / name).write_text(f"#!/bin/sh\n{text.format(unit=unit)}\n")
        (programs / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    (archives / "partial").mkdir(parents=True)
    (archives / "partial/of-a-run-that-was-cut").touch()
    begin = cuda.fetching(str(archives), WORDS)
    served.go.clear()
    with ExitStack() as held:
        for name in LOCKS:
            fcntl.lockf(held.enter_context((tmp_path / "root" / name).open("w")), fcntl.LOCK_EX)
        apt.run("sh", "-c", begin)
        assert (archives / "partial").is_dir(), "before apt had read what it needs"
        assert served.asked.wait(300)
        shutil.rmtree(tmp_path / "root/var/lib/apt/lists")
        apt.run("sh", "-c", begin)
        assert arrived(archives) == []
        served.go.set()
        fcntl.flock(held.enter_context(unit.open("w")), fcntl.LOCK_EX)  # Its end.
    assert arrived(archives) == FILES
    assert list((archives / "partial").iterdir()) == []


def test_the_installation_fetches_what_did_not_come_and_nothing_else(
    apt: RealApt, archives: Path
) -> None:
    words = kept_in(str(archives), WORDS)
    apt.run("sh", "-c", cuda.fetch_now(str(archives), WORDS))
    assert (asked_for(apt, WORDS), asked_for(apt, words)) == (2, 0)
    with (archives / FILES[1]).open("ab") as package:
        package.truncate(10)
    assert asked_for(apt, words) == 1
    (archives / FILES[0]).unlink()
    assert asked_for(apt, words) == 2


def test_a_package_that_is_not_what_its_list_says_does_not_arrive(
    tmp_path: Path, apt: RealApt, archives: Path
) -> None:
    package = tmp_path / "archive" / FILES[1]
    right = package.read_bytes()
    package.write_bytes(bytes(len(right)))
    with pytest.raises(subprocess.CalledProcessError):
        apt.run("sh", "-c", cuda.fetch_now(str(archives), WORDS))
    assert arrived(archives) == FILES[:1]
    # And is no obstacle to the right one.
    package.write_bytes(right)
    apt.run("sh", "-c", cuda.fetch_now(str(archives), WORDS))
    assert arrived(archives) == FILES


# --- When, and when not ---------------------------------------------------------------------------

DRIVER = Package("nvidia-kernel-dkms", "550.")
BARE = bare_host()
WITH_TOOLKIT, WITH_DRIVER = (
    changed(BARE, apt__packages={**BARE.apt.packages, name: PackageState(version, held=True)})
    for name, version in ((TOOLKIT.name, "12.4.1-1"), (DRIVER.name, "550.163.01-2"))
)
FOLDER = FileState("directory", "755", "root", "root")


def with_archives(reading: HostReading) -> HostReading:
    return changed(reading, files={**reading.files, TOOLKIT_ARCHIVES: FOLDER})


def made(
    operation: Any, reading: HostReading, *given: Any, executing: bool = True, **more: Any
) -> Any:
    """What an operation would do on a host that reads so."""
    function: Callable[..., Any] = inspect.getclosurevars(operation._inner).nonlocals["function"]
    host = SimpleNamespace(name="box1", current_op_hash=None, noop=lambda text: None)
    with ctx_host.use(host), ctx_state.use(SimpleNamespace(is_executing=executing)):
        return list(function(reading, *given, **more))


@pytest.mark.parametrize(
    ("reading", "executing", "begins"),
    [
        (BARE, True, True),
        (BARE, False, False),  # a look at changes
        (WITH_TOOLKIT, True, False),
        (WITH_DRIVER, True, False),  # nothing to fetch it behind
    ],
)
def test_it_is_begun_where_a_driver_comes_first(
    reading: HostReading, executing: bool, begins: bool
) -> None:
    commands = made(
        cuda.begun,
        reading,
        [TOOLKIT],
        TOOLKIT_ARCHIVES,
        driver=[DRIVER],
        without=(),
        executing=executing,
    )
    assert len(commands) == begins


def test_it_is_waited_for_until_it_is_installed_and_then_nothing_stays() -> None:
    under_way = with_archives(BARE)
    assert made(cuda.arrived, BARE, [TOOLKIT], TOOLKIT_ARCHIVES) == []
    (wait,) = made(cuda.arrived, under_way, [TOOLKIT], TOOLKIT_ARCHIVES)
    assert cuda.FETCHING in wait.get_raw_value()
    assert made(cuda.arrived, with_archives(WITH_TOOLKIT), [TOOLKIT], TOOLKIT_ARCHIVES) == []
    assert made(cuda.archives_gone, WITH_TOOLKIT, TOOLKIT_ARCHIVES) == []
    stop, remove = made(cuda.archives_gone, with_archives(WITH_TOOLKIT), TOOLKIT_ARCHIVES)
    assert f"systemctl stop {cuda.FETCHING}" in stop.get_raw_value()
    assert remove.get_raw_value().endswith(f"-- {TOOLKIT_ARCHIVES}")


DISK = "/dev/x 9000000000 1 {free} 1% /\n"


@pytest.mark.parametrize(
    ("said", "free", "reason"),
    [
        ("Need to get 1,900 MB of archives.\n", 9 * 10**9, None),
        ("Need to get 1,900 MB of archives.\n", 10**9, "/ has 1,000 MB free; expected 2,200 MB"),
        ("E: Unable to locate package x\n", 9 * 10**9, "Unable to locate package x"),
    ],
)
def test_it_is_not_begun_where_the_disk_or_apt_says_no_and_the_host_goes_on(
    said: str, free: int, reason: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[str] = []
    logged: list[str] = []
    monkeypatch.setattr(cuda, "foreseen", lambda host, words: said + DISK.format(free=free) * 2)
    monkeypatch.setattr(cuda, "attempt", lambda host, script: begun.append(script))
    monkeypatch.setattr(cuda.logger, "info", logged.append)
    (command,) = made(cuda.begun, BARE, [TOOLKIT], TOOLKIT_ARCHIVES, driver=[DRIVER], without=())
    assert isinstance(command, FunctionCommand)
    assert command.function(None, SimpleNamespace(print_prefix=""), *command.args)
    assert bool(begun) is (reason is None)
    assert all(reason in line for line in logged) if reason else not logged
