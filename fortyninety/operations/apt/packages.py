"""Install Debian packages at a pinned version, without a prompt, and hold them where asked.

Others use apt too: their locks are waited for, and what they left half done is repaired first.
"""

from __future__ import annotations

import shlex
import time
from collections.abc import Iterator, Sequence

from pyinfra import host, logger
from pyinfra.api.command import FunctionCommand
from pyinfra.api.host import Host
from pyinfra.api.state import State

from fortyninety.connection.shell import HostLost, attempt
from fortyninety.deadlines import APT
from fortyninety.operations.apt.lock import wait_for_lock
from fortyninety.operations.apt.messages import (
    announced_room,
    lock_refused,
    reasons,
    remedy,
    warnings,
)
from fortyninety.operations.brought import noting, noting_names
from fortyninety.operations.converge import Command, converging, say_failed
from fortyninety.operations.initramfs import put_off
from fortyninety.operations.reasons import differs
from fortyninety.packages.package import Package
from fortyninety.survey.reading import HostReading

# Seconds to wait for another process that uses apt, where no setting says otherwise.
LOCK_TIMEOUT = 600

# Bytes that an installation must leave free: the driver's modules (48 MB) and an initramfs (17 MB;
# both measured on a lab host) are made after apt has counted, and a full disk stops more than apt.
RESERVE = 300 * 10**6
# Where packages are added, and where they are fetched to.
FOLDERS = ("/usr", "/var/cache/apt/archives")

# Never prompt: not debconf, not needrestart, not ucf or dpkg about a changed configuration file.
# And keep no archives: CUDA's alone have 1.9 GB. The lock's timeout is for the moment between our
# own look at it and apt's.
QUIETLY = (
    "LC_ALL=C DEBIAN_FRONTEND=noninteractive NEEDRESTART_MODE=l APT_LISTCHANGES_FRONTEND=none "
    "UCF_FORCE_CONFFOLD=1"
)
APT_GET = (
    f"{QUIETLY} apt-get -q -y -o DPkg::Lock::Timeout=20 -o APT::Keep-Downloaded-Packages=false "
    "-o Dpkg::Options::=--force-confdef -o Dpkg::Options::=--force-confold"
)
# "No" alone is no dry run: apt does not ask where nothing but what was named is to be installed.
NEVER = "-o APT::Get::Print-URIs=true -o Debug::NoLocking=1"
FETCH_LISTS, FETCHING_LISTS = f"{APT_GET} update", "fetching package lists"
# What another process repaired meanwhile is not repaired again.
REPAIR = (
    '[ -z "$(dpkg --audit)$(ls /var/lib/dpkg/updates)" ] || '
    f"{{ {QUIETLY} dpkg --configure -a --force-confdef --force-confold && "
    f"{APT_GET} --fix-broken install; }}"
)


@converging
def packages(
    reading: HostReading,
    wanted: Sequence[Package],
    *,
    hold: bool = False,
    without: Sequence[str] = (),
    fetch_lists: bool = True,
    archives: str | None = None,
    initramfs_behind: str | None = None,
    lock_timeout: int = LOCK_TIMEOUT,
) -> Iterator[Command]:
    """The `wanted` packages, without recommendations; held against upgrades if `hold`.

    `without` are removed in the same transaction where they are installed, so that there is no
    moment with neither. apt's lists are fetched first, unless an operation before this one did.
    Where there is a folder `archives`, what is in it is not fetched any more.
    Where `initramfs_behind` names a file, several packages leave the initramfs, which is behind it
    then, to a later operation (`initramfs.holding`). Every name must be among the survey's
    packages. An interrupted dpkg is repaired first. The host fails before anything is installed
    where another process uses apt for longer than `lock_timeout` seconds, where apt cannot work it
    out, and where the disk is too small for it.
    """
    missing = [each for each in wanted if not each.satisfied_by(reading.installed(each.name))]
    removed = [name for name in without if reading.installed(name) is not None]
    loose = [
        each.name
        for each in wanted
        if hold and (each in missing or not reading.apt.packages[each.name].held)
    ]
    if not missing and not removed and not loose and not reading.apt.interrupted:
        host.noop(f"{', '.join(each.name for each in wanted)}: installed{' and held' * hold}")
        return
    differs(*_differences(reading, missing, removed, loose))
    if reading.apt.interrupted:
        yield apt_command(REPAIR, "repairing an interrupted dpkg", lock_timeout)
    if missing or removed:
        words = transaction(missing, removed)
        if archives is not None and archives in reading.files:
            words = kept_in(archives, words)
        yield FunctionCommand(_worked_out, (words, fetch_lists, lock_timeout), {})
        # One package alone asks for one initramfs at most.
        later = initramfs_behind if len(missing) + len(removed) > 1 else None
        yield apt_command(installing(words, later), "installing packages", lock_timeout)
    if loose:
        yield apt_command(holding(loose), "holding packages", lock_timeout)


