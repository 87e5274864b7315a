"""Who may change a host: real locks, held by real processes of this machine."""

from __future__ import annotations

import os
import queue
import random
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path

import pytest

from fortyninety import lease
from fortyninety.connection import lease as run_lease
from fortyninety.connection.lease import RunLeases
from fortyninety.lease import (
    ChannelLost,
    Claim,
    Holder,
    Lease,
    Refused,
    ending,
    read_holder,
    take_all,
)
from fortyninety.plan.preflight import lease_problems
from fortyninety.survey.fact import Survey
from fortyninety.survey.parse import read_survey
from fortyninety.survey.reading import HostReading
from fortyninety.survey.request import SurveyRequest
from tests.unit.readings import bare_host, records


class LocalChannel:
    """A command in a shell of this machine, as another host's would be over SSH."""

    def __init__(self, command: str) -> None:
        self._process = subprocess.Popen(
            ["sh", "-c", command], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self._lines: queue.Queue[str] = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._lines.put(line)
        self._process.wait()
        self._lines.put("")

    def write(self, line: str) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(f"{line}\n")
            self._process.stdin.flush()
        except (OSError, ValueError) as error:
            raise ChannelLost(str(error)) from error

    def read(self, seconds: float) -> str:
        try:
            line = self._lines.get(timeout=seconds)
        except queue.Empty:
            raise ChannelLost(f"no answer for {seconds} s") from None
        if not line:
            raise ChannelLost("it ended")
        return line

    def ended(self) -> bool:
        return self._process.poll() is not None

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()


class Hosts:
    """Hosts with a folder each in place of /run/fortyninety."""

    def __init__(self, folder: Path, count: int) -> None:
        self.folders = {f"host-{number}": folder / f"host-{number}" for number in range(count)}

    def open(self) -> dict[str, Callable[[str], LocalChannel]]:
        return {name: partial(self._open, folder) for name, folder in self.folders.items()}

    def _open(self, folder: Path, command: str) -> LocalChannel:
        return LocalChannel(command.replace(f"folder={lease.FOLDER}\n", f"folder={folder}\n"))

    def end(self, name: str, reason: str) -> str:
        command = ending(reason, str(self.folders[name]))
        ran = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=True)
        return ran.stdout


@pytest.fixture
def host(tmp_path: Path) -> Hosts:
    return Hosts(tmp_path, 1)


@pytest.fixture
def hosts(tmp_path: Path) -> Hosts:
    return Hosts(tmp_path, 2)


def claim(who: str, run: str = "") -> Claim:
    return Claim("deploy", who, run or f"{random.getrandbits(64):016x}")


@pytest.fixture
def taken(host: Hosts) -> Iterator[Lease]:
    (mine,) = take_all(host.open(), claim("alice@laptop", "a" * 16)).values()
    yield mine
    mine.give_back()


def wait_until(true: Callable[[], object], seconds: float = 60) -> None:
    began = time.monotonic()
    while not true():
        assert time.monotonic() - began < seconds
        time.sleep(0.02)


def is_free(hosts: Hosts) -> bool:
    """By flock(1) itself, for a moment."""
    locks = [folder / "lease" for folder in hosts.folders.values()]
    return all(subprocess.call(["flock", "-n", lock, "true"]) == 0 for lock in locks)


# --- One host -------------------------------------------------------------------------------------


@pytest.mark.usefixtures("taken")
def test_a_second_one_is_refused_at_once_and_told_who_has_it_and_since_when(host: Hosts) -> None:
    began = time.monotonic()
    with pytest.raises(Refused) as refused:
        take_all(host.open(), claim("bob@desk"))
    assert time.monotonic() - began < lease.INSISTENCE
    (reason,) = refused.value.reasons.values()
    # Taken within this minute or one before.
    found = re.fullmatch(
        rf"it is being changed by alice@laptop \(deploy {'a' * 16}, since (.*) UTC\)", reason
    )
    assert found is not None, reason
    since = datetime.strptime(f"{found[1]} +0000", "%Y-%m-%d %H:%M:%S %z")
    assert abs(time.time() - since.timestamp()) < 120


