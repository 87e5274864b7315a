"""Ask for one completion of a fixed length, and note when each part of it came."""

from __future__ import annotations

import http.client
import time
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from fortyninety.engine.bounded_http import BROKEN, Bounds, Stream, Unanswered, error_text, request
from fortyninety.engine.streamed_chat import THOUGHTS, events, usage_of
from fortyninety.load.target import Target

# An engine may read others' prompts first; an event of one token has some 250 bytes.
BOUNDS = Bounds(silence=300, whole=3600, bytes=64 * 2**20)
# More bytes than follow the last event: an empty line.
_AFTER_THE_LAST = 64


@dataclass(frozen=True)
class Timed:
    """An answer: the engine's own counts of tokens, and seconds of a clock that only goes on.

    `arrivals` has one for each event with a part of the answer, which may be several tokens.
    """

    prompt_tokens: int
    tokens: int
    sent: float
    arrivals: tuple[float, ...]
    text: str
    # Whether its connection may serve another request.
    stands: bool = False

    @property
    def first_token(self) -> float:
        """Seconds until the first token."""
        return self.arrivals[0] - self.sent

    @property
    def gaps(self) -> list[float]:
        """Seconds between one event and the next."""
        return [later - earlier for earlier, later in pairwise(self.arrivals)]

    @property
    def rate(self) -> float | None:
        """Tokens per second after the first; None where there is no second one."""
        took = self.arrivals[-1] - self.arrivals[0]
        return (self.tokens - 1) / took if self.tokens > 1 and took > 0 else None


def complete(stream: Stream, target: Target, model: str, prompt: list[int], tokens: int) -> Timed:
    """Have `tokens` tokens made after a prompt of these tokens. Raises Unanswered."""
    question = {"model": model, "prompt": prompt, "max_tokens": tokens}
    return _timed(stream, target, "/v1/completions", question)


def converse(
    stream: Stream, target: Target, model: str, messages: list[dict[str, str]], tokens: int
) -> Timed:
    """The same after these messages of a chat. Raises Unanswered."""
    question = {"model": model, "messages": messages, "max_tokens": tokens}
    return _timed(stream, target, "/v1/chat/completions", question)


def _timed(stream: Stream, target: Target, path: str, question: Mapping[str, Any]) -> Timed:
    body = {
        **question,
        # What makes answers of one length out of any model, one with random weights too.
        "ignore_eos": True,
        "temperature": 0,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    sent = time.monotonic()
    response = request(
        *(stream, target.port, path, BOUNDS, body),
        host=target.host,
        headers=target.headers,
        keep=True,
    )
    arrivals: list[float] = []
    text: list[str] = []
    usage: dict[str, int] = {}
    for event in events(response, BOUNDS):
        now = time.monotonic()
        if (message := error_text(event)) is not None:
            raise Unanswered(f"saying an error: {message}")
        usage = usage_of(event) or usage
        part = _part(event)
        if part is not None:
            arrivals.append(now)
            text.append(part)
    if not arrivals or not {"prompt_tokens", "completion_tokens"} <= usage.keys():
        raise Unanswered("answering without a count of its tokens (stream_options.include_usage)")
    return Timed(
        usage["prompt_tokens"],
        usage["completion_tokens"],
        sent,
        tuple(arrivals),
        "".join(text),
        _at_its_end(response),
    )


def _at_its_end(response: http.client.HTTPResponse) -> bool:
    """Whether the response ends here, and its connection does not."""
    # Without chunks its end is that of the connection.
    if not response.chunked or response.will_close:
        return False
    try:
        response.read(_AFTER_THE_LAST)
    except BROKEN:
        return False
    return response.isclosed()


def _part(event: dict[str, Any]) -> str | None:
    """What an event adds to the answer, maybe nothing that is seen; None where it is no part.

    The first event of a chat only says whose turn it is.
    """
    choices = event.get("choices")
    first = choices[0] if isinstance(choices, list) and choices else None
    if not isinstance(first, dict):
        return None
    if isinstance(text := first.get("text"), str):
        return text
    delta = first.get("delta")
    if not isinstance(delta, dict) or ("role" in delta and not delta.get("content")):
        return None
    content = delta.get("content")
    if isinstance(content, str):
        return content
    return "" if any(isinstance(delta.get(each), str) for each in THOUGHTS) else None