def _differences(
    reading: HostReading, missing: Sequence[Package], removed: Sequence[str], loose: Sequence[str]
) -> Iterator[str]:
    if reading.apt.interrupted:
        yield "dpkg was interrupted"
    for package in missing:
        found = reading.installed(package.name) or "not installed"
        yield f"{package.name} is {found}; expected {package.version or 'it installed'}"
    for name in removed:
        yield f"{name} is {reading.installed(name)}; expected it gone"
    known = {package.name for package in missing}
    yield from (f"{name} is not held" for name in loose if name not in known)


def transaction(missing: Sequence[Package], removed: Sequence[str]) -> str:
    """Options and words for apt-get's install that bring `missing` and take `removed` away."""
    words = [*(each.specification for each in missing), *(f"{name}-" for name in removed)]
    return (
        "--no-install-recommends --allow-change-held-packages --allow-downgrades "
        f"{shlex.join(words)}"
    ).rstrip()


def kept_in(archives: str, words: str) -> str:
    """Words of a transaction whose packages apt keeps in a folder of their own.

    apt finds there what an earlier one fetched, whole or in part, and takes it as from its own.
    """
    return f"-o Dir::Cache::archives={shlex.quote(archives)} {words}"


def installing(words: str, initramfs_behind: str | None = None) -> str:
    """apt-get's install with such words, once the packages that are not there yet are noted."""
    install = f"{APT_GET} install {words}"
    if initramfs_behind is not None:
        install = put_off(initramfs_behind, install)
    simulate = f"{QUIETLY} apt-get -q --simulate -o Debug::NoLocking=1 install {words} </dev/null"
    # "Inst libc6 [2.41-1] (2.41-2 ...)" is one that is there.
    return (
        f"new=$({simulate} 2>/dev/null | sed -n 's/^Inst \\([^ ]*\\) (.*/\\1/p')\n"
        f"{noting('package', '$new')} && {install}"
    )


def holding(names: Sequence[str]) -> str:
    """A command that holds packages, once it is noted that these holds are a deploy's."""
    return f"{noting_names('hold', *names)} && apt-mark hold {shlex.join(names)} >/dev/null"


def apt_command(command: str, doing: str, lock_timeout: int = LOCK_TIMEOUT) -> FunctionCommand:
    """A command that uses apt or dpkg, run once nobody else does.

    Where it fails the host fails, with apt's own reasons and what to do about them; `doing` says
    in them what was being done, such as "installing packages".
    """
    return FunctionCommand(_run, (command, doing, lock_timeout), {})


def _run(state: State, host: Host, command: str, doing: str, lock_timeout: int) -> bool:
    done = _once_free(host, command, doing, lock_timeout)
    if done is None:
        return False
    succeeded, output = done
    if not succeeded:
        _say_why(host, doing, output)
    return succeeded


def _once_free(host: Host, command: str, doing: str, timeout: int) -> tuple[bool, str] | None:
    """Run a command when apt's locks are free, and again where another process was faster.

    None where they never were or the host is lost, which was said.
    """
    deadline = time.monotonic() + timeout
    try:
        while True:
            left = max(0, round(deadline - time.monotonic()))
            if (in_use := wait_for_lock(host, left, timeout)) is not None:
                say_failed(host, f"{doing}: {in_use}")
                return None
            succeeded, result = attempt(
                host,
                f"{{ {command}; }} </dev/null",
                timeout=APT,
                print_output=host.state.print_output,
            )
            output = f"{result.stdout}\n{result.stderr}"
            if succeeded or not lock_refused(output) or time.monotonic() >= deadline:
                return succeeded, output
    except HostLost as lost:
        say_failed(host, f"{doing}: {lost}")
        return None


