"""Hosts that answer an exchange's steps at once, with no file anywhere: for tests of who waits."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from fortyninety.snapshot_exchange import Exchange, Settled, Source

REVISION = "1" * 40


def listed(count: int, size: int = 10**9) -> list[dict[str, Any]]:
    """A checkpoint's files, as many as asked for, each a part of its own."""
    return [
        {
            "path": f"model-{number:05}.safetensors",
            "size": size,
            "sha256": hashlib.sha256(str(number).encode()).hexdigest(),
            "blob": None,
        }
        for number in range(count)
    ]


@dataclass
class StubMember:
    """A host without any file that gets all it asks for. `answers` replaces what a step does."""

    name: str
    files: list[dict[str, Any]]
    on_fetch: Callable[[], None] = lambda: None
    answers: dict[str, Callable[[dict[str, Any]], Any]] = field(default_factory=dict)
    asked: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    address: str = "127.0.0.1"

    def step(self, command: str, request: dict[str, Any]) -> Any:
        self.asked.append((command, request))
        if command in self.answers:
            return self.answers[command](request)
        if command == "index":
            return {"files": self.files}
        if command == "inspect":
            return {"verified": {}, "begun": {}}
        if command == "fetch":
            self.on_fetch()
            return {"verified": {each["path"]: each["sha256"] for each in request["files"]}}
        if command == "publish":
            return {"bytes": sum(each["size"] for each in request["files"])}
        return {}


class StubFleet:
    """Stub members of one exchange, supplied side by side."""

    def __init__(self, hosts: int, files: int = 1) -> None:
        self.files = listed(files)
        self.on_first_fetch: Callable[[], None] = lambda: None
        self.exchange = Exchange(Source("organisation/model", REVISION))
        self.members = [
            StubMember(f"box{number}", self.files, self._on_fetch) for number in range(hosts)
        ]
        self.failed: dict[str, str] = {}
        self.said: list[str] = []
        self.exchange._report = lambda host, line: self.said.append(f"{host}: {line}")
        self._first = threading.Lock()

    def start(self) -> list[threading.Thread]:
        """Start every member's part, each in a thread of its own."""
        threads = [
            threading.Thread(target=self._supply, args=(member,), daemon=True)
            for member in self.members
        ]
        for thread in threads:
            thread.start()
        return threads

    def _on_fetch(self) -> None:
        if self._first.acquire(blocking=False):
            self.on_first_fetch()

    def _supply(self, member: StubMember) -> None:
        try:
            self.exchange.supply(member, Settled("/srv/models/model"), [])
        except Exception as error:
            self.failed[member.name] = str(error)
