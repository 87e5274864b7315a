"""Ask an engine for a chat completion, and take the answer token by token."""

from __future__ import annotations

import http.client
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from fortyninety.engine.bounded_http import (
    BROKEN,
    Bounds,
    Stream,
    Unanswered,
    error_text,
    parsed,
    request,
    shown,
    unanswered,
)
from fortyninety.on_host.complete import NoAnswer, served_names

# Of the list of models, which an engine that serves has at hand.
BOUNDS_OF_LIST = Bounds(silence=20, whole=20, bytes=2**20)
# Of an answer. Before its first token an engine may read prompts of 131,072 tokens, others' first;
# an event of one token has some 250 bytes.
BOUNDS = Bounds(silence=300, whole=3600, bytes=64 * 2**20)
LONGEST_LINE = 2**20

# Where an engine with --reasoning-parser puts what a model thinks; renamed by
# vllm-project/vllm#27752.
THOUGHTS = ("reasoning_content", "reasoning")

Message = dict[str, str]


@dataclass(frozen=True)
class Answer:
    """What came: the text, the engine's own count of tokens, and when. Times are seconds.

    `finish` is why it ended, in the engine's words: "length" where more tokens were not asked for.
    """

    text: str
    tokens: int
    prompt_tokens: int | None
    first_token: float
    seconds: float
    finish: str | None

    @property
    def rate(self) -> float | None:
        """Tokens per second after the first; None where there is no second one."""
        took = self.seconds - self.first_token
        return (self.tokens - 1) / took if self.tokens > 1 and took > 0 else None


def served_models(
    stream: Stream,
    port: int,
    bounds: Bounds = BOUNDS_OF_LIST,
    *,
    host: str = "127.0.0.1",
    headers: Mapping[str, str] = MappingProxyType({}),
) -> list[str]:
    """The names of the models that the engine at the other end serves. Raises Unanswered."""
    response = request(stream, port, "/v1/models", bounds, host=host, headers=headers)
    try:
        content = response.read()
    except BROKEN as error:
        raise unanswered(error, bounds) from error
    try:
        return served_names(parsed(content))
    except NoAnswer as none:
        raise Unanswered(f"saying {none}") from none


def chat(
    stream: Stream,
    port: int,
    messages: list[Message],
    *,
    model: str,
    most_tokens: int,
    tell: Callable[[str], None],
    bounds: Bounds = BOUNDS,
) -> Answer:
    """Ask, and pass each part of the answer to `tell` as it comes, as the engine wrote it.

    Raises Unanswered, also in the middle of an answer.
    """
    began = time.monotonic()
    body = {
        "model": model,
        "messages": messages,
        "max_tokens": most_tokens,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    response = request(stream, port, "/v1/chat/completions", bounds, body)
    text: list[str] = []
    count = 0
    first = last = time.monotonic()
    usage: dict[str, int] = {}
    finish = None
    for event in events(response, bounds):
        if (message := error_text(event)) is not None:
            raise Unanswered(f"saying an error: {message}")
        usage = usage_of(event) or usage
        choice = _choice(event)
        finish = _text(choice, "finish_reason") or finish
        part, thought = _text(choice, "content"), any(_text(choice, each) for each in THOUGHTS)
        if part or thought:
            last = time.monotonic()
            first, count = first if count else last, count + 1
        if part:
            text.append(part)
            tell(part)
    if not text:
        thinking = f": its {most_tokens} tokens were thoughts" if count else ""
        raise Unanswered(f"answering without a text{thinking}")
    return Answer(
        text="".join(text),
        tokens=usage.get("completion_tokens", count),
        prompt_tokens=usage.get("prompt_tokens"),
        first_token=first - began,
        seconds=last - began,
        finish=finish,
    )


def events(response: http.client.HTTPResponse, bounds: Bounds) -> Iterator[dict[str, Any]]:
    """The events of a stream up to its end, which it has to say. Raises Unanswered."""
    kind = response.headers.get_content_type()
    if kind != "text/event-stream":
        raise Unanswered(f"answering {kind[:60]!r}; expected a stream of events")
    while True:
        try:
            line = response.readline(LONGEST_LINE)
        except BROKEN as error:
            raise unanswered(error, bounds) from error
        if not line.endswith(b"\n"):
            what = "sending an event without end" if line else "ending in the middle of its answer"
            raise Unanswered(what)
        field, _, value = line.partition(b":")
        content = value.strip()
        if field == b"data" and content == b"[DONE]":
            return
        if field == b"data":
            yield parsed(content)
        elif line.strip() and field not in (b"", b"event", b"id", b"retry"):
            raise Unanswered(f"saying {shown(line)}; expected an event")


def _choice(event: dict[str, Any]) -> dict[str, Any]:
    """What an event adds to the answer, with why it ended if it did; empty where it has none."""
    choices = event.get("choices")
    first = choices[0] if isinstance(choices, list) and choices else None
    if not isinstance(first, dict):
        return {}
    delta = first.get("delta")
    own = delta if isinstance(delta, dict) else {}
    return {**own, "finish_reason": first.get("finish_reason")}


def _text(choice: dict[str, Any], key: str) -> str:
    """A text of it, "" where it has none."""
    value = choice.get(key)
    return value if isinstance(value, str) else ""


def usage_of(event: dict[str, Any]) -> dict[str, int]:
    """The numbers of tokens of an event that has them."""
    usage = event.get("usage")
    found = usage.items() if isinstance(usage, dict) else ()
    # A bool is an int to Python.
    return {key: value for key, value in found if type(value) is int and 0 <= value < 10**9}