def _worked_out(state: State, host: Host, words: str, fetch_lists: bool, lock_timeout: int) -> bool:
    """Whether apt, with its lists as they are now, can install that, and the disk can hold it.

    An archive that does not answer, or whose signature is not trusted, is only a warning as long as
    apt finds everything without it: it may be anybody's.
    """
    lists = ""
    if fetch_lists:
        fetched = _once_free(host, FETCH_LISTS, FETCHING_LISTS, lock_timeout)
        if fetched is None:
            return False
        _, lists = fetched
    try:
        output = foreseen(host, words)
    except HostLost as lost:
        say_failed(host, f"looking at what is to be installed: {lost}")
        return False
    if not_possible(output):
        _say_why(host, "looking at what is to be installed", f"{output}\n{lists}")
        return False
    for warning in warnings(lists):
        logger.warning(f"{host.print_prefix}apt, which can do without: {warning}")
    too_small = room_problem(*announced_room(output), free_by_folder(output))
    if too_small is not None:
        say_failed(host, too_small)
    return too_small is None


def foreseen(host: Host, words: str) -> str:
    """What apt says that it would do, doing nothing, and what is free. Raises HostLost."""
    _, result = attempt(
        host,
        f"{QUIETLY} apt-get -q --assume-no {NEVER} install {words} </dev/null; "
        f"df -PB1 {' '.join(FOLDERS)}",
    )
    return f"{result.stdout}\n{result.stderr}"


def not_possible(output: str) -> bool:
    """Whether apt said that it cannot."""
    return any(line.startswith("E: ") for line in output.splitlines())


def free_by_folder(output: str) -> list[tuple[str, int]]:
    """Mount point and free bytes of each folder that `df -PB1` was asked for, in that order."""
    rows = [line.split() for line in output.splitlines()]
    return [
        (row[5], int(row[3]))
        for row in rows
        if len(row) == 6 and row[4].endswith("%") and row[3].isdecimal()
    ]


def room_problem(fetched: int, added: int, free: Sequence[tuple[str, int]]) -> str | None:
    """Why the disks cannot hold what apt fetches and adds (bytes), or None.

    `free` holds the file systems of what is added and of what is fetched, in this order.
    """
    if len(free) != len(FOLDERS):
        return (
            f"df says of {len(free)} file systems what is free; expected it of "
            f"{' and '.join(FOLDERS)}. Look at `df -P {' '.join(FOLDERS)}`"
        )
    needed: dict[str, int] = {}
    for (mount, _), size in zip(free, (added + RESERVE, fetched), strict=True):
        needed[mount] = needed.get(mount, 0) + size
    for mount, available in free:
        if needed[mount] > available:
            return (
                f"{mount} has {_said(available)} free; expected "
                f"{_said(needed[mount])} for the packages ({_said(fetched)} to fetch, "
                f"{_said(added)} to install, {_said(RESERVE)} to spare). Nothing was "
                "installed: make room (`df -h`; `apt-get clean`; `apt-get autoremove`) and run "
                "this again"
            )
    return None


def _said(size: int) -> str:
    return f"{size / 10**6:,.0f} MB" if size >= 10**6 else f"{size / 10**3:,.0f} kB"


def _say_why(host: Host, doing: str, output: str) -> None:
    said = " / ".join(reasons(output))
    if "make.log" in output:
        said = f"{said} / {_build_log(host)}"
    say_failed(host, f"{doing}: {said.rstrip('.')}. {remedy(output)}")


def _build_log(host: Host) -> str:
    """The lines of the log of a module's failed build that say why."""
    try:
        _, result = attempt(
            host,
            "cd /var/lib/dkms && for log in */*/build/make.log; do [ ! -f $log ] || "
            "{ grep -i -E 'error|not found|no such' $log || tail -n 5 $log; } | head -n 5; done",
        )
    except HostLost:
        return "its log could not be read"
    return f"make.log: {' / '.join(result.stdout.splitlines())}"