def test_it_is_free_once_it_is_given_back(host: Hosts, taken: Lease) -> None:
    assert not is_free(host)
    assert taken.lost() is None
    taken.give_back()
    wait_until(lambda: is_free(host))


def test_whoever_takes_it_is_told_whose_run_was_there_before(host: Hosts, taken: Lease) -> None:
    assert taken.before == ""
    taken.give_back()
    wait_until(lambda: is_free(host))
    (next_one,) = take_all(host.open(), claim("bob@desk")).values()
    assert next_one.before == "a" * 16
    next_one.give_back()


def test_a_killed_controller_frees_it_long_before_it_would_be_missed(tmp_path: Path) -> None:
    """The holder's input ends with its controller, however that ends."""
    script = Claim("deploy", "alice@laptop", "a" * 16).command(str(tmp_path / "host-0"))
    controller = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import subprocess, sys, time\n"
            "subprocess.Popen(['sh', '-c', sys.argv[1]], stdin=subprocess.PIPE, stdout=1)\n"
            "time.sleep(60)",
            script,
        ],
        stdout=subprocess.PIPE,
    )
    assert controller.stdout is not None
    assert controller.stdout.readline() == b"taken\t\n"
    hosts = Hosts(tmp_path, 1)
    assert not is_free(hosts)
    controller.send_signal(signal.SIGKILL)
    controller.wait()
    wait_until(lambda: is_free(hosts), lease.PATIENCE / 2)


def test_a_controller_that_gives_no_sign_of_life_loses_it(
    host: Hosts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease, "PATIENCE", 3)
    channel = host.open()["host-0"](claim("alice@laptop").command())
    assert channel.read(60) == "taken\t\n"
    channel.write("held")
    assert not is_free(host)
    # A busy machine may take its time, and less than the forty seconds of a run.
    wait_until(lambda: is_free(host), 35)
    assert channel.ended()


def test_signs_of_life_keep_it(host: Hosts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "PATIENCE", 3)
    monkeypatch.setattr(lease, "INTERVAL", 0.1)
    (mine,) = take_all(host.open(), claim("alice@laptop")).values()
    time.sleep(4)
    assert mine.lost() is None
    assert not is_free(host)
    mine.give_back()


def test_a_lease_that_the_host_does_not_confirm_is_not_trusted(
    host: Hosts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease, "INTERVAL", 0.2)
    (mine,) = take_all(host.open(), claim("alice@laptop")).values()
    assert mine.lost() is None
    process = int((host.folders["host-0"] / "holder").read_text().split()[0])
    os.kill(process, signal.SIGSTOP)
    status = Path(f"/proc/{process}/status")
    wait_until(lambda: "State:\tT" in status.read_text())
    later = lease._now() + lease.TRUST + 1
    monkeypatch.setattr(lease, "_now", lambda: later)
    lost = mine.lost()
    os.kill(process, signal.SIGKILL)
    assert lost is not None
    assert "was not confirmed for 30 s" in lost


def test_ending_it_says_whose_it_was_and_the_holder_knows_at_once(
    host: Hosts, taken: Lease
) -> None:
    said = host.end("host-0", "alice's laptop was $(stolen)")
    kind, _, line = said.partition("\t")
    holder = read_holder(line)
    assert kind == "ended"
    assert holder is not None
    assert (holder.who, holder.run) == ("alice@laptop", "a" * 16)
    wait_until(lambda: taken.lost() is not None, lease.TRUST / 2)
    assert "somebody ended it" in str(taken.lost())
    wait_until(lambda: is_free(host))
    wait_until(lambda: host.end("host-0", "again") == "free\t\n")


