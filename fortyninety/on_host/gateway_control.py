#!/usr/bin/env python3
"""Give a gateway its keys, note what it loads, and have it load what is on disk.

    gateway-control keys MAP CONTROL_SOCKET [NOTE] < TEXT
    gateway-control starting FOLDER NOTE [DRAINED]
    gateway-control reload FOLDER NOTE CONTROL_SOCKET PROCESS [DRAINED]
    gateway-control hold CONTROL_SOCKET SECONDS
    gateway-control release CONTROL_SOCKET ADDRESS PORT

`keys` writes the map's file and puts it in force without a reload; streams go on. The file comes
first: a gateway that starts at any moment has no key that was revoked. A map is dated by its first
line, and one that is older than the file's is refused. Prints "in force", or "written" where no
gateway runs. `starting` and `reload` are of the unit: the note has its invocation and the SHA-256
of configuration, certificates and keys. `reload` waits until the new process has taken over. Both
first write whether the box is drained, by the file that says so.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import signal
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

# Of the largest map, twice.
LARGEST = 16 * 1024 * 1024
# Seconds that the gateway has to answer in, and to take over in.
TIMEOUT = 10
TAKE_OVER = 60
# Answers in a row of the process that takes over.
SURELY_NEW = 5
# Until when the box is drained, and more of it; of the largest, twice.
DRAINED = Path("/var/lib/fortyninety/drained.json")
LARGEST_DRAINED = 8192
# Of a gateway, of a front, and of both where a box is behind one.
CERTIFICATES = ("server.pem", "identity.pem", "authority.pem")
# The backends that ask the engine, a server of this name in each: for who asks by a key and
# for fronts, and what fronts are told. Not all gateways have each of them.
ENGINES = ("engine", "taken", "engine-or-another", "listening")
# Where nobody listens, on loopback.
NOBODY = ("127.0.0.1", "1")
CHANGED = re.compile(r"# changed ([0-9]{1,12})")
LINE = re.compile(r"[0-9a-f]{64} [a-z0-9:-]{1,200}")
NOTED = re.compile(r"([0-9a-f]{32})( [0-9a-f]{64}){3}\n")


class NotInForce(Exception):
    """Why a running gateway did not take what it was given."""


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Keep others waiting who would change what the gateway has."""
    lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


def write_file(path: Path, text: str, mode: int = 0o600, like: Path | None = None) -> None:
    """Replace the file by one rename, with the mode and the owner that it has, if it is there.

    Where it is not they are those of the file `like`.
    """
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    file = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(file, "w") as stream:
            os.fchmod(file, mode)
            model = path if like is None or path.exists() else like
            if model.exists():
                status = model.stat()
                os.fchmod(file, status.st_mode & 0o777)
                if (status.st_uid, status.st_gid) != (os.geteuid(), os.getegid()):
                    os.fchown(file, status.st_uid, status.st_gid)
            stream.write(text)
            stream.flush()
            os.fsync(file)
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def put_in_force(path: Path, text: str, control_socket: Path) -> bool:
    """Replace what the running gateway has of the map; False where none runs. Raises NotInForce."""
    try:
        answer = _asked(control_socket, f"prepare map {path}\n")
    except (FileNotFoundError, ConnectionRefusedError):
        return False
    version = re.search(r"New version created: ([0-9]+)", answer)
    if version is None:
        raise NotInForce(f"prepare map: {answer.strip()!r:.200}")
    number = version[1]
    entries = "".join(f"{line}\n" for line in text.splitlines() if not line.startswith("#"))
    if entries:
        # A payload ends with an empty line.
        _without_answer(control_socket, f"add map @{number} {path} <<\n{entries}\n")
    _without_answer(control_socket, f"commit map @{number} {path}\n")
    return True


def _without_answer(control_socket: Path, command: str) -> None:
    if answer := _asked(control_socket, command).strip():
        raise NotInForce(f"{command[:40]!r}: {answer!r:.200}")


def _asked(control_socket: Path, command: str) -> str:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(TIMEOUT)
        connection.connect(str(control_socket))
        connection.sendall(command.encode())
        connection.shutdown(socket.SHUT_WR)
        answer = b""
        while (part := connection.recv(65536)) and len(answer) < LARGEST:
            answer += part
    return answer.decode(errors="replace")


def checked(text: str) -> str:
    """The text of a map. Raises ValueError for anything else."""
    if len(text) > LARGEST or (text and not text.endswith("\n")):
        raise ValueError("this is no map of keys")
    for number, line in enumerate(text.splitlines(), 1):
        if LINE.fullmatch(line) is None and (number > 1 or CHANGED.fullmatch(line) is None):
            raise ValueError(f"line {number} is none of a map of keys")
    return text


def changed_at(text: str) -> int:
    """When the keys of a map were changed last, in seconds since 1970; 0 where it does not say."""
    first = CHANGED.match(text)
    return 0 if first is None else int(first[1])


def give_keys(path: Path, text: str, control_socket: Path, note: Path | None) -> str:
    """Write the keys and put them in force. Raises ValueError for older ones, and NotInForce."""
    with alone_in(path.parent):
        there = path.read_text() if path.exists() else ""
        if changed_at(text) < changed_at(there):
            raise ValueError(
                f"those of the host were changed later ({_when(there)}) than these ({_when(text)})"
            )
        write_file(path, text)
        if not put_in_force(path, text, control_socket):
            return "written"
        noted = NOTED.fullmatch(note.read_text()) if note is not None and note.exists() else None
        if note is not None and noted is not None:
            write_file(note, f"{noted[0].rpartition(' ')[0]} {_sha256(path)}\n")
        return "in force"


