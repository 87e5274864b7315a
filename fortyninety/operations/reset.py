"""Take from a host what a deploy brought to it."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator, Sequence
from typing import Concatenate, ParamSpec
from weakref import WeakKeyDictionary

from pyinfra import host
from pyinfra.api.arguments_typed import PyinfraOperation
from pyinfra.api.facts import get_fact
from pyinfra.api.host import Host
from pyinfra.context import ctx_host

from fortyninety.deadlines import INITRAMFS, REMOVAL, SURVEY, UNIT
from fortyninety.facts.remains import RemainsOfDeploy
from fortyninety.operations.apt.packages import (
    APT_GET,
    LOCK_TIMEOUT,
    QUIETLY,
    REPAIR,
    apt_command,
)
from fortyninety.operations.background import stopping
from fortyninety.operations.converge import Command, converging, failing, within
from fortyninety.operations.cuda import FETCHING
from fortyninety.operations.environments import BUILDING
from fortyninety.operations.files import file_commands, no_leftovers
from fortyninety.operations.reasons import differs
from fortyninety.operations.removal import removal
from fortyninety.plan.reset import (
    ResetPlan,
    accounts_to_go,
    folders_to_go,
    holds_to_go,
    packages_to_go,
)
from fortyninety.survey.reading import HostReading
from fortyninety.survey.records import COMMIT
from fortyninety.survey.remains import MODEL, MODEL_ENTRY, Remains

P = ParamSpec("P")

_latest: WeakKeyDictionary[Host, tuple[HostReading, Remains | None]] = WeakKeyDictionary()


def read_remains(host: Host, reading: HostReading, plan: ResetPlan) -> Remains | None:
    """What of a deploy is on a host, as old as its reading; None where it does not say so."""
    latest = _latest.get(host)
    if latest is not None and latest[0] is reading:
        return latest[1]
    remains: Remains | None = get_fact(
        host.state,
        host,
        RemainsOfDeploy,
        kwargs={"request": plan.remains_request, "_timeout": SURVEY},
        apply_failed_hosts=False,
    )
    _latest[host] = (reading, remains)
    return remains


def removing(
    function: Callable[Concatenate[HostReading, Remains, ResetPlan, P], Iterator[Command]],
) -> PyinfraOperation[Concatenate[ResetPlan, P]]:
    """An operation that also gets what of a deploy is on the host, of the same moment."""

    def remove(
        reading: HostReading, plan: ResetPlan, /, *args: P.args, **kwargs: P.kwargs
    ) -> Iterator[Command]:
        remains = read_remains(ctx_host.get(), reading, plan)  # type: ignore[no-untyped-call]
        if remains is None:
            yield failing("what a deploy left on it could not be read: it did not answer in form")
            return
        yield from function(reading, remains, plan, *args, **kwargs)

    remove.__module__ = function.__module__
    remove.__name__ = function.__name__
    remove.__doc__ = function.__doc__
    return converging(remove)


@converging
def no_caps(reading: HostReading, power_unit: str) -> Iterator[Command]:
    """Every card at its own default, where `power_unit` (a path) is there, which capped them."""
    capped = [
        gpu
        for gpu in reading.cards.gpus
        if None not in (gpu.power_limit, gpu.power_limit_default)
        and gpu.power_limit != gpu.power_limit_default
    ]
    if power_unit not in reading.files or not capped:
        host.noop("no card has a cap of a deploy")
        return
    # All of it before the first command, after which nobody listens.
    differs(
        *(
            f"card {gpu.index} from {gpu.power_limit:.0f} W to {gpu.power_limit_default:.0f} W"
            for gpu in capped
        )
    )
    for gpu in capped:
        yield (
            f"nvidia-smi --id={shlex.quote(gpu.uuid)} "
            f"--power-limit={gpu.power_limit_default:.2f} >/dev/null"
        )


@removing
def no_unit(
    reading: HostReading, remains: Remains, plan: ResetPlan, unit_name: str, path: str
) -> Iterator[Command]:
    """A unit stopped and gone: its file at `path`, its links, and what systemd knows of it."""
    active = reading.unit(unit_name, "ActiveState") not in ("", "inactive", "failed")
    there = path in reading.files or path in remains.cut
    if not there and not active:
        host.noop(f"{unit_name} is not there")
        return
    differs(f"{unit_name}{', which is active' if active else ''}")
    quoted = shlex.quote(unit_name)
    if active:
        yield within(UNIT, f"systemctl stop {quoted}")
    yield (
        # The links first: without its unit nobody would know of them.
        f"rm -f /etc/systemd/system/*.wants/{quoted} && {no_leftovers(path)} && "
        f"rm -f {shlex.quote(path)} && systemctl daemon-reload && "
        f"{{ systemctl reset-failed {quoted} 2>/dev/null || true; }}"
    )


@removing
def no_folders(reading: HostReading, remains: Remains, plan: ResetPlan) -> Iterator[Command]:
    """This project's own folders gone, with all that is in them."""
    found = folders_to_go(plan, remains)
    if not found:
        host.noop("none of its folders is there")
        return
    differs(*found)
    # What a deploy that was cut left at work would make them anew.
    yield within(UNIT, stopping(BUILDING, FETCHING))
    yield within(REMOVAL, emptying(found))


