"""Remove another driver, and keep the installed one."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence

from pyinfra import host

from fortyninety.deadlines import UNIT
from fortyninety.driver.pins import DriverPins
from fortyninety.driver.plan import held_headers
from fortyninety.facts.archives_to_fetch import ArchivesToFetch
from fortyninety.operations.apt.packages import (
    APT_GET,
    FETCH_LISTS,
    FETCHING_LISTS,
    LOCK_TIMEOUT,
    apt_command,
    holding,
    transaction,
)
from fortyninety.operations.converge import Command, converging, within
from fortyninety.operations.draining import drained_first, serves
from fortyninety.operations.files import file_commands
from fortyninety.operations.reasons import differs
from fortyninety.packages.package import Package
from fortyninety.plan.draining import Draining
from fortyninety.survey.reading import HostReading
from fortyninety.templates import render

# Why the driver is pinned, as its preferences say.
KEPT = (
    "the driver stays as it is, its libraries included. Another one comes by\n# driver_branch or "
    "driver_version in group_data/ and a deploy."
)


@converging
def pinned(
    reading: HostReading, pins: DriverPins, *, preferences: str, unattended: str
) -> Iterator[Command]:
    """apt's preferences, and what unattended upgrades leave alone, for the driver as it is now.

    Before a driver of the wanted branch is there, apt is told to take that branch alone; a package
    that names its branch may ask for any later one. Afterwards exactly what is there is pinned.
    """
    commands = [
        *file_commands(
            reading,
            preferences,
            render("fortyninety.preferences.j2", reason=KEPT, pins=pins.pins(reading)),
        ),
        *file_commands(
            reading,
            unattended,
            render("fortyninety-driver.unattended-upgrades.j2", blacklist=pins.blacklist(reading)),
        ),
    ]
    if not commands:
        host.noop(f"driver {pins.version(reading)} is pinned")
    yield from commands


@converging
def prepared(
    reading: HostReading,
    pins: DriverPins,
    wanted: Sequence[Package],
    *,
    without: Sequence[str],
    service: str,
    draining: Draining | None = None,
    first: Sequence[Command] = (),
    lock_timeout: int = LOCK_TIMEOUT,
) -> Iterator[Command]:
    """Where another driver is there: its successor fetched, its holds released, `service` stopped.

    From the moment that its libraries are replaced until the reboot nothing can start on the cards.
    So everything is fetched, and apt finds its way, while the service still answers; then comes
    `first`, such as waiting for what is under way, and the service ends its own by `draining`.
    """
    if not pins.replaces(reading):
        host.noop("no other driver has to make way")
        return
    words, removed = _successor(reading, wanted, without)
    held = [name for name in pins.installed(reading) if reading.apt.packages[name].held]
    differs("another driver is installed", *(f"{name} has to go" for name in removed))
    if held:
        release = f"apt-mark unhold {shlex.join(held)} >/dev/null"
        yield apt_command(release, "releasing the driver's holds", lock_timeout)
    yield from _fetching(words, lock_timeout)
    if reading.unit(service, "ActiveState") in ("active", "activating", "reloading"):
        yield from first
        if draining is not None and serves(reading, service):
            yield drained_first(draining)
        yield within(UNIT, f"systemctl stop {shlex.quote(service)}")


@converging
def fetched(
    reading: HostReading,
    pins: DriverPins,
    wanted: Sequence[Package],
    *,
    without: Sequence[str],
    lock_timeout: int = LOCK_TIMEOUT,
) -> Iterator[Command]:
    """Where another driver is there: its successor's packages on the disk, and nothing else."""
    words, _ = _successor(reading, wanted, without)
    # The driver that is there stays held: apt is to look past that, and installs nothing.
    words = f"-o APT::Ignore-Hold=true {words}"
    if not pins.replaces(reading) or not host.get_fact(ArchivesToFetch, words=words):
        host.noop("no driver is to be fetched")
        return
    differs("another driver is wanted, and its packages are not here")
    yield from _fetching(words, lock_timeout)


