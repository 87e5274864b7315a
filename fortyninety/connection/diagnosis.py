"""Say why a host cannot be reached or used, and the one line that mends it.

From the words of whoever tried: pyinfra (paramiko) or OpenSSH. Where these leave it open, the port
is asked once more.
"""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from typing import Literal

from fortyninety.connection.host_keys import is_known
from fortyninety.connection.key_file import key_fault, offered_keys
from fortyninety.connection.ssh_port import PATIENCE, PortAnswer, ask_port
from fortyninety.connection.way import Way, path_word
from fortyninety.problem import Problem
from fortyninety.text.printable import printable

# What must be right before the next can be tried, in this order.
Step = Literal["name", "port", "host key", "login", "shell", "root", "python3"]

# Characters of somebody's words in a found.
_LONGEST = 300

_UNKNOWN_KEY = re.compile(
    r"No host key for (?P<pyinfra>\S+) found|No (?:\S+ )?host key is known for (?P<openssh>\S+) and"
)
# pyinfra's words around those of the library below it.
_WRAPPED = re.compile(
    r"(?:Could not resolve hostname|Could not connect|SSH error|EOF error|"
    r"Authentication error \([^)]*\)) \((?:\[Errno [^]]*\] )?(?P<own>.*)\)"
)
_NAMED_PORT = re.compile(r"\[(?P<address>[^]]+)\]:(?P<port>\d+)")
# What is said where paramiko raises at an argument of its own, before anything is tried.
NOT_TAKEN = "paramiko does not take its arguments"
_LOGIN = ("authentication", "permission denied", "no existing session", "not a valid")
# Paramiko's words and this library's where nobody said no in time.
_LATE = ("authentication timeout", "no login within")


@dataclass(frozen=True)
class Diagnosis:
    """Why a host cannot be used: the step that fails, and a problem's sentences of it."""

    step: Step
    subject: str
    found: str
    expected: str
    remedy: str

    def problem(self, host: str, more: str = "") -> Problem:
        """The problem of a host, with more to say after the remedy."""
        return Problem(
            host=host,
            subject=self.subject,
            found=self.found,
            expected=self.expected,
            remedy=f"{self.remedy}. {more}" if more else self.remedy,
        )

    def __str__(self) -> str:
        return str(self.problem("")).removeprefix(": ")


def diagnose(way: Way, said: str, *, user: str | None = None) -> Diagnosis:
    """Why a connection failed, from what was said of it (or nothing).

    May take the seconds of `ask_port`. `user` is who logged in where the way does not say.
    """
    said = printable(" ".join(said.split()), 4 * _LONGEST)
    low = said.lower()
    if wrapped := _WRAPPED.fullmatch(said):
        said = wrapped["own"]
    if fault := _not_taken(said) or key_file_fault(way, low):
        return fault
    if "resolve hostname" in low or "name or service not known" in low:
        return no_address(way, said)
    if found := _host_key(way, said):
        return found
    late = _is_late(said)
    if not late and any(words in low for words in _LOGIN):
        return _login(way, said, user)
    if way.has_jump_host:
        return _late_login(way, said, user) if late else _through_a_jump_host(way, said)
    return _port(way, _port_by_words(low) or ask_port(*way.resolved), said, user)


def _not_taken(said: str) -> Diagnosis | None:
    if not said.startswith(NOT_TAKEN):
        return None
    return Diagnosis(
        "name",
        "ssh_paramiko_connect_kwargs",
        f"not taken ({said.removeprefix(f'{NOT_TAKEN}: ')[:_LONGEST]})",
        "arguments of paramiko's SSHClient.connect",
        "Correct it, or the other ssh_* keys, in the inventory",
    )


def no_address(way: Way, said: str) -> Diagnosis:
    """The name means no address here."""
    return Diagnosis(
        "name",
        "address",
        f"{way.address!r}, which means nothing here ({said[:_LONGEST] or 'not resolved'})",
        "an IP address, or a name that DNS, /etc/hosts or ~/.ssh/config knows",
        "Set ssh_hostname in the inventory",
    )


def key_file_fault(way: Way, said: str = "") -> Diagnosis | None:
    """What is wrong with the key's file that the inventory names, or None.

    What a key is not that pyinfra cannot read is decided by what was `said`: OpenSSH reads more.
    """
    if way.key is None or (fault := key_fault(way.key)) is None:
        return None
    if fault == "no key" and "key file" not in said and "load key" not in said:
        return None
    if fault == "encrypted" and "eof" not in said and "is encrypted" not in said:
        return None
    key = way.key
    file = path_word(key)
    remedy = {
        "missing": f"Name one that exists, or make it: `ssh-keygen -t ed25519 -f {file}`",
        "unreadable": f"`chmod 600 {file}` as its owner",
        "no key": "Name the private key, not its .pub, or make one: `ssh-keygen -t ed25519`",
        "encrypted": f"`ssh-add {file}`, and leave ssh_key out: ssh-agent then answers for it",
    }[fault]
    found = {
        "missing": "which is not there",
        "unreadable": "which cannot be read",
        "no key": "which is not a private key",
        "encrypted": "which needs a password that nobody is here to type",
    }[fault]
    return Diagnosis("login", "ssh_key", f"{key!r}, {found}", "a private key's file", remedy)


