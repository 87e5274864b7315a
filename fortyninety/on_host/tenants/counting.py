"""Count what each tenant asked for and was answered, for the engine's own /metrics."""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Literal, Protocol

from fortyninety.on_host.tenants.asgi import Message, Scope

# What no name of a tenant is: requests that no gateway passed on, and those of tenants beyond
# MOST_TENANTS. A name stays in /metrics until the engine ends.
LOCAL = "(local)"
OTHERS = "(others)"
MOST_TENANTS = 1000

# How a request ended: answered to its last token; ended by either side before; or with an error.
Ending = Literal["whole", "cut", "refused"]


class Counters(Protocol):
    """Where requests and tokens are added up."""

    def add(self, tenant: str, ending: Ending, prompt: int, completion: int) -> None:
        """Add a request of a tenant, and its tokens."""


@dataclass
class Answer:
    """What is seen of an answer as it passes."""

    status: int = 0
    streamed: bool = False
    events: int = 0
    complete: bool = False

    def see(self, message: Message) -> None:
        """Take note of a message, which is not changed."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            kind = dict(message.get("headers", ())).get(b"content-type", b"")
            self.streamed = kind.startswith(b"text/event-stream")
        elif message["type"] == "http.response.body":
            body = message.get("body", b"")
            if self.streamed and body.startswith(b"data: ") and not body.startswith(b"data: ["):
                self.events += 1
            self.complete = not message.get("more_body", False)


def count(counters: Counters, tenant: str | None, scope: Scope, answer: Answer) -> None:
    """Add a request that has ended.

    Its tokens are what vLLM notes for whom it calls middleware (`request_metadata`) once an answer
    is whole, streamed or not: neither the request nor the answer need be touched for them. Of a
    stream that was cut it notes nothing: each event that went out counts as one token, which is the
    least that it had, and its prompt is not counted.
    """
    name = LOCAL if tenant is None else tenant
    if answer.status >= HTTPStatus.BAD_REQUEST:
        counters.add(name, "refused", 0, 0)
        return
    usage = _usage(scope)
    if usage is not None and answer.complete:
        counters.add(name, "whole", *usage)
    else:
        counters.add(name, "cut", 0, answer.events)


def _usage(scope: Scope) -> tuple[int, int] | None:
    noted: Any = getattr(scope["state"].get("request_metadata"), "final_usage_info", None)
    if noted is None:
        return None
    return int(noted.prompt_tokens or 0), int(noted.completion_tokens or 0)