def _successor(
    reading: HostReading, wanted: Sequence[Package], without: Sequence[str]
) -> tuple[str, list[str]]:
    """The words of a transaction that brings another driver, and what it removes."""
    missing = [each for each in wanted if not each.satisfied_by(reading.installed(each.name))]
    removed = [name for name in without if reading.installed(name) is not None]
    return transaction(missing, removed), removed


def _fetching(words: str, lock_timeout: int) -> Iterator[Command]:
    yield apt_command(FETCH_LISTS, FETCHING_LISTS, lock_timeout)
    yield apt_command(
        f"{APT_GET} install --download-only {words}",
        "fetching the driver's packages",
        lock_timeout,
    )


@converging
def cleared(
    reading: HostReading, pins: DriverPins, *, lock_timeout: int = LOCK_TIMEOUT
) -> Iterator[Command]:
    """Nothing of another version of the driver beside this one: taken along, or else removed.

    The host fails, with nothing changed, where apt would remove something else with it.
    """
    names = pins.left_behind(reading)
    if not names:
        host.noop("nothing of another driver is there")
        return
    differs(*(f"{name} is of another driver than {pins.version(reading)}" for name in names))
    install = f"install {transaction((), ())}"
    found = f"{' '.join(names)} is of another driver than {pins.version(reading)}"
    script = f"""
words=
for name in {shlex.join(names)}; do
  candidate=$(LC_ALL=C apt-cache policy "$name" | sed -n 's/^  Candidate: //p')
  case $candidate in
    {shlex.quote(pins.wanted)}*) words="$words $name=$candidate" ;;
    *) words="$words $name-" ;;
  esac
done
more=$({APT_GET} --simulate {install} $words | awk '$1 == "Remv" {{ print $2 }}' |
  grep -Fvx {" ".join(f"-e {shlex.quote(name)}" for name in names)} | tr '\\n' ' ')
if [ -n "$more" ]; then
  echo {shlex.quote(found)}"; expected nothing of another. To be rid of it apt would remove" \\
    "$more too: see to these on the host" >&2
  exit 1
fi
{APT_GET} {install} $words
""".strip()
    yield apt_command(script, "removing another driver", lock_timeout)


@converging
def held(
    reading: HostReading, pins: DriverPins, *, lock_timeout: int = LOCK_TIMEOUT
) -> Iterator[Command]:
    """Every package of the driver held, and no headers that their kernel would come without.

    After a change apt itself is asked, without the holds' help, whether it would leave the driver.
    """
    names = pins.installed(reading)
    loose = [name for name in names if not reading.apt.packages[name].held]
    headers = held_headers(reading)
    if not loose and not headers:
        host.noop(f"{len(names)} packages of driver {pins.version(reading)} are held")
        return
    differs(*(f"{name} is not held" for name in loose))
    differs(*(f"{name} is held; expected it free to follow its kernel" for name in headers))
    if headers:
        release = f"apt-mark unhold {shlex.join(headers)} >/dev/null"
        yield apt_command(release, "releasing the headers' holds", lock_timeout)
    if loose:
        yield apt_command(holding(loose), "holding the driver", lock_timeout)
        yield stays(names)


def stays(names: Sequence[str]) -> str:
    """A shell script that fails where apt would give any of the packages another version."""
    return f"""
moved=$(apt-cache policy {shlex.join(names)} | awk '
  /^[^ ]/ {{ name = substr($1, 1, length($1) - 1) }}
  $1 == "Installed:" {{ installed = $2 }}
  $1 == "Candidate:" && $2 != installed {{ print name, installed " to " $2 }}')
if [ -n "$moved" ]; then
  echo "apt would change the driver: $moved; expected none of it." \\
    "See \\`apt-cache policy\\` and the other files of /etc/apt/preferences.d" >&2
  exit 1
fi
""".strip()