def drained_until(state: Path) -> int:
    """Until when the box is drained by the file, in seconds since 1970; 0 where it is not.

    A file that says nothing that can be understood keeps nobody from the box.
    """
    try:
        with state.open("rb") as file:
            until = json.loads(file.read(LARGEST_DRAINED))["until"]
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return 0
    return until if type(until) is int and until > time.time() else 0


def follow_drained(folder: Path, state: Path) -> None:
    """Write that map where the configuration reads one: a front's does not."""
    if "/drained.map" in (folder / "haproxy.cfg").read_text():
        write_drained(folder, state)


def write_drained(folder: Path, state: Path) -> tuple[Path, str]:
    """Write the map that the gateway reads from what the file says, and return both."""
    path, until = folder / "drained.map", drained_until(state)
    text = f"drained {until}\n" if until else ""
    write_file(path, text, 0o640, like=folder / "haproxy.cfg")
    return path, text


def on_disk(folder: Path) -> str:
    """The note of what is on disk, as loaded by this invocation of the unit."""
    own = [_sha256(folder / name) for name in CERTIFICATES if (folder / name).exists()]
    # Of one its own.
    together = own[0] if len(own) == 1 else hashlib.sha256(" ".join(own).encode()).hexdigest()
    # A gateway that nobody with a key asks has none.
    keys = folder / "keys.map"
    of_keys = _sha256(keys) if keys.exists() else hashlib.sha256(b"").hexdigest()
    files = (_sha256(folder / "haproxy.cfg"), together, of_keys)
    return f"{os.environ['INVOCATION_ID']} {' '.join(files)}\n"


def keep_note(note: Path, text: str) -> None:
    """Write the note, for everybody to read."""
    note.parent.mkdir(mode=0o755, exist_ok=True)
    write_file(note, text, 0o644)


def reload(folder: Path, note: Path, control_socket: Path, process: int, state: Path) -> None:
    """Have the gateway load what is on disk, noted once it has. Raises NotInForce."""
    with alone_in(folder):
        follow_drained(folder, state)
        text = on_disk(folder)
        note.unlink(missing_ok=True)
        before = _worker(control_socket)
        os.kill(process, signal.SIGUSR2)
        deadline, new = time.monotonic() + TAKE_OVER, 0
        # For a moment both answer.
        while new < SURELY_NEW:
            new = 0 if _worker(control_socket) in (before, None) else new + 1
            if time.monotonic() > deadline:
                raise NotInForce("what is on disk was not taken: see its journal")
            time.sleep(0.05)
        keep_note(note, text)


def hold(control_socket: Path, seconds: int) -> None:
    """Have new requests wait, and wait for those under way. Raises NotInForce.

    Fronts hear that the box is not ready, and ask others what they ask meanwhile.
    """
    _send_to(control_socket, *NOBODY)
    deadline = time.monotonic() + seconds
    while under_way(control_socket) and time.monotonic() < deadline:
        time.sleep(0.1)


def release(control_socket: Path, address: str, port: str) -> None:
    """Have requests go to the engine, those that waited too. Raises NotInForce."""
    _send_to(control_socket, address, port)


def _send_to(control_socket: Path, address: str, port: str) -> None:
    # A gateway that starts later has the address of its configuration.
    there = _servers(control_socket)
    for backend in ENGINES:
        if (backend, "engine") not in there:
            continue
        command = f"set server {backend}/engine addr {address} port {port}"
        answer = _asked(control_socket, f"{command}\n").strip()
        if not answer.startswith(("IP changed", "port changed", "no need to change")):
            raise NotInForce(f"{command!r}: {answer!r:.200}")


def under_way(control_socket: Path) -> int:
    """How many requests the engine has; those that wait for it are none of them."""
    there = _servers(control_socket)
    return sum(there.get((backend, "engine"), 0) for backend in ENGINES)


def _servers(control_socket: Path) -> dict[tuple[str, str], int]:
    """The sessions of each server, by its backend and its name; none where no gateway runs."""
    try:
        lines = _asked(control_socket, "show stat -1 4 -1\n").splitlines()
    except (FileNotFoundError, ConnectionRefusedError):
        return {}
    rows = [line.split(",") for line in lines if line]
    column = rows[0].index("scur")
    return {(row[0], row[1]): int(row[column] or 0) for row in rows[1:]}


def _worker(control_socket: Path) -> str | None:
    """The process that answers now, None between two."""
    try:
        found = re.search(r"^Pid: ([0-9]+)$", _asked(control_socket, "show info\n"), re.M)
    except OSError:
        return None
    return None if found is None else found[1]


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _when(text: str) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(changed_at(text)))


def main() -> None:
    """Do what the first word says."""
    verb, *words = sys.argv[1:]
    paths = [Path(word) for word in words]
    try:
        if verb == "keys":
            text = checked(sys.stdin.read(LARGEST + 1))
            print(give_keys(paths[0], text, paths[1], paths[2] if len(paths) > 2 else None))
        elif verb == "starting":
            follow_drained(paths[0], paths[2] if len(paths) > 2 else DRAINED)
            keep_note(paths[1], on_disk(paths[0]))
        elif verb == "reload":
            state = paths[4] if len(paths) > 4 else DRAINED
            reload(paths[0], paths[1], paths[2], int(words[3]), state)
        elif verb == "hold":
            hold(paths[0], int(words[1]))
        elif verb == "release":
            release(paths[0], words[1], words[2])
        else:
            sys.exit(f"gateway-control: no such verb {verb!r}")
    except (ValueError, OSError, NotInForce) as error:
        sys.exit(f"the gateway's keys: {error}" if verb == "keys" else f"the gateway: {error}")


if __name__ == "__main__":
    main()
