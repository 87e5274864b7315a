"""Ask an ASGI application as a server does, and an engine that says what reached it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

from fortyninety.on_host.tenants.asgi import Message, Receive, Scope, Send
from fortyninety.on_host.tenants.counting import Ending
from fortyninety.on_host.tenants.middleware import TenantMiddleware

SECRET = bytes(range(32))
PATHS = ("/v1/chat/completions", "/v1/completions")


class Added:
    """Counters that are a list."""

    def __init__(self) -> None:
        self.all: list[tuple[str, str, int, int]] = []

    def add(self, tenant: str, ending: Ending, prompt: int, completion: int) -> None:
        self.all.append((tenant, ending, prompt, completion))


@dataclass
class Engine:
    """An application that reads the request as vLLM does and answers in these events."""

    events: Sequence[bytes] = (b"{}",)
    kind: bytes = b"application/json"
    status: int = 200
    usage: tuple[int, int] | None = (7, 3)
    scopes: list[Scope] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.scopes.append(scope)
        if scope["type"] == "lifespan":
            return
        body = b""
        while (message := await receive())["type"] == "http.request":
            body += message["body"]
            if not message["more_body"]:
                break
        self.bodies.append(body)
        noted = SimpleNamespace(final_usage_info=None)
        scope.setdefault("state", {})["request_metadata"] = noted
        headers = [(b"content-type", self.kind)]
        await send({"type": "http.response.start", "status": self.status, "headers": headers})
        for event in self.events:
            await send({"type": "http.response.body", "body": event, "more_body": True})
        if self.usage is not None:
            prompt, completion = self.usage
            noted.final_usage_info = SimpleNamespace(
                prompt_tokens=prompt, completion_tokens=completion
            )
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    @property
    def request(self) -> Any:
        """The one request's JSON, read as the engine reads it."""
        (body,) = self.bodies
        return json.loads(body)


@dataclass
class Asked:
    """What came back, event by event."""

    sent: list[Message]

    @property
    def status(self) -> int:
        return int(self.sent[0]["status"])

    @property
    def body(self) -> bytes:
        return b"".join(each.get("body", b"") for each in self.sent[1:])


def ask(
    engine: Any,
    parts: Sequence[bytes] = (b'{"prompt":"x"}',),
    *,
    tenant: bytes | None = b"ada",
    path: str = PATHS[1],
    method: str = "POST",
    headers: Sequence[tuple[bytes, bytes]] = (),
    counters: Added | None = None,
    left_after: int | None = None,
    **scope: Any,
) -> Asked:
    """Send one request in parts; the client leaves after `left_after` of them, if ever."""
    named = [(b"x-fortyninety-tenant", tenant)] if tenant is not None else []
    length = (b"content-length", b"%d" % sum(map(len, parts)))
    messages: list[Message] = [
        {"type": "http.request", "body": part, "more_body": place < len(parts) - 1}
        for place, part in enumerate(parts)
    ]
    if left_after is not None:
        messages[left_after:] = [{"type": "http.disconnect"}]
    asked = Asked([])

    async def receive() -> Message:
        return messages.pop(0) if messages else {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        asked.sent.append(message)

    app = TenantMiddleware(engine, secret=SECRET, paths=PATHS, counters=counters or Added())
    given = {
        **{"type": "http", "method": method, "path": path},
        "headers": [*named, length, *headers],
    }
    asyncio.run(app({**given, **scope}, receive, send))
    return asked
