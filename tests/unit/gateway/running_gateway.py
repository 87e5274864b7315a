"""The real HAProxy with the project's configuration, on loopback before an engine that is not."""

from __future__ import annotations

import http.client
import json
import os
import re
import shutil
import socket
import ssl
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path, PurePosixPath
from typing import Any

import pytest

from fortyninety.checkout import ROOT
from fortyninety.gateway.authority import MONITOR, Authority, authority_in, issue
from fortyninety.gateway.configuration import Fronts, Gateway, Monitor, haproxy_configuration
from fortyninety.gateway.key_map import map_text
from fortyninety.gateway.keys import Key, digest, new_secret
from fortyninety.gateway.policy import Policy
from fortyninety.releases.release import load_release
from tests.unit.gateway.fake_engine import LOOPBACK, PATIENCE, FakeEngine

HAPROXY = shutil.which("haproxy", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
MODEL = "meta-llama/Llama-3.1-70B"


needs_haproxy = pytest.mark.skipif(HAPROXY is None, reason="HAProxy is not installed")


def made_key(name: str, **values: Any) -> tuple[str, Key]:
    """A key's secret, and what is kept of it."""
    secret = new_secret()
    kept: dict[str, Any] = {
        "name": name,
        "tenant": f"{name}-tenant",
        "sha256": digest(secret),
        "requests_per_minute": 1000,
        "concurrent": 100,
        "created": date(2026, 11, 26),
    }
    return secret, Key(**(kept | values))


# Bound and never listening, until this process ends: HAProxy shares ports, so that two of them
# would else begin at one without an error.
_RESERVED: list[socket.socket] = []


def free_port() -> int:
    """A port that nobody else is given, and that HAProxy may bind beside its reservation."""
    reserved = socket.socket()
    reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    # Of a free port that it chooses, the kernel takes none that is bound, shared or not.
    reserved.bind((LOOPBACK, 0))
    _RESERVED.append(reserved)
    port: int = reserved.getsockname()[1]
    return port


@dataclass
class Answer:
    """What came back."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def error(self) -> dict[str, Any]:
        """The OpenAI API's error."""
        assert self.headers["content-type"] == "application/json"
        (page,) = json.loads(self.body).items()
        assert page[0] == "error" and set(page[1]) == {"message", "type", "param", "code"}
        assert page[1]["message"]
        found: dict[str, Any] = page[1]
        return found


class RunningHaproxy:
    """HAProxy with a configuration of its own, in a folder of its own."""

    def __init__(self, folder: Path, authority: Authority, *names: str) -> None:
        folder.mkdir(exist_ok=True)
        self.folder = folder
        self.key_map, self.control = folder / "keys.map", folder / "control.sock"
        self.drained_map = folder / "drained.map"
        self.drained_map.touch()
        self.log = folder / "log"
        self.configuration = folder / "haproxy.cfg"
        self.authority = authority
        self.certificate = folder / "server.pem"
        self.certificate.write_text(issue(authority, [LOOPBACK, *names], datetime.now(UTC)))
        self.key_map.touch()
        self.port, self.status_port, self.monitor_port = free_port(), free_port(), free_port()
        self.process: subprocess.Popen[bytes] | None = None

    def shown_to_monitor(self, pages: Mapping[str, str]) -> Monitor:
        """Who reads these pages, by a name and the address of what is on loopback."""
        return Monitor(
            addresses=(f"{LOOPBACK}:{self.monitor_port}",),
            certificate=PurePosixPath(self.certificate),
            authority=PurePosixPath(self.folder / "authority.pem"),
            name=MONITOR,
            pages=pages,
        )

    def start(self) -> None:
        """Start, or take over from the process that runs, as a reload does."""
        assert HAPROXY is not None
        before = self.process
        replaced = [] if before is None else ["-sf", str(before.pid)]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [HAPROXY, "-db", "-f", str(self.configuration), *replaced], stdout=log, stderr=log
            )
        if before is not None:
            try:
                before.wait(PATIENCE)
            finally:
                before.kill()
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                # It listens before it answers here, which counts as no client's connection.
                if self.control_line("show info"):
                    return
            except OSError:
                pass
            assert self.process.poll() is None, self.log.read_text()
            assert time.monotonic() < deadline
            time.sleep(0.01)

    def stop(self) -> None:
        """End the process."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def give(self, *keys: Key) -> str:
        """Give it these keys, by the program that does so on hosts."""
        ran = subprocess.run(
            [
                *("python3", "-I", str(ROOT / "fortyninety/on_host/gateway_control.py"), "keys"),
                *(str(self.key_map), str(self.control)),
            ],
            input=map_text(keys),
            capture_output=True,
            text=True,
            check=True,
        )
        return ran.stdout.strip()

    def context(self) -> ssl.SSLContext:
        """What believes the fleet's own authority alone."""
        return ssl.create_default_context(cadata=self.authority.pem)

    def connect(self) -> http.client.HTTPSConnection:
        return http.client.HTTPSConnection(
            LOOPBACK, self.port, timeout=PATIENCE, context=self.context()
        )

    def ask(
        self,
        secret: str | None,
        path: str = "/v1/completions",
        body: Mapping[str, Any] | bytes | None = None,
        method: str = "POST",
        **headers: str,
    ) -> Answer:
        """Ask once, on a connection of its own."""
        content = body if isinstance(body, bytes) else json.dumps(body or {"prompt": "x"}).encode()
        sent = {"Content-Type": "application/json"} | {
            name.replace("_", "-"): value for name, value in headers.items()
        }
        if secret is not None:
            sent["Authorization"] = f"Bearer {secret}"
        connection = self.connect()
        try:
            connection.request(method, path, content if method == "POST" else None, sent)
            return answer_of(connection.getresponse())
        finally:
            connection.close()

    def raw(self, request: bytes) -> bytes:
        """The first answer to bytes that no client would send; b"" where it only hangs up."""
        with (
            socket.create_connection((LOOPBACK, self.port), PATIENCE) as plain,
            self.context().wrap_socket(plain, server_hostname=LOOPBACK) as stream,
        ):
            answer = b""
            try:
                stream.sendall(request)
                while not _whole(answer) and (part := stream.recv(65536)):
                    answer += part
            except (ConnectionError, ssl.SSLError):
                pass
            return answer

    def status(self, path: str) -> Answer:
        """Ask the gateway itself, as its own host may."""
        connection = http.client.HTTPConnection(LOOPBACK, self.status_port, timeout=PATIENCE)
        try:
            connection.request("GET", path)
            return answer_of(connection.getresponse())
        finally:
            connection.close()

    def control_line(self, line: str) -> str:
        """What it answers to a command on its control socket."""
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(PATIENCE)
            connection.connect(str(self.control))
            connection.sendall(f"{line}\n".encode())
            connection.shutdown(socket.SHUT_WR)
            return b"".join(iter(lambda: connection.recv(65536), b"")).decode()

    def figure(self, backend: str, server: str, column: str) -> str:
        """One of HAProxy's own statistics."""
        lines = [line.split(",") for line in self.control_line("show stat").splitlines() if line]
        (found,) = (line for line in lines if line[:2] == [backend, server])
        return found[lines[0].index(column)]

    def logged(self) -> list[dict[str, Any]]:
        """The whole lines of the access log; one is written once its answer has been sent."""
        lines = self.log.read_text().rpartition("\n")[0].splitlines()
        return [json.loads(line) for line in lines if line.startswith("{")]


