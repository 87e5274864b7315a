"""Examine, step by step, whether the hosts of an inventory are ready for a deploy.

Import it when a command runs, not before: pyinfra_cli patches the standard library.
"""

from __future__ import annotations

import shlex
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal

from pyinfra.api.host import Host

from fortyninety.cell.membership import Membership
from fortyninety.connection.account import (
    Account,
    ask_account,
    no_python3,
    odd_shell,
    root_fault,
)
from fortyninety.connection.bounded import HostLost, bounded
from fortyninety.connection.diagnosis import Diagnosis
from fortyninety.connection.shell import attempt, shell
from fortyninety.connection.way import Way, path_word
from fortyninety.facts.archives import TIMEOUT, UnreachableArchives
from fortyninety.fleet.cells import cells_of
from fortyninety.fleet.inventory import ConnectedHosts, connect_hosts, way_of
from fortyninety.fleet.planning import host_data, on_each
from fortyninety.fleet.quiet import errors_alone
from fortyninety.fleet.reached_addresses import address_verdict, asked_addresses, not_asked
from fortyninety.model.file_list import FileListUnknown, known_file_list
from fortyninety.model.questions import room_problems, token_problems
from fortyninety.plan.preflight import host_problems, lease_problems, settings_problems
from fortyninety.plan.programs import program
from fortyninety.plan.survey_request import survey_request
from fortyninety.problem import Problem
from fortyninety.releases.release import load_release
from fortyninety.settings.model import Settings
from fortyninety.settings.parse import parse_settings
from fortyninety.survey.latest import take_reading
from fortyninety.survey.reading import HostReading
from fortyninety.text.printable import printable

State = Literal["ok", "wrong", "not tried"]

# In the order in which one needs those before it, as a rule.
STEPS = (
    *("settings", "name", "port", "host key", "login", "shell", "root", "python3", "clock"),
    *("apt", "index", "hub", "disk", "cards", "rest"),
)
# Those without which others cannot be tried.
_NEEDED = ("name", "port", "host key", "login", "shell", "root", "python3", "apt")
# Seconds between the clocks. Certificates and apt's release files bear more, and logs of several
# hosts are no longer comparable.
CLOCK_DIFFERENCE = 30
# Archives of apt that are asked, and how often again: fewer times than before a deploy, since
# somebody waits.
MOST_ARCHIVES = 12
ARCHIVE_RETRIES = 1
ADDRESSES_TIMEOUT = 60


@dataclass(frozen=True)
class Check:
    """A step of an examination: what was found, and what is wrong with it."""

    step: str
    state: State
    said: str = ""
    problems: tuple[Problem, ...] = ()


@dataclass(frozen=True)
class Examined:
    """What was found on a host, in the order of STEPS, and whether it was reached."""

    host: str
    reached: bool
    checks: tuple[Check, ...]

    @property
    def problems(self) -> list[Problem]:
        """Everything that is wrong."""
        return [problem for check in self.checks for problem in check.problems]


def examine(inventory: str, limit: Iterable[str]) -> list[Examined]:
    """Examine the hosts side by side, changing nothing. Raises InventoryUnusable."""
    with errors_alone():
        connected = connect_hosts(inventory, limit)
        try:
            hosts = [
                host for host in connected.state.inventory if connected.state.is_host_in_limit(host)
            ]
            return list(
                on_each(connected.state, hosts, lambda host: _examined(connected, host)).values()
            )
        finally:
            connected.disconnect()


def _examined(connected: ConnectedHosts, host: Host) -> Examined:
    found: list[Check] = []
    reached = host in connected.settings
    try:
        for check in _checks(connected, host):
            found.append(check)
    except HostLost as lost:
        step = STEPS[len(found)]
        problem = Problem(
            host=host.name, subject="connection", found=f"lost: {lost}", expected="an answer"
        )
        found.append(Check(step, "wrong", problems=(problem,)))
    return Examined(host.name, reached, tuple(_whole(found)))


def _whole(found: Sequence[Check]) -> Iterator[Check]:
    """Every step in order; those that are missing wait for one that is wrong."""
    by_step = {check.step: check for check in found}
    wrong = [check.step for check in found if check.state == "wrong"]
    blocker = next((step for step in wrong if step in _NEEDED), wrong[-1] if wrong else "")
    for step in STEPS:
        yield by_step.get(step) or Check(step, "not tried", f"until {blocker} is right")


