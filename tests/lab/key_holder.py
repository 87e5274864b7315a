"""Somebody with a key, who asks a lab host's gateway from this machine and verifies it."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import openai

from lab import stages
from lab.hosts import LabHost

# Seconds for an answer, with a restart of the engine in it.
PATIENCE = 300
DONE = "data: [DONE]"


@dataclass
class Stream:
    """The events of a stream, as they come."""

    began: threading.Event = field(default_factory=threading.Event)
    events: list[str] = field(default_factory=list)
    ended: bool = False
    # Whoever reads it stops then.
    enough: threading.Event = field(default_factory=threading.Event)

    @property
    def is_whole(self) -> bool:
        """Whether it went on to its end."""
        return bool(self.events) and self.events[-1] == DONE


@dataclass(frozen=True)
class Outcome:
    """What became of a request: whether it was answered whole, had a first byte, and what else."""

    whole: bool
    had_first_byte: bool
    said: str = ""


class KeyHolder:
    """Asks with a key, over TLS and in the name that the inventory has for the host's address."""

    def __init__(
        self, host: LabHost, authority: Path, secret: str | None, model: str | None = None
    ) -> None:
        self.model = model or host.choice.model.repository
        self.secret = secret or ""
        self.base_url = f"https://{host.address}/v1"
        self.believed = ssl.create_default_context(cafile=str(authority))
        self.client = httpx.Client(
            base_url=f"https://{host.address}",
            headers={} if secret is None else {"Authorization": f"Bearer {secret}"},
            verify=self.believed,
            timeout=PATIENCE,
            limits=httpx.Limits(max_connections=64),
        )

    def by_openai(self, **more: Any) -> openai.OpenAI:
        """The package's own client, which tries once."""
        values: dict[str, Any] = {
            "http_client": openai.DefaultHttpxClient(verify=self.believed),
            **{"api_key": self.secret, "base_url": self.base_url},
            **{"max_retries": 0, "timeout": PATIENCE},
        }
        return openai.OpenAI(**(values | more))

    def get(self, path: str) -> httpx.Response:
        """Get a path, byte for byte."""
        return self.client.get("/", extensions={"target": path.encode()})

    def complete(self, tokens: int = 8, **more: Any) -> httpx.Response:
        """Ask for one completion, whole."""
        return self.client.post("/v1/completions", json=self._question(tokens, **more))

    def chat(self, **more: Any) -> list[str]:
        """The events of a chat's answer."""
        messages = [{"role": "user", "content": "Who are you?"}]
        body = {"model": self.model, "stream": True, "messages": messages, **more}
        with self.client.stream("POST", "/v1/chat/completions", json=body) as answer:
            assert answer.status_code == 200, answer.read()
            return [line for line in answer.iter_lines() if line]

    def stream(self, stream: Stream, tokens: int) -> Stream:
        """Read a stream until it ends, however it does, or there is enough of it."""
        body = self._question(tokens, stream=True)
        try:
            with self.client.stream("POST", "/v1/completions", json=body) as answer:
                assert answer.status_code == 200, answer.read()
                for line in answer.iter_lines():
                    if line:
                        stream.events.append(line)
                        stream.began.set()
                    if stream.enough.is_set():
                        break
        finally:
            stream.ended = True
            stream.began.set()
        return stream

    def outcome(self, *, streamed: bool, began: threading.Event, **more: Any) -> Outcome:
        """Ask once, and say what became of it; `began` is set with the first byte of an answer."""
        body, first = self._question(16, stream=streamed, **more), False
        try:
            with self.client.stream("POST", "/v1/completions", json=body) as answer:
                first = True
                began.set()
                text = "".join(answer.iter_text())
        except httpx.HTTPError as error:
            return Outcome(False, first, repr(error))
        whole = answer.status_code == 200 and '"finish_reason":"length"' in text
        whole = whole and (not streamed or DONE in text)
        return Outcome(whole, first, "" if whole else f"{answer.status_code} {text[-300:]}")

    def _question(self, tokens: int, **more: Any) -> dict[str, Any]:
        return {
            **{"model": self.model, "prompt": "Once upon a time", "max_tokens": tokens},
            **{"ignore_eos": True, **more},
        }


def ask_over(
    holder: KeyHolder, count: int, started: threading.Event, *, spread: bool = False
) -> list[Outcome]:
    """Ask `count` times, every second time for a stream, eight at once; an event for the first.

    With `spread` each is a conversation of its own, so that a front has all boxes answer some.
    """
    with ThreadPoolExecutor(8) as pool:
        asked: Sequence[Future[Outcome]] = [
            pool.submit(
                holder.outcome,
                streamed=bool(number % 2),
                began=started,
                **({"prompt": f"Once upon a time {number}"} if spread else {}),
            )
            for number in range(count)
        ]
        return [each.result() for each in asked]


def failed(outcomes: Iterable[Outcome]) -> list[str]:
    """What those said that were not answered whole."""
    return [each.said for each in outcomes if not each.whole]


def add_key(
    inventory: str,
    name: str,
    tenant: str = "lab",
    per_minute: int = 10_000,
    *,
    host: str = "lab1",
) -> str:
    """A new key by the command, with room for a test's requests."""
    ran = stages.fortyninety(
        *("key", "add", inventory, name, "--tenant", tenant),
        *("--requests-per-minute", str(per_minute), "--concurrent", "64"),
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert f"{host}: in force" in ran.stderr, ran.stderr
    return ran.stdout.strip()
