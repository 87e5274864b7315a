"""Close a host to strangers without closing it to whoever does so."""

from __future__ import annotations

import shlex
import time
from collections.abc import Iterator

from paramiko import SSHException
from pyinfra import host
from pyinfra.api.command import FunctionCommand
from pyinfra.api.exceptions import PyinfraError
from pyinfra.api.host import Host
from pyinfra.api.state import State

from fortyninety.connection.anew import why_not_anew
from fortyninety.connection.bounded import bounded
from fortyninety.connection.shell import HostLost, attempt
from fortyninety.firewall import trial
from fortyninety.firewall.rules import Firewall
from fortyninety.operations.converge import Command, converging, say_failed
from fortyninety.operations.files import file_commands
from fortyninety.operations.reasons import differs
from fortyninety.survey.reading import HostReading

# Seconds for a new connection to be let in, and for a command that takes the rules back: together
# well within the trial.
LET_IN = 20
TAKING_BACK = 10
# Seconds that the host may take beyond the trial, before this deploy gives up on it.
GRACE = 10
RETRY_INTERVAL = 1.0


@converging
def closed(
    reading: HostReading, firewall: Firewall, *, rules_path: str, unit_path: str, unit_text: str
) -> Iterator[Command]:
    """The rules in the kernel, and at every boot by the unit at `unit_path` from `rules_path`.

    They are loaded on trial, and kept once a new SSH connection got through them. Where none does,
    the host fails and is as it was before, and nothing of them is there at boot.
    """
    now = reading.firewall
    loaded = now.digest == firewall.digest and not now.changed
    files = [
        *file_commands(reading, rules_path, firewall.rules),
        *file_commands(reading, unit_path, unit_text),
    ]
    unit_name = unit_path.rpartition("/")[2]
    wrong = list(_unit_differences(reading, unit_name))
    if loaded and not files and not wrong:
        host.noop(f"the rules {firewall.digest} are loaded")
        return
    if now.digest != firewall.digest:
        differs(f"the rules in the kernel are {now.digest or 'none'}; expected {firewall.digest}")
    elif now.changed:
        differs(f"the rules {firewall.digest} in the kernel were changed since they were loaded")
    differs(*wrong)
    if not loaded:
        yield FunctionCommand(try_rules, (firewall.rules,), {})
    yield from files
    quoted = shlex.quote(unit_name)
    # Never a restart, which would have the host without rules in between.
    yield (
        f"systemctl unmask --quiet {quoted} && systemctl daemon-reload && "
        f"systemctl enable --quiet {quoted} && systemctl reload-or-restart {quoted}"
    )


def _unit_differences(reading: HostReading, unit_name: str) -> Iterator[str]:
    for key, expected in (("UnitFileState", "enabled"), ("ActiveState", "active")):
        if (found := reading.unit(unit_name, key)) != expected:
            yield f"{unit_name} is {found or 'missing'}; expected {expected}"
    if reading.unit(unit_name, "NeedDaemonReload") == "yes":
        yield f"{unit_name} changed on disk since systemd read it"


def try_rules(state: State, host: Host, rules: str) -> bool:
    """Load the rules on trial, and keep them where a new connection gets through.

    False, with the reason logged, where none does: within 90 s, and with the host as it was before.
    """
    deadline = time.monotonic() + trial.SECONDS + GRACE
    try:
        begun, output = attempt(host, _script(trial.BEGIN), timeout=LET_IN, _stdin=rules)
    except HostLost as lost:
        return _refuse(host, f"it was lost while they were loaded ({lost})", deadline)
    if not begun:
        say_failed(host, f"the firewall was not loaded: {output.stderr.strip()}")
        return False
    if (reason := why_not_anew(host, LET_IN)) is not None:
        return _refuse(host, f"no new SSH connection gets through them ({reason})", deadline)
    try:
        kept, output = attempt(host, _script(trial.KEEP), timeout=TAKING_BACK)
    except HostLost as lost:
        return _refuse(host, f"it was lost before they were kept ({lost})", deadline)
    if not kept:
        say_failed(host, f"the firewall was not kept: {output.stderr.strip()}")
    return bool(kept)


def _refuse(host: Host, reason: str, deadline: float) -> bool:
    """Fail the host with the reason, once it is seen to be as it was, or at the deadline."""
    back = _taken_back(host, deadline)
    ending = (
        "they were taken back, and the host is as before"
        if back
        else f"the host takes them back by itself within {trial.SECONDS} s, and could not be asked"
    )
    say_failed(
        host,
        f"the firewall's rules are not kept: {reason}; {ending}. Look with `nft list ruleset` "
        "there for what drops new connections, at the network before it, and at allowed_networks",
    )
    return False


def _taken_back(host: Host, deadline: float) -> bool:
    """Have the host take the rules back, or wait until it did, over a new connection if need be."""
    while True:
        try:
            if not host.connected:
                host.connect(show_errors=False, raise_exceptions=True)
            done, _ = attempt(host, _script(trial.GIVE_UP), timeout=TAKING_BACK)
            if done:
                return True
        except (HostLost, PyinfraError, SSHException, OSError, EOFError):
            bounded(host).close()
            host.disconnect()
        if time.monotonic() > deadline:
            return False
        time.sleep(RETRY_INTERVAL)


def _script(text: str) -> str:
    return f"sh -c {shlex.quote(text)}"