def _checks(connected: ConnectedHosts, host: Host) -> Iterator[Check]:
    if (settings := connected.settings.get(host)) is None and host not in connected.diagnoses:
        yield Check(
            "settings",
            "wrong",
            problems=tuple(each for each in connected.problems if each.host == host.name),
        )
        return
    way = way_of(host)
    cell, problems = _of_settings(connected, host)
    yield Check("settings", "wrong" if problems else "ok", "valid", problems)
    if settings is None:
        yield from _not_connected(host.name, way, connected.diagnoses[host])
        return
    yield from _connection(host, way)
    before = time.time()
    account = ask_account(host, way)
    after = time.time()
    if isinstance(account, Account) and account.noise:
        account = odd_shell(way, account.noise)
    if isinstance(account, Diagnosis):
        yield _wrong(host.name, account)
        return
    yield Check("shell", "ok", "runs commands of sh")
    fault = root_fault(host, way, account)
    yield _wrong(host.name, fault) if fault else Check("root", "ok", _who(account))
    if account.python3:
        yield Check("python3", "ok", account.python3)
    else:
        yield _wrong(host.name, no_python3(way))
    yield _clock(host.name, account.clock, before, after)
    if fault is None:
        yield from _as_root(host, settings, cell, has_python=bool(account.python3))


def _of_settings(
    connected: ConnectedHosts, host: Host
) -> tuple[Membership | None, tuple[Problem, ...]]:
    """The host's place in its cell, and what is wrong with settings that are each valid."""
    data = {each.name: host_data(each) for each in connected.state.inventory}
    cells, found = cells_of(data, {host.name})
    # What is wrong with another member that is examined too is said there.
    others = {each.name for each in connected.state.inventory} - {host.name}
    examined = {each.name for each in connected.state.limit_hosts or ()}
    found = [each for each in found if each.host not in others & examined]
    settings = parse_settings(host.name, data[host.name])
    if isinstance(settings, Settings):
        found += settings_problems(host.name, settings)
        if settings.has_engine:
            found += token_problems(host.name, settings)
    return cells.get(host.name), tuple(found)


def _not_connected(host: str, way: Way, diagnosis: Diagnosis) -> Iterator[Check]:
    """The steps up to the one that failed."""
    for step in STEPS[1:]:
        if step == diagnosis.step:
            yield _wrong(host, diagnosis)
            return
        said = {"name": way.address, "port": "an SSH server answers", "host key": "known"}
        yield Check(step, "ok", said.get(step, ""))


def _connection(host: Host, way: Way) -> Iterator[Check]:
    address, port = way.resolved
    transport = bounded(host).transport
    version = "" if transport is None else printable(str(transport.remote_version), 100)
    through = " through a jump host" if way.has_jump_host else ""
    yield Check("name", "ok", f"{address}{through}")
    yield Check("port", "ok", f"{port}, {version or 'no SSH'}")
    yield Check("host key", "ok", "known" if transport is not None else "none is needed")
    user = None if transport is None else transport.get_username()
    key = f" with the key {path_word(way.key)}" if way.key else ""
    yield Check("login", "ok", f"as {printable(user or way.user or 'you', 64)}{key}")


def _who(account: Account) -> str:
    return "root logs in" if account.uid == 0 else f"{account.user} with sudo"


def _clock(host: str, clock: int | None, before: float, after: float) -> Check:
    """The host's clock against this machine's; it is read somewhere between the two."""
    # Whole seconds, cut off.
    offset = None if clock is None else min(0, clock + 1 - before) or max(0, clock - after)
    if offset is not None and abs(offset) <= CLOCK_DIFFERENCE:
        return Check("clock", "ok", "as here" if abs(offset) < 2 else f"{offset:+.0f} s")
    found = "not readable" if offset is None else f"{offset:+.0f} s from this machine's"
    problem = Problem(
        host=host,
        subject="clock",
        found=found,
        expected=f"within {CLOCK_DIFFERENCE} s: certificates and apt's lists have dates",
        remedy="On the host: `timedatectl set-ntp true` (package systemd-timesyncd), or mend the "
        "clock of this machine",
    )
    return Check("clock", "wrong", problems=(problem,))


