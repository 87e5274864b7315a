"""Ask from here whether an SSH server answers at an address and a port, within seconds."""

from __future__ import annotations

import socket
from dataclasses import dataclass
from typing import Literal

from fortyninety.text.printable import printable

# Seconds for the connection, and again for the server's first line.
PATIENCE = 10
# Bytes of a first line that are looked at. Source: RFC 4253, 4.2.
LONGEST = 255

Verdict = Literal["ssh", "no address", "closed", "silent", "unreachable", "mute", "other"]


@dataclass(frozen=True)
class PortAnswer:
    """What answered: "mute" says nothing, "other" is no SSH server. `said` is in its own words."""

    verdict: Verdict
    said: str = ""


def ask_port(address: str, port: int, patience: float = PATIENCE) -> PortAnswer:
    """Resolve, connect, and read the server's first line."""
    try:
        found = socket.getaddrinfo(address, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        return PortAnswer("no address", _words(error))
    answer = PortAnswer("unreachable", "no address")
    for family, kind, protocol, _, where in found:
        try:
            with socket.socket(family, kind, protocol) as connection:
                connection.settimeout(patience)
                connection.connect(where)
                return _first_line(connection)
        except ConnectionRefusedError:
            answer = PortAnswer("closed")
        except TimeoutError:
            answer = PortAnswer("silent")
        except OSError as error:
            answer = PortAnswer("unreachable", _words(error))
    return answer


def _first_line(connection: socket.socket) -> PortAnswer:
    said = b""
    try:
        while b"\n" not in said and len(said) < LONGEST:
            if not (more := connection.recv(LONGEST)):
                break
            said += more
    except OSError as error:
        if not said:
            return PortAnswer("mute", _words(error))
    line = printable(said[:LONGEST].split(b"\n")[0].strip().decode("ascii", "replace"))
    if line.startswith("SSH-"):
        return PortAnswer("ssh", line)
    return PortAnswer("other", line) if said else PortAnswer("mute", "it ended the connection")


def _words(error: BaseException) -> str:
    return printable(str(getattr(error, "strerror", None) or error), 200)
