"""Ask who commands run as once SSH has logged in, and what that account lacks for a deploy."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable
from dataclasses import dataclass

from pyinfra.api.host import Host

from fortyninety.connection.bounded import bounded
from fortyninety.connection.diagnosis import Diagnosis
from fortyninety.connection.shell import attempt
from fortyninety.connection.way import Way
from fortyninety.text.printable import printable

# Seconds; sudo may ask a directory of users.
PATIENCE = 30

_BEGIN = "fortyninety asks"
# Without a terminal at which sudo could ask. Its words stand behind another: pyinfra asks for a
# password where a failed command's line is sudo's own.
_QUESTIONS = f"""
echo '{_BEGIN}'
echo "user $(id -u) $(id -un)"
if [ "$(id -u)" = 0 ]; then echo 'sudo root'
elif said=$(sudo -n true 2>&1); then echo 'sudo granted'
else echo "sudo refused $(echo "$said" | tail -n 1)"; fi
echo "python3 $(python3 -c 'import sys; print(sys.version.split()[0])' 2>/dev/null)"
echo "clock $(date +%s)"
exit 0
"""
_WORDS = {"user": 2, "sudo": 1, "python3": 0, "clock": 1}


@dataclass(frozen=True)
class Account:
    """Who commands run as: `sudo` is "root", "granted" or "refused", with `sudo_said`.

    `noise` is what the login printed before the first answer; `python3` is a version, or empty.
    """

    uid: int
    user: str
    sudo: str
    sudo_said: str = ""
    python3: str = ""
    clock: int | None = None
    noise: str = ""


def ask_account(host: Host, way: Way) -> Account | Diagnosis:
    """Who commands run as on a connected host. Raises HostLost."""
    succeeded, output = bounded(host).ask(f"sh -c {shlex.quote(_QUESTIONS)}", PATIENCE)
    answers = read_account(output.stdout_lines)
    if answers is None:
        return odd_shell(way, " ".join(output.output_lines) or f"nothing, {succeeded=}")
    return answers


def read_account(lines: Iterable[str]) -> Account | None:
    """The account, from the lines of the answer; None where a shell made something else of it."""
    before, found, begun = [], dict[str, list[str]](), False
    for line in lines:
        if not begun:
            begun = line == _BEGIN
            before += [] if begun else [line]
            continue
        kind, *words = line.split(" ")
        if kind in _WORDS and kind not in found and len(words) >= _WORDS[kind]:
            found[kind] = words
    if set(found) != set(_WORDS) or not re.fullmatch(r"\d{1,10}", found["user"][0]):
        return None
    clock = found["clock"][0]
    return Account(
        uid=int(found["user"][0]),
        user=printable(" ".join(found["user"][1:]), 64),
        sudo=found["sudo"][0],
        sudo_said=printable(" ".join(found["sudo"][1:]), 200),
        python3=printable(" ".join(found["python3"]), 20),
        clock=int(clock) if re.fullmatch(r"\d{1,11}", clock) else None,
        noise=printable(" ".join(before), 200),
    )


def root_fault(host: Host, way: Way, account: Account) -> Diagnosis | None:
    """Why commands of a deploy would not run as root on the host, or None. Raises HostLost."""
    data = host.data
    if data.get("_sudo_password") or data.get("_su_user") or data.get("_doas") or data.get("_dzdo"):
        succeeded, output = attempt(host, "id -u", timeout=PATIENCE)
        if succeeded and output.stdout.strip() == "0":
            return None
        return not_root_by_settings(way, output.output)
    if not way.sudo:
        return None if account.uid == 0 else not_root(way, account.user)
    return sudo_refused(way, account.user, account.sudo_said) if account.sudo == "refused" else None


def not_root(way: Way, user: str) -> Diagnosis:
    """Commands run as another user."""
    return Diagnosis(
        "root",
        "user",
        repr(user),
        "root, or a user with sudo",
        f'Set ssh_user = "root", or _sudo = True for {way.address} in the inventory',
    )


def sudo_refused(way: Way, user: str, said: str) -> Diagnosis:
    """sudo wants a password, or is not there."""
    if "not found" in said:
        return Diagnosis(
            "root",
            "sudo",
            f"not installed ({said})",
            "sudo, since the inventory says _sudo = True",
            "As root on the box: `apt-get install sudo`",
        )
    line = f"{user} ALL=(ALL) NOPASSWD: ALL"
    return Diagnosis(
        "root",
        f"sudo of user {user!r}",
        f"refused ({said or 'it said nothing'})",
        "sudo without a password",
        f"As root on {way.address}: `echo {shlex.quote(line)} > /etc/sudoers.d/fortyninety`",
    )


def not_root_by_settings(way: Way, said: str) -> Diagnosis:
    """What the inventory says of sudo, su or doas does not lead to root."""
    return Diagnosis(
        "root",
        "user",
        f"not root ({printable(' '.join(said.split()), 200) or 'it said nothing'})",
        "root by what the inventory says (_sudo_password, _su_user, _doas)",
        f"Try it by hand: `{way.ssh}`",
    )


def odd_shell(way: Way, said: str) -> Diagnosis:
    """The login runs something else than a shell of POSIX."""
    who = f" {way.user}" if way.user else ""
    return Diagnosis(
        "shell",
        "login shell",
        f"one that does not run a command of sh ({printable(' '.join(said.split()), 200)})",
        "a shell that does, and prints nothing of its own",
        f"As root on {way.address}: `chsh -s /bin/sh{who}`",
    )


def no_python3(way: Way) -> Diagnosis:
    """There is no python3 that runs."""
    return Diagnosis(
        "python3",
        "python3",
        "missing",
        "one that runs",
        f"As root on {way.address}: `apt-get install python3`",
    )