def _as_root(
    host: Host, settings: Settings, cell: Membership | None, *, has_python: bool
) -> Iterator[Check]:
    reading = take_reading(host, survey_request(settings, load_release(settings.engine)))
    problems = [
        *host_problems(host.name, settings, reading, cell),
        *lease_problems(host.name, reading),
    ]
    if not reading.readable:
        yield Check("apt", "wrong", problems=tuple(problems))
        return
    yield _apt(host, reading, problems)
    if not settings.has_engine:
        yield from _without_engine(reading, problems)
        return
    if has_python:
        yield from _addresses(host, settings)
    # Where its files are not known here, the step says what is free.
    with suppress(FileListUnknown):
        if files := known_file_list(settings.model_repository, settings.model_revision):
            problems += room_problems(host.name, reading, files)
    yield _of_problems("disk", _disk(settings, reading), problems)
    yield _of_problems("cards", _cards(reading), problems)
    others = [each for each in problems if _step_of(each) == "rest"]
    yield Check(
        "rest",
        "wrong" if others else "ok",
        f"{reading.os.name}; nothing else in the way (does the model fit: fortyninety fit)",
        tuple(others),
    )


def _without_engine(reading: HostReading, problems: Iterable[Problem]) -> Iterator[Check]:
    """The last steps on a host that needs neither a model nor a card."""
    for step in ("index", "hub", "disk", "cards"):
        yield Check(step, "ok", "not needed: roles is without 'engine'")
    own = tuple(each for each in problems if _step_of(each) != "apt")
    said = f"{reading.os.name}; nothing else in the way"
    yield Check("rest", "wrong" if own else "ok", said, own)


def _apt(host: Host, reading: HostReading, problems: Iterable[Problem]) -> Check:
    archives = list(dict.fromkeys(f"{each.address} {each.suite}" for each in reading.apt.archives))[
        :MOST_ARCHIVES
    ]
    unreachable: dict[str, str] = {}
    if archives:
        asked = UnreachableArchives()
        patience = (len(archives) * (ARCHIVE_RETRIES + 1) + 1) * TIMEOUT
        command = asked.command(archives, ARCHIVE_RETRIES)
        succeeded, output = attempt(host, command, timeout=patience)
        unreachable = asked.process(output.stdout_lines)
        if not succeeded:
            unreachable |= dict.fromkeys(archives, "the host could not ask")
    own = [
        Problem(
            host=host.name,
            subject=f"archive {archive}",
            found=f"out of reach ({reason})",
            expected="an answer",
            remedy="Check the host's network, its apt proxy and /etc/apt",
        )
        for archive, reason in unreachable.items()
    ]
    count = "1 archive" if len(archives) == 1 else f"{len(archives)} archives"
    said = f"{count} of {reading.os.name}, each answers"
    return _of_problems("apt", said, [*problems, *own])


def _addresses(host: Host, settings: Settings) -> Iterator[Check]:
    asked = asked_addresses(settings)
    answer = ""
    if asked:
        arguments = shlex.join(f"{name}={address}" for name, address in asked.items())
        answer = shell(
            host,
            f"python3 - {arguments}",
            timeout=ADDRESSES_TIMEOUT,
            _stdin=program("reachable.py"),
        ).stdout
    for step in ("index", "hub"):
        if step not in asked:
            yield Check(step, "ok", not_asked(settings, step))
            continue
        said, problems = address_verdict(host.name, settings, step, answer)
        yield Check(step, "wrong" if problems else "ok", said, problems)


def _disk(settings: Settings, reading: HostReading) -> str:
    drives = ", ".join(name for name, _ in reading.disk.drives) or reading.disk.filesystem
    return (
        f"{reading.disk.free_bytes / 1e9:.0f} GB free for {settings.models_directory} on {drives}"
    )


def _cards(reading: HostReading) -> str:
    gpus, devices = reading.cards.gpus, reading.cards.devices
    if gpus:
        names = ", ".join(f"{gpu.name} ({gpu.memory} MiB)" for gpu in gpus)
        return f"{names}, driver {gpus[0].driver_version}"
    count = f"{len(devices)} card{'' if len(devices) == 1 else 's'}"
    return f"{count} on the PCI bus, no driver yet: a deploy brings it"


def _of_problems(step: str, said: str, problems: Iterable[Problem]) -> Check:
    own = tuple(each for each in problems if _step_of(each) == step)
    return Check(step, "wrong" if own else "ok", said, own)


def _step_of(problem: Problem) -> str:
    """Which step a problem of preflight belongs to."""
    subject = problem.subject
    if subject in ("distribution", "apt") or subject.startswith("archive "):
        return "apt"
    if subject == "models_directory":
        return "disk"
    if subject.startswith(("GPU", "gpu_", "power_limit")) or subject == "tensor_parallel_size":
        return "cards"
    return "rest"


def _wrong(host: str, diagnosis: Diagnosis) -> Check:
    return Check(diagnosis.step, "wrong", problems=(diagnosis.problem(host),))
