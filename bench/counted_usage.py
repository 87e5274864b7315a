"""Stand between a client and an engine, and add up what its answers say of tokens, byte by byte."""

from __future__ import annotations

import re
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field

from lab.hosts import LabHost, ssh

_ASKED = re.compile(rb'"max_tokens": ?([0-9]+)')
_USAGE = re.compile(
    rb'"prompt_tokens": ?([0-9]+),.{0,80}?"completion_tokens": ?([0-9]+)', re.DOTALL
)
PATIENCE = 60


@dataclass
class Counted:
    """For each request that was answered: the tokens that it asked for, of its prompt, and made."""

    address: str = ""
    requests: list[tuple[int, int, int]] = field(default_factory=list)


@contextmanager
def counted(host: LabHost | None, port: int) -> Iterator[Counted]:
    """The address of a port of a lab host, or of this machine; all is counted once the block ended.

    That of a lab host is reached through SSH.
    """
    relays: list[threading.Thread] = []
    with nullcontext(port) if host is None else _forwarded(host, port) as inner:
        with socket.create_server(("127.0.0.1", 0), backlog=64) as listening:
            found = Counted(f"http://127.0.0.1:{listening.getsockname()[1]}")
            serving = (listening, inner, found, relays)
            threading.Thread(target=_serve, args=serving, daemon=True).start()
            yield found
        for each in relays:
            each.join(PATIENCE)


@contextmanager
def _forwarded(host: LabHost, port: int) -> Iterator[int]:
    """A port here that is the host's, until the block ends."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        inner: int = free.getsockname()[1]
    way = ("-N", "-o", "ExitOnForwardFailure=yes", "-L", f"127.0.0.1:{inner}:127.0.0.1:{port}")
    line = ssh.command_line(host.address)
    with subprocess.Popen([line[0], *way, *line[1:]], stdin=subprocess.DEVNULL) as tunnel:
        try:
            _wait_for(inner)
            yield inner
        finally:
            tunnel.terminate()


def _wait_for(port: int) -> None:
    until = time.monotonic() + PATIENCE
    while True:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except OSError:
            if time.monotonic() > until:
                raise
            time.sleep(0.05)
        else:
            return


def _serve(
    listening: socket.socket, port: int, found: Counted, relays: list[threading.Thread]
) -> None:
    while True:
        try:
            client, _ = listening.accept()
        except OSError:
            return
        relays.append(threading.Thread(target=_relay, args=(client, port, found), daemon=True))
        relays[-1].start()


def _relay(client: socket.socket, port: int, found: Counted) -> None:
    with client, socket.create_connection(("127.0.0.1", port)) as engine:
        question = threading.Thread(target=_pass_on, args=(client, engine, asked := bytearray()))
        question.daemon = True
        question.start()
        _pass_on(engine, client, said := bytearray())
    # Each streamed answer has one; an error, the only answer on its connection, has none.
    for wanted, (prompt, made) in zip(_ASKED.findall(asked), _USAGE.findall(said), strict=False):
        found.requests.append((int(wanted), int(prompt), int(made)))


def _pass_on(source: socket.socket, to: socket.socket, seen: bytearray) -> None:
    try:
        while data := source.recv(65536):
            seen += data
            to.sendall(data)
    except OSError:
        return