def emptying(folders: Sequence[str]) -> str:
    """A shell command that removes these folders, and of a mounted disk what is on it.

    What is mounted below them is left, and said to be in the way.
    """
    return (
        f"for folder in {shlex.join(folders)}; do\n"
        '  if [ ! -L "$folder" ] && mountpoint -q "$folder"; then\n'
        '    find "$folder" -xdev -mindepth 1 -delete || exit 1\n'
        "  else\n"
        '    rm -rf --one-file-system -- "$folder" || exit 1\n'
        "  fi\n"
        "done"
    )


@removing
def no_empty_folders(reading: HostReading, remains: Remains, plan: ResetPlan) -> Iterator[Command]:
    """The folders gone that only what is gone was in."""
    found = [path for path in plan.emptied if path in remains.there]
    if not found:
        host.noop("nothing is left empty")
        return
    differs(*found)
    yield f"find {shlex.join(found)} -xdev -depth -type d -empty -delete"


@removing
def no_models(reading: HostReading, remains: Remains, plan: ResetPlan) -> Iterator[Command]:
    """No model that a deploy fetched, published or begun."""
    models = [
        (f"{folder}/{name}", entries)
        for path, entries in sorted(remains.models.items())
        for folder, _, name in [path.rpartition("/")]
        if folder in plan.model_folders and MODEL.pattern.fullmatch(name)
    ]
    if not models:
        host.noop("no model of a deploy is there")
        return
    differs(*(f"{folder} ({', '.join(entries)})" for folder, entries in models))
    for folder, entries in models:
        for command in forgetting(folder, entries):
            yield within(REMOVAL, command)


def forgetting(folder: str, entries: Sequence[str]) -> Iterator[str]:
    """Shell commands that remove what a deploy put into a model's folder, and the folder if empty.

    A published commit becomes one that is on its way first, by one rename: a removal that is cut
    off in its middle leaves something that is known as what it is.
    """
    commits = [name for name in entries if COMMIT.pattern.fullmatch(name)]
    for commit in commits:
        published, way = (
            shlex.quote(f"{folder}/{name}") for name in (commit, f".incoming-{commit}")
        )
        yield f"rm -rf -- {way}"
        yield f"mv -T -- {published} {way}"
    names = [
        *(name for name in entries if name not in commits),
        *(f".incoming-{commit}" for commit in commits),
    ]
    if (command := removal(folder, dict.fromkeys(names), MODEL_ENTRY)) is not None:
        yield command
    yield f"rmdir --ignore-fail-on-non-empty -- {shlex.quote(folder)}"


@removing
def no_account(reading: HostReading, remains: Remains, plan: ResetPlan) -> Iterator[Command]:
    """No account that a deploy made."""
    accounts = accounts_to_go(remains)
    if not accounts:
        host.noop("no account of a deploy is there")
        return
    differs(*accounts)
    for account in accounts:
        yield f"userdel -- {shlex.quote(account)}"