def test_a_lock_that_is_not_the_programs_is_refused_and_can_be_ended(host: Hosts) -> None:
    folder = host.folders["host-0"]
    folder.mkdir(mode=0o755)
    other = subprocess.Popen(
        ["sh", "-c", f"exec 5>{folder}/lease && flock 5 && echo locked && exec sleep 60"],
        stdout=subprocess.PIPE,
    )
    assert other.stdout is not None
    other.stdout.readline()
    with pytest.raises(Refused, match="somebody who does not say who it is"):
        take_all(host.open(), claim("bob@desk"))
    assert host.end("host-0", "left behind") == "ended\t\n"
    other.wait()
    wait_until(lambda: is_free(host))


@pytest.mark.parametrize(
    "prepare",
    {
        "a link": lambda path: path.symlink_to("/tmp"),
        "a folder that others write to": lambda path: (path.mkdir(), path.chmod(0o757)),
        "a folder that a group writes to": lambda path: (path.mkdir(), path.chmod(0o775)),
        "a file": lambda path: path.write_text(""),
        "a lease that is a link": lambda path: (path.mkdir(), (path / "lease").symlink_to("/x")),
        "a holder that is a link": lambda path: (path.mkdir(), (path / "holder").symlink_to("/x")),
    }.items(),
    ids=lambda each: each[0],
)
def test_nothing_is_followed_or_shared(
    host: Hosts, prepare: tuple[str, Callable[[Path], object]]
) -> None:
    prepare[1](host.folders["host-0"])
    with pytest.raises(Refused, match=r"its lease cannot be taken: .* is (symb|dir|reg)"):
        take_all(host.open(), claim("bob@desk"))


@pytest.mark.usefixtures("taken")
def test_nobody_but_root_can_open_it_and_so_lock_it(host: Hosts) -> None:
    folder = host.folders["host-0"]
    files = {"lease", "holder", "rollback"}
    # The holder's line is put by a rename, once more after the lease was taken.
    wait_until(lambda: {path.name for path in folder.iterdir()} == files)
    assert {(folder / name).stat().st_mode & 0o777 for name in files} == {0o600}


def test_a_rollback_whose_controller_is_gone_is_waited_for(host: Hosts) -> None:
    folder = host.folders["host-0"]
    folder.mkdir(mode=0o755)
    with (folder / "rollback").open("w") as locked:
        import fcntl  # noqa: PLC0415

        fcntl.flock(locked, fcntl.LOCK_EX)
        with pytest.raises(Refused, match="a rollback is at work there"):
            take_all(host.open(), claim("bob@desk"))
    wait_until(lambda: is_free(host))


@pytest.mark.parametrize(
    "line",
    [
        "",
        "1 2 3",
        "12 1700000000 aaaaaaaaaaaaaaaa held alice@laptop deploy more",
        "12 1700000000 aaaaaaaaaaaaaaaa owned alice@laptop deploy",
        "12 1700000000 aaaaaaaaaaaaaaaa held ali\x1b[31mce deploy",
        "12 99999999999999999999 aaaaaaaaaaaaaaaa held alice@laptop deploy",
        f"12 1700000000 aaaaaaaaaaaaaaaa held {'a' * 200} deploy",
        "١٢ 1700000000 aaaaaaaaaaaaaaaa held alice@laptop deploy",
    ],
)
def test_a_holder_that_is_not_as_the_program_writes_it_is_nobody(line: str) -> None:
    assert read_holder(line) is None


