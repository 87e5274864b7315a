"""Hosts that answer an exchange's steps at once, with no file anywhere: for tests of who waits."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from fortyninety.model.exchange import Exchange, Source
from fortyninety.model.steps import Folders
from fortyninety.on_host.checkpoint_files import File

REVISION = "1" * 40
Answer = Callable[[dict[str, Any]], object]


def listed(count: int, size: int = 10**9) -> list[File]:
    """A checkpoint's files, as many as asked for, each a part of its own."""
    return [
        File(
            f"model-{number:05}.safetensors",
            size,
            hashlib.sha256(str(number).encode()).hexdigest(),
            None,
        )
        for number in range(count)
    ]


def verified(request: dict[str, Any]) -> dict[str, Any]:
    """The answer of a host that has every file of the request."""
    return {"verified": {each["path"]: each["sha256"] for each in request["files"]}}


@dataclass
class StubMember:
    """A host without any file that gets all it asks for. `answers` replaces what a step does."""

    name: str
    on_fetch: Callable[[], None] = lambda: None
    answers: dict[str, Answer] = field(default_factory=dict)
    asked: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    address: str = "127.0.0.1"

    def step(self, command: str, request: dict[str, Any], seconds: float) -> object:
        self.asked.append((command, request))
        if command in self.answers:
            return self.answers[command](request)
        if command == "inspect":
            return {"verified": {}, "begun": {}}
        if command == "fetch":
            self.on_fetch()
            return verified(request)
        if command == "publish":
            return {"bytes": sum(each["size"] for each in request["files"])}
        return {}

    def sources(self) -> list[str]:
        """Whom it was told to fetch from: names of hosts, and "hub"."""
        sources = [each["source"] for command, each in self.asked if command == "fetch"]
        return [source.get("name", source["kind"]) for source in sources]

    def did(self, command: str) -> int:
        """How often it was asked for a step."""
        return sum(each == command for each, _ in self.asked)


class StubFleet:
    """Stub members of one exchange, supplied side by side."""

    def __init__(self, hosts: int, files: int = 1, size: int = 10**9) -> None:
        self.files = listed(files, size)
        self.failed: dict[str, str] = {}
        # Names of members that are known to have nothing.
        self.empty: set[str] = set()
        self.said: list[str] = []
        self.on_first_fetch: Callable[[], None] = lambda: None
        self.exchange = Exchange(
            self.files,
            Source("organisation/model", REVISION),
            addresses=["127.0.0.1"],
            report=lambda host, line: self.said.append(f"{host}: {line}"),
        )
        self.members = [StubMember(f"box{number}", self._on_fetch) for number in range(hosts)]
        self._first = threading.Lock()

    def start(self) -> list[threading.Thread]:
        """Start every member's part, each in a thread of its own; they wait for each other."""
        self.exchange.expect((each.name for each in self.members), empty=self.empty)
        threads = [
            threading.Thread(target=self._supply, args=(member,), daemon=True)
            for member in self.members
        ]
        for thread in threads:
            thread.start()
        return threads

    def run(self) -> None:
        """Supply every member, to its end."""
        for thread in self.start():
            thread.join(timeout=60)
            assert not thread.is_alive(), "a member waits for ever"

    def _on_fetch(self) -> None:
        if self._first.acquire(blocking=False):
            self.on_first_fetch()

    def _supply(self, member: StubMember) -> None:
        try:
            folders, empty = Folders("/srv/models/model"), member.name in self.empty
            self.exchange.supply(member, folders, empty=empty)
        except Exception as error:
            self.failed[member.name] = str(error)