@removing
def no_packages(
    reading: HostReading, remains: Remains, plan: ResetPlan, *, lock_timeout: int = LOCK_TIMEOUT
) -> Iterator[Command]:
    """No package and no hold that a deploy brought, but for packages that others need.

    The host fails, with nothing changed, where apt would remove something else with them.
    """
    going, _ = packages_to_go(plan, remains)
    holds = holds_to_go(plan, remains)
    if not going and not holds:
        host.noop("no package of a deploy is there")
        return
    if holds:
        differs(f"the holds of {' '.join(holds)}")
    differs(*going)
    if reading.apt.interrupted:
        yield apt_command(REPAIR, "repairing an interrupted dpkg", lock_timeout)
    if holds:
        release = f"apt-mark unhold {shlex.join(holds)} >/dev/null"
        yield apt_command(release, "releasing holds", lock_timeout)
    if going:
        yield apt_command(purging(going), "removing packages", lock_timeout)


def purging(names: Sequence[str]) -> str:
    """A shell script that purges these packages, and nothing where apt would remove others too."""
    purge = f"--allow-change-held-packages purge {shlex.join(names)}"
    return f"""
planned=$({QUIETLY} apt-get -q --simulate -o Debug::NoLocking=1 {purge}) || exit 1
more=$(printf '%s\\n' "$planned" | sed -n 's/^\\(Remv\\|Purg\\|Inst\\) \\([^ ]*\\).*/\\2/p' |
  sort -u | grep -Fvx {" ".join(f"-e {shlex.quote(name)}" for name in names)} | tr '\\n' ' ')
if [ -n "$more" ]; then
  echo "apt would change $more too; expected only what a deploy brought. Nothing was removed:" \\
    "see to these on the host" >&2
  exit 1
fi
{APT_GET} {purge}
""".strip()


@removing
def no_files(reading: HostReading, remains: Remains, plan: ResetPlan) -> Iterator[Command]:
    """No file outside of this project's folders that a deploy wrote."""
    found = [path for path in plan.files if path in reading.files or path in remains.cut]
    if not found:
        host.noop("no file of a deploy is there")
        return
    differs(*found)
    for path in found:
        yield f"{no_leftovers(path)} && rm -f {shlex.quote(path)}"


@removing
def no_mask(
    reading: HostReading, remains: Remains, plan: ResetPlan, path: str, *, package: str
) -> Iterator[Command]:
    """No mask at `path` of a unit whose `package` a deploy brought and a reset took."""
    there = reading.files.get(path)
    if there is None or there.target != "/dev/null" or package not in remains.packages:
        host.noop(f"{path} is no mask of a deploy")
        return
    differs(path)
    yield f"rm -f {shlex.quote(path)} && systemctl daemon-reload"


@removing
def nouveau_free(
    reading: HostReading, remains: Remains, plan: ResetPlan, path: str
) -> Iterator[Command]:
    """Nothing that keeps nouveau from the cards, in the initramfs either."""
    if plan.keep_driver or (path not in reading.files and path not in remains.cut):
        host.noop("nouveau is kept from the cards" if plan.keep_driver else "nouveau is free")
        return
    differs(path)
    folder, _, name = path.rpartition("/")
    aside = shlex.quote(f"{folder}/.{name}.fortyninety-beingreset")
    quoted = shlex.quote(path)
    # Aside until the initramfs is made: a run that is cut off in between finds it there.
    yield within(
        INITRAMFS,
        f"{{ [ ! -e {quoted} ] || mv -fT {quoted} {aside}; }} && "
        "{ ! command -v update-initramfs >/dev/null || update-initramfs -u; } && "
        f"{no_leftovers(path)}",
    )


@removing
def no_note(
    reading: HostReading, remains: Remains, plan: ResetPlan, path: str
) -> Iterator[Command]:
    """No note of what a deploy brought, but for the driver where that is kept."""
    if path not in reading.files:
        host.noop("nothing is noted")
        return
    if not plan.keep_driver:
        differs(path)
        yield f"{no_leftovers(path)} && rm -f -- {shlex.quote(path)}"
        folder = path.rpartition("/")[0]
        yield f"rmdir --ignore-fail-on-non-empty -- {shlex.quote(folder)}"
        return
    lines = [
        *(f"package {name}" for name in remains.packages if name in remains.dpkg),
        *(f"hold {name}" for name in remains.holds),
    ]
    commands = list(file_commands(reading, path, "".join(f"{line}\n" for line in lines)))
    if not commands:
        host.noop("what is kept is noted, and nothing else")
    yield from commands
