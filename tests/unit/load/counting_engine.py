"""An engine that a test imagines: makes as many tokens as it is asked for, and counts them."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterable

from tests.unit.engine.odd_engine import DONE, STREAM, event

MODEL = "org/model"


def plain(status: str, body: bytes) -> tuple[bytes, ...]:
    return (b"HTTP/1.1 %s\r\nContent-Length: %d\r\n\r\n%s" % (status.encode(), len(body), body),)


class CountingEngine:
    """What an OddEngine answers; `made` are the tokens, two of them in each part of an answer."""

    def __init__(self, *, largest_token: int = 128_000, of_others: int = 0) -> None:
        self.made = 0
        self.prompts: list[list[int]] = []
        self.authorization: set[str] = set()
        self.hits = self.queries = 0
        self._seen: set[str] = set()
        self._largest, self._of_others = largest_token, of_others
        self._lock = threading.Lock()

    def __call__(self, request: bytes) -> Iterable[bytes]:
        head, _, body = request.partition(b"\r\n\r\n")
        for line in head.decode().split("\r\n"):
            if line.lower().startswith("authorization: "):
                self.authorization.add(line.partition(": ")[2])
        path = head.split(b" ")[1]
        with self._lock:
            if path == b"/v1/models":
                return plain("200 OK", json.dumps({"data": [{"id": MODEL}]}).encode())
            if path == b"/metrics":
                return plain("200 OK", self._metrics().encode())
            asked = json.loads(body)
            if max(asked.get("prompt", [0])) > self._largest:
                error = {"error": {"message": "Token id is out of vocabulary"}}
                return plain("400 Bad Request", json.dumps(error).encode())
            return self._answer(asked)

    def _answer(self, asked: dict[str, object]) -> Iterable[bytes]:
        tokens = asked["max_tokens"]
        assert isinstance(tokens, int) and asked["ignore_eos"] is True
        assert asked["stream_options"] == {"include_usage": True}
        prompt = asked.get("prompt")
        if isinstance(prompt, list):
            self.prompts.append(prompt)
            read = len(prompt)
        else:
            said = json.dumps(asked["messages"])
            read = len(said.split())
            known = max((len(s.split()) for s in self._seen if said[:-1].startswith(s)), default=0)
            self._seen.add(said[:-1])
            self.hits += known
        self.queries += read
        self.made += tokens + self._of_others
        parts = [2] * (tokens // 2) + [1] * (tokens % 2)
        if isinstance(prompt, list):
            pieces = [event(choices=[{"text": "x" * n}]) for n in parts]
        else:
            pieces = [event(choices=[{"delta": {"role": "assistant", "content": ""}}])]
            pieces += [event(choices=[{"delta": {"content": "x" * n}}]) for n in parts]
        usage = {"prompt_tokens": read, "completion_tokens": tokens}
        return (STREAM, *pieces, event(choices=[], usage=usage), DONE)

    def _metrics(self) -> str:
        values = {
            "num_requests_running": 0,
            "generation_tokens_total": self.made,
            "prefix_cache_queries_total": self.queries,
            "prefix_cache_hits_total": self.hits,
        }
        return "".join(f'vllm:{key}{{engine="0"}} {value}.0\n' for key, value in values.items())