def test_a_name_is_told_without_what_a_terminal_or_a_line_would_take_for_something_else(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SUDO_USER", "al ice\n\x1b[31m$(x)")
    assert lease.whoever_runs_this().startswith("al-ice---31m--x-@")


# --- All hosts or none ----------------------------------------------------------------------------


def test_where_one_host_is_taken_none_is(hosts: Hosts, tmp_path: Path) -> None:
    one = Hosts(tmp_path, 2)
    del one.folders["host-0"]
    (theirs,) = take_all(one.open(), claim("alice@laptop")).values()
    with pytest.raises(Refused) as refused:
        take_all(hosts.open(), claim("bob@desk"))
    assert list(refused.value.reasons) == ["host-1"]
    free = Hosts(tmp_path, 1)
    wait_until(lambda: is_free(free))
    theirs.give_back()
    wait_until(lambda: is_free(hosts))


def race(
    first: dict[str, Callable[[str], object]], second: dict[str, Callable[[str], object]]
) -> tuple[list[dict[str, Lease]], list[Refused]]:
    """Two controllers that begin at the same moment: who got what, and who was refused why."""
    got: list[dict[str, Lease]] = []
    refused: list[Refused] = []
    ready = threading.Barrier(2)

    def controller(who: str, hosts: dict[str, Callable[[str], object]]) -> None:
        ready.wait()
        try:
            got.append(take_all(hosts, claim(who)))  # type: ignore[arg-type]
        except Refused as error:
            refused.append(error)

    threads = [
        threading.Thread(target=controller, args=arguments)
        for arguments in (("alice@laptop", first), ("bob@desk", second))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return got, refused


def test_of_two_at_the_same_moment_one_goes_on_and_the_other_is_told_who_it_is(
    hosts: Hosts, monkeypatch: pytest.MonkeyPatch
) -> None:
    # However long the processes of a busy machine take to begin.
    monkeypatch.setattr(lease, "INSISTENCE", 60)
    monkeypatch.setattr(lease, "ANSWER", 60)
    for _ in range(5):
        (leases,), (refused,) = race(hosts.open(), hosts.open())
        assert set(leases) == set(hosts.folders)
        (holder,) = {
            read_holder((folder / "holder").read_text()).who  # type: ignore[union-attr]
            for folder in hosts.folders.values()
        }
        for reason in refused.reasons.values():
            assert f"it is being changed by {holder} " in reason
        for each in leases.values():
            each.give_back()
        wait_until(lambda: is_free(hosts))


class StubHost:
    """A host's lock in memory, which grants as hold_lease.sh does, after any while."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._record: list[str] | None = None

    def open(self, command: str) -> StubChannel:
        values = dict(line.split("=", 1) for line in command.splitlines()[1:4])
        time.sleep(random.random() * 0.003)
        with self._lock:
            if self._record is not None:
                return StubChannel(self, None, f"refused\t{' '.join(self._record)}\n")
            self._record = ["7", "1700000000", values["run"], "taking", values["who"], "deploy"]
            return StubChannel(self, self._record, "taken\t\n")

    def free(self, record: list[str]) -> None:
        time.sleep(random.random() * 0.003)
        with self._lock:
            if self._record is record:
                self._record = None


class StubChannel:
    def __init__(self, host: StubHost, record: list[str] | None, answer: str) -> None:
        self._host, self._record, self._answers = host, record, [answer]

    def write(self, line: str) -> None:
        if line == "held" and self._record is not None:
            self._record[3] = "held"
        elif line == "beat":
            self._answers.append("beat\n")

    def read(self, seconds: float) -> str:
        del seconds
        return self._answers.pop(0)

    def ended(self) -> bool:
        return False

    def close(self) -> None:
        if self._record is not None:
            self._host.free(self._record)


def test_never_both_and_never_neither_in_two_hundred_races(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(lease, "_RETRY", 0.002)
    for _ in range(200):
        stubs = {f"host-{number}": StubHost() for number in range(3)}
        names = random.sample(sorted(stubs), 3)
        first = {name: stubs[name].open for name in names}
        second = {name: stubs[name].open for name in reversed(names)}
        got, refused = race(first, second)  # type: ignore[arg-type]
        assert (len(got), len(refused)) == (1, 1), refused
        assert set(got[0]) == set(stubs)
        for each in got[0].values():
            each.give_back()


def test_where_they_share_one_host_of_several_one_at_least_goes_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(lease, "_RETRY", 0.002)
    for _ in range(50):
        stubs = {name: StubHost() for name in "abc"}
        got, refused = race(
            {name: stubs[name].open for name in "ab"},  # type: ignore[arg-type]
            {name: stubs[name].open for name in "bc"},  # type: ignore[arg-type]
        )
        assert (len(got), len(refused)) == (1, 1)
        for each in got[0].values():
            each.give_back()


# --- What a run makes of it -----------------------------------------------------------------------


def surveyed(host: Hosts) -> HostReading:
    asked = Survey()
    request = SurveyRequest((), (), (), 1, "x.service", "root", "/none", "/none", "/none")
    command = asked.command(request).replace(lease.FOLDER, str(host.folders["host-0"]))
    ran = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=True)
    return asked.process(ran.stdout.splitlines())


def test_a_reading_says_who_has_it(host: Hosts) -> None:
    (mine,) = take_all(host.open(), claim("alice@laptop", "a" * 16)).values()
    reading = surveyed(host)
    assert reading.lease.held
    assert reading.lease.holder is not None
    assert (reading.lease.holder.who, reading.lease.holder.run) == ("alice@laptop", "a" * 16)
    mine.give_back()


def test_a_reading_says_who_had_it_last() -> None:
    line = f"7 1700000000 {'a' * 16} held alice@laptop deploy"
    reading = read_survey(records(f"lease\tfree\t{line}"))
    assert not reading.lease.held
    assert reading.lease.holder == Holder("a" * 16, "alice@laptop", "deploy", 1700000000)
    assert read_survey(records("lease\theld\t$(reboot)")).lease.holder is None


@dataclass(frozen=True)
class RunHost:
    name: str
    print_prefix: str = ""


@pytest.mark.parametrize(
    "reading",
    {
        "nobody since": bare_host(),
        "nobody since another run": bare_host(lease__holder=Holder("b" * 16, "x@y", "deploy", 1)),
        "never read": None,
        "unreadable": HostReading(),
    }.items(),
    ids=lambda each: each[0],
)
def test_a_run_changes_what_nobody_else_changed_since_it_was_read(
    host: Hosts, monkeypatch: pytest.MonkeyPatch, reading: tuple[str, HostReading | None]
) -> None:
    if "another" in reading[0]:
        leave_behind(host, "b" * 16)
    leases = leases_of_run(host, monkeypatch, reading[1])
    assert (leases.refused, leases.obstacle(RunHost("host-0"))) == ({}, None)  # type: ignore[arg-type]
    leases.give_back()


@pytest.mark.parametrize(
    "reading",
    {
        "another run since": bare_host(),
        "another run under way": bare_host(
            lease__held=True, lease__holder=Holder("b" * 16, "x@y", "deploy", 1)
        ),
        "two runs since": bare_host(lease__holder=Holder("c" * 16, "x@y", "deploy", 1)),
    }.items(),
    ids=lambda each: each[0],
)
def test_a_run_whose_reading_is_older_than_somebody_elses_change_does_not_begin(
    host: Hosts, monkeypatch: pytest.MonkeyPatch, reading: tuple[str, HostReading]
) -> None:
    leave_behind(host, "b" * 16)
    leases = leases_of_run(host, monkeypatch, reading[1])
    said = leases.obstacle(RunHost("host-0"))  # type: ignore[arg-type]
    assert said is not None
    assert said.startswith("not begun: somebody else changed it since it was read.")
    wait_until(lambda: is_free(host))


def leave_behind(host: Hosts, run: str) -> None:
    (theirs,) = take_all(host.open(), claim("bob@desk", run)).values()
    theirs.give_back()
    wait_until(lambda: is_free(host))


def leases_of_run(
    hosts: Hosts, monkeypatch: pytest.MonkeyPatch, reading: HostReading | None
) -> RunLeases:
    monkeypatch.setattr(run_lease, "opener", lambda host: hosts.open()[host.name])
    monkeypatch.setattr(run_lease, "remembered_reading", lambda host: reading)
    return RunLeases(claim("alice@laptop"), [RunHost("host-0")])  # type: ignore[list-item]


def test_who_changes_a_host_is_a_further_reason_against_it() -> None:
    reading = bare_host(lease__held=True, lease__holder=Holder("b" * 16, "x@y", "deploy", 1))
    (problem,) = lease_problems("box1", reading)
    assert str(problem).startswith("box1: lease is held by x@y (deploy bbbbbbbbbbbbbbbb, since 19")
    assert list(lease_problems("box1", bare_host())) == []
