"""Install the CUDA toolkit, without a second driver, from packages fetched meanwhile."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence

from pyinfra import host, logger
from pyinfra import state as run
from pyinfra.api.command import FunctionCommand, StringCommand
from pyinfra.api.host import Host
from pyinfra.api.state import State

from fortyninety.connection.shell import HostLost, attempt
from fortyninety.deadlines import APT, REMOVAL, UNIT
from fortyninety.operations.apt.messages import announced_room, reasons
from fortyninety.operations.apt.packages import (
    APT_GET,
    FETCH_LISTS,
    FETCHING_LISTS,
    LOCK_TIMEOUT,
    apt_command,
    foreseen,
    free_by_folder,
    kept_in,
    not_possible,
    room_problem,
    transaction,
)
from fortyninety.operations.background import beginning, ended, stopping
from fortyninety.operations.converge import Command, converging, say_failed, within
from fortyninety.operations.reasons import differs, only_asks
from fortyninety.packages.package import Package
from fortyninety.survey.reading import HostReading
from fortyninety.text.printable import printable

# The transient unit that fetches the toolkit's packages while other things are done on the host.
FETCHING = "fortyninety-toolkit.scope"
# Of apt's reasons why nothing is fetched ahead.
MOST_CHARACTERS = 600

# What of a driver a toolkit might drag in or take away: its library, its modules, its tools.
DRIVER_PARTS = (
    "^(libcuda1|libnvidia-ml1|libnvidia-compute(-[0-9]+)?|cuda-drivers(-[0-9]+)?|nvidia-driver.*"
    "|nvidia-(open-)?kernel-(open-)?dkms|nvidia-open-kernel-dkms|nvidia-dkms(-.*)?)$"
)


@converging
def without_driver(
    reading: HostReading, wanted: Sequence[Package], *, lock_timeout: int = LOCK_TIMEOUT
) -> Iterator[Command]:
    """apt, asked beforehand, would neither install nor remove a driver for what is `wanted`."""
    missing = [each for each in wanted if not each.satisfied_by(reading.installed(each.name))]
    if not missing:
        host.noop("the toolkit is installed")
        return
    only_asks("whether the toolkit would bring a driver along, which apt is asked beforehand")
    yield apt_command(FETCH_LISTS, FETCHING_LISTS, lock_timeout)
    names = shlex.quote(" ".join(each.name for each in missing))
    yield f"""
if ! planned=$({APT_GET} --simulate install {transaction(missing, ())}); then
  echo "apt finds no way to install" {names} "and keep the driver; nothing was installed." \\
    "Choose another cuda_version, or the driver_branch that it came with" >&2
  exit 1
fi
driver=$(printf '%s\\n' "$planned" | awk '$1 == "Inst" || $1 == "Remv" {{ print $2 }}' |
  grep -Ex {shlex.quote(DRIVER_PARTS)} | tr '\\n' ' ')
if [ -n "$driver" ]; then
  echo {names} "would install or remove $driver; expected no part of a driver." \\
    "Nothing of the toolkit was installed: choose another cuda_version, or look at" \\
    "\\`apt-get --simulate install\\` on the host" >&2
  exit 1
fi
""".strip()


@converging
def begun(
    reading: HostReading,
    wanted: Sequence[Package],
    archives: str,
    *,
    driver: Sequence[Package],
    without: Sequence[str],
) -> Iterator[Command]:
    """The packages of a toolkit that is not there, on their way into the folder `archives`.

    Only where a `driver` is to be installed first, which takes apt's locks and fetches nothing
    while its module is built; `without` goes with it. By apt itself, as it would for the
    installation, in a transient unit. Where that fails, apt tries again in the toolkit's own stage
    and says why. No difference of its own: a look at changes hears of the toolkit from its stage.
    """
    missing = [each for each in wanted if not each.satisfied_by(reading.installed(each.name))]
    before = [each for each in driver if not each.satisfied_by(reading.installed(each.name))]
    if not missing or not before or not run.is_executing:
        host.noop("no toolkit is to be fetched ahead")
        return
    removed = [name for name in without if reading.installed(name) is not None]
    both = kept_in(archives, transaction([*before, *missing], removed))
    yield FunctionCommand(_begin, (both, fetching(archives, transaction(missing, ()))), {})


def _begin(state: State, host: Host, both: str, script: str) -> bool:
    """Run `script` if apt can do all that `both` says and the disk holds it; say why not."""
    try:
        output = foreseen(host, both)
        # Packages that have not arrived yet must be room that the driver's installation sees taken.
        reason = (
            " / ".join(reasons(output))
            if not_possible(output)
            else room_problem(*announced_room(output), free_by_folder(output))
        )
        if reason is None:
            attempt(host, script)
        else:
            said = printable(reason, MOST_CHARACTERS)
            logger.info(f"{host.print_prefix}The toolkit is not fetched ahead: {said}")
    except HostLost as lost:
        say_failed(host, f"beginning to fetch the toolkit: {lost}")
        return False
    return True


def fetching(archives: str, words: str) -> str:
    """A shell script that begins to fetch a transaction's packages, unless that is under way.

    Without apt's locks, which others need meanwhile: apt reads what is installed before it fetches,
    and writes into the folder alone. The script ends when apt has read it, since the driver's
    installation is about to replace the lists.
    """
    folder = shlex.quote(archives)
    fetch = shlex.quote(f"{fetch_now(archives, words)}; mkdir -p {folder}/partial")
    begin = beginning(FETCHING, f"sh -c {fetch}", seconds=APT, identifier="fortyninety-toolkit")
    return f"""
umask 022
systemctl is-active --quiet {FETCHING} || {{
  rm -rf {folder}/partial
  mkdir -p {folder}
  {begin}
  # apt makes it once it knows what to fetch.
  for step in $(seq 150); do [ ! -d {folder}/partial ] || break; sleep 0.2; done
}}
""".strip()


def fetch_now(archives: str, words: str) -> str:
    """apt-get, which fetches a transaction's packages into a folder and takes no lock."""
    return f"{APT_GET} -o Debug::NoLocking=1 install --download-only {kept_in(archives, words)}"


def fetching_ended() -> StringCommand:
    """A command that waits until nothing is fetched by `begun` any more."""
    return ended(FETCHING, APT)


@converging
def arrived(reading: HostReading, wanted: Sequence[Package], archives: str) -> Iterator[Command]:
    """What `begun` began to fetch, waited for where the toolkit is not there.

    Not cut: what apt has half of it would ask for anew.
    """
    missing = [each for each in wanted if not each.satisfied_by(reading.installed(each.name))]
    if not missing or archives not in reading.files or not run.is_executing:
        host.noop("no toolkit is under way")
        return
    yield fetching_ended()


@converging
def archives_gone(reading: HostReading, archives: str) -> Iterator[Command]:
    """No folder of packages that were fetched ahead."""
    if archives not in reading.files:
        host.noop(f"{archives} is not there")
        return
    differs(f"{archives} is there; expected it gone once the toolkit is installed")
    yield within(UNIT, stopping(FETCHING))
    yield within(REMOVAL, f"rm -rf --one-file-system -- {shlex.quote(archives)}")