def _host_key(way: Way, said: str) -> Diagnosis | None:
    address, port = way.resolved
    if named := _UNKNOWN_KEY.search(said):
        where = named["pyinfra"] or named["openssh"]
        other = _NAMED_PORT.fullmatch(where)
        return unknown_key(way, *((other["address"], int(other["port"])) if other else (where, 22)))
    low = said.lower()
    if "does not match" in low or "identification has changed" in low or "has changed and" in low:
        return changed_key(way, address, port)
    if "host key verification failed" in low:
        known = is_known(address, port, way.known_hosts)
        return (changed_key if known else unknown_key)(way, address, port)
    if "strictpolicy" in low or "host key" in low:
        return Diagnosis(
            "host key",
            "SSH host key",
            f"refused ({said[:_LONGEST]})",
            "a key that known_hosts has",
            f"Try `{way.ssh}`",
        )
    return None


def unknown_key(way: Way, address: str, port: int) -> Diagnosis:
    """The host's key is not in known_hosts: a host that is new here."""
    option = "" if port == 22 else f" -p {port}"
    if way.has_jump_host:
        look = f"`{way.ssh}` shows its fingerprint and asks"
    else:
        scan = f"ssh-keyscan{option} {shlex.quote(address)}"
        look = f"`{scan} | ssh-keygen -lf -` shows its fingerprints"
    return Diagnosis(
        "host key",
        "SSH host key",
        f"not in {path_word(way.known_hosts or '~/.ssh/known_hosts')} for {_named(address, port)}",
        "a key that is known: hosts are not taken on trust",
        f"{look}, `ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub` on its own console the right "
        f"one. Where they agree, accept it: `{way.ssh}`",
    )


def changed_key(way: Way, address: str, port: int) -> Diagnosis:
    """The host answers with another key than known_hosts has."""
    file = f" -f {path_word(way.known_hosts)}" if way.known_hosts else ""
    forget = f"ssh-keygen{file} -R {shlex.quote(_named(address, port))}"
    return Diagnosis(
        "host key",
        "SSH host key",
        f"another than {path_word(way.known_hosts or '~/.ssh/known_hosts')} has for "
        f"{_named(address, port)}",
        "the known one",
        "If you know that the box was reinstalled, forget the old one and accept the new: "
        f"`{forget} && {way.ssh}`. If not, somebody answers in its place",
    )


def _named(address: str, port: int) -> str:
    return address if port == 22 else f"[{address}]:{port}"


def _login(way: Way, said: str, user: str | None) -> Diagnosis:
    who = way.user or user or "the user of your SSH configuration"
    key = f" -i {path_word(way.key)}.pub" if way.key else ""
    port = f" -p {way.port}" if way.port not in (None, 22) else ""
    return Diagnosis(
        "login",
        "login",
        f"refused for {who} with {offered_keys(way.key)} ({said[:_LONGEST]})",
        "a key that the host takes",
        f"`ssh-copy-id{key}{port} {way.destination}` puts it there where a password is taken, or "
        f"set ssh_user or ssh_key in the inventory; `{way.ssh} -v` shows what is offered",
    )


def _is_late(said: str) -> bool:
    return any(words in said.lower() for words in _LATE)


def _late_login(way: Way, said: str, user: str | None) -> Diagnosis:
    who = way.user or user or "the user of your SSH configuration"
    return Diagnosis(
        "login",
        "login",
        f"not answered in time for {who} ({said[:_LONGEST]})",
        "an answer: nobody refused it",
        f"Is the host overloaded? Try again, or `{way.ssh} -v`, which shows what it waits for",
    )


def _through_a_jump_host(way: Way, said: str) -> Diagnosis:
    return Diagnosis(
        "port",
        "connection",
        f"refused or unanswered through the jump host ({said[:_LONGEST] or 'no reason given'})",
        "SSH as in a deploy",
        f"Try `{way.ssh} -v`: it says which of the two does not answer",
    )


def _port_by_words(low: str) -> PortAnswer | None:
    """What answered, where whoever tried says it plainly; None to ask again."""
    if "banner" in low:
        return None
    if "connection refused" in low:
        return PortAnswer("closed")
    if "timed out" in low:
        return PortAnswer("silent")
    return PortAnswer("unreachable", "no route to it") if "no route to host" in low else None


def _port(way: Way, answer: PortAnswer, said: str, user: str | None) -> Diagnosis:
    address, port = way.resolved
    where = f"{address}, port {port}"
    why = f" ({answer.said})" if answer.said else ""
    expected = "an SSH server"
    on_console = "On the box's console: `systemctl enable --now ssh`"
    match answer.verdict:
        case "no address":
            return no_address(way, answer.said)
        case "closed":
            found = f"closed on {where}"
            remedy = f"{on_console}; where it listens on another port, set ssh_port"
        case "silent":
            found = f"silent on {where} for {PATIENCE} s"
            remedy = (
                "Is the box on, the address right (ssh_hostname), and the firewall open to here?"
            )
        case "unreachable":
            found = f"out of reach on {where}{why}"
            remedy = (
                f"Is the box on, and in a network that this machine has a way to? `ping {address}`"
            )
        case "mute":
            found = f"open on {where} and says nothing{why}"
            remedy = (
                "Another service, or a server that turns this machine away (MaxStartups, "
                "fail2ban): see `journalctl -u ssh` on its console, or set ssh_port"
            )
        case "other":
            found = f"answered on {where} by something else{why}"
            remedy = "Set ssh_port to where its SSH server listens"
        case "ssh":
            # The server is there, and yet the connection failed; nobody said why.
            if way.strict_keys and not is_known(address, port, way.known_hosts):
                return unknown_key(way, address, port)
            if _is_late(said):
                return _late_login(way, said, user)
            return Diagnosis(
                "port",
                "connection",
                f"refused or unanswered ({said[:_LONGEST] or 'no reason given'})",
                "SSH as in a deploy",
                f"Try `{way.ssh} -v`",
            )
    return Diagnosis("port", "SSH port", found, expected, remedy)