class RunningGateway(RunningHaproxy):
    """A box's gateway; with `fronts`, by their names, it hears them as well, and by `pages` the
    monitor."""

    def __init__(
        self,
        folder: Path,
        engine: FakeEngine,
        *,
        authority: Authority | None = None,
        name: str = "gateway.test",
        fronts: tuple[str, ...] = (),
        pages: Mapping[str, str] | None = None,
        **policy: int,
    ) -> None:
        if authority is None:
            authority = authority_in(folder / "authority", "test", datetime.now(UTC))
        super().__init__(folder, authority, name)
        self.engine = engine
        self.name = name
        self.fronts_port = free_port()
        (folder / "authority.pem").write_text(authority.pem)
        self.configuration.write_text(
            haproxy_configuration(
                Gateway(
                    addresses=(f"{LOOPBACK}:{self.port}",),
                    certificate=PurePosixPath(self.certificate),
                    key_map=PurePosixPath(self.key_map),
                    drained_map=PurePosixPath(self.drained_map),
                    control_socket=PurePosixPath(self.control),
                    status_address=f"{LOOPBACK}:{self.status_port}",
                    engine_address=f"{LOOPBACK}:{engine.port}",
                    model_name=MODEL,
                    paths=load_release("0.32.0").api_paths,
                    policy=Policy(**policy),
                    fronts=None if not fronts else self._fronts(fronts),
                    monitor=None if pages is None else self.shown_to_monitor(pages),
                )
            )
        )

    def _fronts(self, names: tuple[str, ...]) -> Fronts:
        return Fronts(
            addresses=(f"{LOOPBACK}:{self.fronts_port}",),
            certificate=PurePosixPath(self.certificate),
            authority=PurePosixPath(self.folder / "authority.pem"),
            names=names,
        )

    def held(self) -> int:
        """How many requests are between a client and the engine now."""
        return int(self.figure("taken", "BACKEND", "scur"))


def answer_of(response: http.client.HTTPResponse) -> Answer:
    headers = {name.lower(): value for name, value in response.getheaders()}
    return Answer(response.status, headers, response.read())


def _whole(answer: bytes) -> bool:
    """Whether an answer with a length is complete."""
    head, end, body = answer.partition(b"\r\n\r\n")
    length = re.search(rb"(?i)\ncontent-length: *([0-9]+)", head)
    return bool(end) and length is not None and len(body) >= int(length[1])
