"""Boxes whose engines a test imagines, reached over real SSH."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.unit.engine.odd_engine import DONE, STREAM, Answering, OddEngine, event, said

MODEL = "org/model"
SERVER = Path(__file__).parents[1] / "connection" / "forwarding_server.py"
HELLO = (STREAM, said("Hel"), said("lo.", "stop"), event(usage={"completion_tokens": 4}), DONE)

Engines = Callable[[Answering], OddEngine]
# Writes the inventory of box-1, box-2, ... whose engines listen on these ports.
Boxes = Callable[..., Path]


def serving(*pieces: bytes, model: str = MODEL) -> Answering:
    """Answers to the list of models, and `pieces` to a question."""
    body = json.dumps({"data": [{"id": model}]}).encode()
    listed = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)
    return lambda request: (listed,) if request.startswith(b"GET /v1/models ") else pieces


@contextmanager
def ssh_server(known: Path, *words: str) -> Iterator[tuple[int, Callable[[], None]]]:
    """An SSH server: its port, and what ends it; its key goes into a file of known hosts."""
    command = [sys.executable, str(SERVER), *words]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            known.write_text(process.stdout.readline())
            yield int(process.stdout.readline()), process.kill
        finally:
            process.kill()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[int, Path]]:
    known = tmp_path_factory.mktemp("known") / "hosts"
    with ssh_server(known) as (port, _):
        yield port, known


@pytest.fixture
def engines() -> Iterator[Engines]:
    made: list[OddEngine] = []

    def make(answer: Answering) -> OddEngine:
        made.append(OddEngine(answer))
        return made[-1]

    yield make
    for engine in made:
        engine.close()


@pytest.fixture
def boxes(server: tuple[int, Path], tmp_path: Path) -> Boxes:
    def write(*ports: int, **data: Any) -> Path:
        own = {
            "ssh_hostname": "127.0.0.1",
            "ssh_port": server[0],
            "ssh_user": "root",
            "ssh_password": "any",
            "ssh_known_hosts_file": str(server[1]),
            "model_repository": MODEL,
            **data,
        }
        hosts = [(f"box-{number}", {**own, "port": port}) for number, port in enumerate(ports, 1)]
        inventory = tmp_path / "boxes.py"
        inventory.write_text(f"boxes = {hosts!r}\n")
        return inventory

    return write
